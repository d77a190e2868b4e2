// core/functions.hpp: which source do a CPU's and a GPU's exp and sines share? (docs/numbers.md, Functions)
//
// Every operation rounds once: what includes this is compiled without contraction and without fast math.
#pragma once
#include <cmath>
#include <cstdint>

#include <kinglet/core/config.hpp>
#include <kinglet/core/number.hpp>

namespace kinglet::core {

KINGLET_HD inline float exp_of(float x) noexcept {
  if (x < -87.33654785f) return 0.0f;
  if (x > 88.37626f) return bits_float(0x7f800000u);
  if (x != x) return x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float t = fmaf(x, 1.44269504088896341f, magic);
  const float n = t - magic;
  float r = fmaf(n, -0.693359375f, x);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  const float y = fmaf(p, r * r, r) + 1.0f;
  return y * bits_float((float_bits(t) << 23) + (127u << 23));
}

/// sin and cos of `turns` * 2^-64 full circles.
KINGLET_HD inline void sincos_of(std::uint64_t turns, float& sine, float& cosine) noexcept {
  const std::uint64_t quarter = (turns + (std::uint64_t{1} << 61)) >> 62;
  const auto rest = static_cast<std::int64_t>(turns - (quarter << 62));
  const float a = (static_cast<float>(static_cast<std::int32_t>(rest >> 32)) * 0x1p-32f) * 6.28318530717958648f;
  const float z = a * a;
  const float s = fmaf(a * z, fmaf(z, fmaf(z, -1.9515295891e-4f, 8.3321608736e-3f), -1.6666654611e-1f), a);
  const float c = fmaf(
      z * z, fmaf(z, fmaf(z, 2.443315711809948e-5f, -1.388731625493765e-3f), 4.166664568298827e-2f),
      fmaf(z, -0.5f, 1.0f));
  const bool odd = (quarter & 1) != 0;
  const float first = odd ? c : s;
  const float second = odd ? s : c;
  sine = (quarter & 2) != 0 ? -first : first;
  cosine = ((quarter + 1) & 2) != 0 ? -second : second;
}

}  // namespace kinglet::core

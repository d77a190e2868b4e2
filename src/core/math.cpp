#include <bit>
#include <cmath>
#include <limits>

#include <kinglet/core/math.hpp>

namespace kinglet::core {

float exp_f32(float x) noexcept {
  if (x < -87.33654785f) return 0.0f;
  if (x > 88.37626f) return std::numeric_limits<float>::infinity();
  if (x != x) return x;
  constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float t = std::fma(x, 1.44269504088896341f, magic);
  const float n = t - magic;
  float r = std::fma(n, -0.693359375f, x);
  r = std::fma(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  const float y = std::fma(p, r * r, r) + 1.0f;
  return y * std::bit_cast<float>((std::bit_cast<std::uint32_t>(t) << 23) + (127u << 23));
}

// Cephes logf (S. Moshier): x = m * 2^e with m in [sqrt(1/2), sqrt(2)), a polynomial of degree 8 in m - 1.
float log_f32(float x) noexcept {
  if (!(x >= 0.0f)) return std::numeric_limits<float>::quiet_NaN();
  if (x == 0.0f) return -std::numeric_limits<float>::infinity();
  if (x > std::numeric_limits<float>::max()) return x;
  float e = 0.0f;
  if (x < std::numeric_limits<float>::min()) {
    x *= 8388608.0f;
    e = -23.0f;
  }
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  e += static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 126);
  float m = std::bit_cast<float>((bits & 0x007fffffu) | 0x3f000000u);
  if (m < 0.70710678118654752f) {
    e -= 1.0f;
    m = m + m;
  }
  m -= 1.0f;
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = std::fma(p, m, -1.1514610310e-1f);
  p = std::fma(p, m, 1.1676998740e-1f);
  p = std::fma(p, m, -1.2420140846e-1f);
  p = std::fma(p, m, 1.4249322787e-1f);
  p = std::fma(p, m, -1.6668057665e-1f);
  p = std::fma(p, m, 2.0000714765e-1f);
  p = std::fma(p, m, -2.4999993993e-1f);
  p = std::fma(p, m, 3.3333331174e-1f);
  float y = m * z * p;
  y = std::fma(e, -2.12194440e-4f, y);
  y = std::fma(-0.5f, z, y);
  return std::fma(e, 0.693359375f, m + y);
}

SinCos sincos_turns(std::uint64_t turns) noexcept {
  const std::uint64_t quarter = (turns + (std::uint64_t{1} << 61)) >> 62;
  const auto rest = static_cast<std::int64_t>(turns - (quarter << 62));
  const float a = (static_cast<float>(static_cast<std::int32_t>(rest >> 32)) * 0x1p-32f) * 6.28318530717958648f;
  const float z = a * a;
  const float s = std::fma(
      a * z, std::fma(z, std::fma(z, -1.9515295891e-4f, 8.3321608736e-3f), -1.6666654611e-1f), a);
  const float c = std::fma(
      z * z, std::fma(z, std::fma(z, 2.443315711809948e-5f, -1.388731625493765e-3f), 4.166664568298827e-2f),
      std::fma(z, -0.5f, 1.0f));
  switch (quarter & 3) {
    case 0: return {s, c};
    case 1: return {c, -s};
    case 2: return {-s, -c};
    default: return {-c, s};
  }
}

float lane_sum(const float* v, std::size_t n) noexcept {
  float lane[128] = {};
  for (std::size_t i = 0; i < n; ++i) lane[i % 128] += v[i];
  for (std::size_t w = 64; w > 0; w /= 2) {
    for (std::size_t i = 0; i < w; ++i) lane[i] += lane[i + w];
  }
  return lane[0];
}

}  // namespace kinglet::core

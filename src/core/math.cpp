// core/math.cpp: how are the logarithm, the sines and the sum over lanes computed?
#include <bit>
#include <cmath>
#include <limits>

#include <kinglet/core/math.hpp>

#include "core/functions.hpp"

namespace kinglet::core {

float exp_f32(float x) noexcept { return exp_of(x); }

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
  SinCos out;
  sincos_of(turns, out.sin, out.cos);
  return out;
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

// ops/token_key.hpp: in which order are tokens better, and how much does each weigh? What CPU and GPU share.
//
// Compiled without contraction and without fast math: every operation rounds once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <kinglet/core/config.hpp>
#include <kinglet/core/number.hpp>

#include "core/functions.hpp"

namespace kinglet::ops {

/// Ascending keys are falling logits and, among equals, rising ids, so that every selection has one answer.
/// @param logit  not NaN; +0 and -0 are equal
KINGLET_HD inline std::uint64_t make_key(float logit, std::size_t token) noexcept {
  const std::uint32_t bits = core::float_bits(logit + 0.0f);
  const std::uint32_t rising = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return (std::uint64_t{~rising} << 32) | static_cast<std::uint32_t>(token);
}
KINGLET_HD inline std::uint32_t key_token(std::uint64_t key) noexcept { return static_cast<std::uint32_t>(key); }
KINGLET_HD inline float key_logit(std::uint64_t key) noexcept {
  const std::uint32_t rising = ~static_cast<std::uint32_t>(key >> 32);
  return core::bits_float((rising & 0x80000000u) != 0 ? rising & 0x7fffffffu : ~rising);
}

/// The integer nearest to exp((x - m) / t) * 2^40, as weights() of sample/weights.hpp.
/// @param x  not NaN, <= m; -infinity gives 0
KINGLET_HD inline std::uint64_t weight_of(float x, float m, float t) noexcept {
  const float z = (x - m) / t;
  if (!(z > -30.0f)) return 0;
  const double sum = static_cast<double>(core::exp_of(z)) * 0x1p40 + 0x1p52;  // its last bit is 1: it is an integer
  std::uint64_t bits = 0;
  memcpy(&bits, &sum, sizeof bits);
  return bits - 0x4330000000000000u;
}

/// What a token that was said `count` times loses (stage 2 of sample/sampler.hpp).
/// @param value  not -infinity
KINGLET_HD inline float penalised(float value, std::uint64_t count, float repetition, float frequency,
                                  float presence) noexcept {
  const float largest = 3.402823466e38f;
  const auto bounded = [&](float x) { return x < -largest ? -largest : x > largest ? largest : x; };
  const float x = value > 0.0f ? value / repetition : value * repetition;
  const float y = bounded(x) - static_cast<float>(count) * frequency;
  return bounded(y - presence);
}

}  // namespace kinglet::ops

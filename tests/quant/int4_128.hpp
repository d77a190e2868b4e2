// tests/quant/int4_128.hpp: how are INT4_128's blocks filled, and which blocks of Q4_0 say the same?
//
// For the tests alone: rounding to nearest, without a search for the scale.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include <kinglet/core/number.hpp>
#include <kinglet/quant/format.hpp>

namespace kinglet::test {

inline constexpr std::size_t int4_128_bytes = 66;

/// d = the weight of largest magnitude / -8, as FP16; q = round(w / d), limited to [-8, 7].
/// @param w  a multiple of 128 finite weights
inline std::vector<std::byte> pack_int4_128(std::span<const float> w) {
  std::vector<std::byte> out(w.size() / 128 * int4_128_bytes);
  for (std::size_t b = 0; b < w.size() / 128; ++b) {
    const auto block = w.subspan(128 * b, 128);
    const float extreme =
        *std::max_element(block.begin(), block.end(), [](float x, float y) { return std::fabs(x) < std::fabs(y); });
    const std::uint16_t half = core::float_to_fp16(extreme / -8.0f);
    const float d = core::fp16_to_float(half);
    std::byte* const to = out.data() + int4_128_bytes * b;
    std::memcpy(to, &half, 2);
    const auto code = [&](std::size_t i) {
      const float q = d == 0.0f ? 0.0f : std::clamp(std::nearbyint(block[i] / d), -8.0f, 7.0f);
      return static_cast<unsigned>(q + 8.0f);
    };
    for (std::size_t i = 0; i < 64; ++i) {
      const std::size_t first = i / 16 * 32 + i % 16;
      to[2 + i] = static_cast<std::byte>(code(first) | code(first + 16) << 4);
    }
  }
  return out;
}

/// Four blocks of Q4_0 for each block of INT4_128, with its scale.
inline std::vector<std::byte> as_q4_0(std::span<const std::byte> blocks) {
  std::vector<std::byte> out;
  for (std::size_t at = 0; at < blocks.size(); at += int4_128_bytes) {
    const auto block = blocks.subspan(at, int4_128_bytes);
    for (std::size_t g = 0; g < 4; ++g) {
      out.insert(out.end(), block.begin(), block.begin() + 2);
      const auto codes = block.subspan(2 + 16 * g, 16);
      out.insert(out.end(), codes.begin(), codes.end());
    }
  }
  return out;
}

}  // namespace kinglet::test

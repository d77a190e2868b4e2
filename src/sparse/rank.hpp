// sparse/rank.hpp: which channels of a row does the gate drop? What its CPU and its GPU form share.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <kinglet/core/config.hpp>
#include <kinglet/core/number.hpp>

namespace kinglet::sparse {

/// floor(share * n), with the product in FP32.
inline std::size_t share_of(float share, std::size_t n) noexcept {
  if (!(share > 0.0f)) return 0;
  const auto count = static_cast<std::size_t>((share < 1.0f ? share : 1.0f) * static_cast<float>(n));
  return count < n ? count : n;
}

/// |x| * importance as an integer of the same order; a NaN comes last.
KINGLET_HD inline std::uint32_t score(float x, float importance) noexcept {
  return core::float_bits(fabsf(x) * importance) & 0x7fffffffu;
}

}  // namespace kinglet::sparse

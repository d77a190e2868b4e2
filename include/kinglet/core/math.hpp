// kinglet/core/math.hpp: which functions give the same bits on every machine?
//
// libm differs between systems, so whatever can reach a logit or a choice uses these. docs/numbers.md defines them.
#pragma once
#include <cstddef>
#include <cstdint>

#include <kinglet/core/config.hpp>

namespace kinglet::core {

/// e^x; 0 below -87.33654785, infinity above 88.37626. Error below 2 ulp.
KINGLET_API float exp_f32(float x) noexcept;

/// The natural logarithm; -infinity for 0, NaN below. Error below 2 ulp.
KINGLET_API float log_f32(float x) noexcept;

/// A rotation by `turns` * 2^-64 full circles.
struct SinCos {
  float sin;
  float cos;
};
KINGLET_API SinCos sincos_turns(std::uint64_t turns) noexcept;

/// The sum in 128 lanes (index mod 128, ascending), then a halving tree.
/// @param v  [n]
KINGLET_API float lane_sum(const float* v, std::size_t n) noexcept;

}  // namespace kinglet::core

// sample/weights.hpp: how likely is each token, in integers whose sum is the same in any order?
#pragma once
#include <cstddef>
#include <cstdint>

namespace kinglet::sample {

/// w[i] = the integer nearest to exp((x[i] - m) / t) * 2^40.
/// @param x  [n], no NaN; -infinity gives 0
/// @param m  finite, >= every x
/// @param t  > 0
void weights(const float* x, std::size_t n, float m, float t, std::uint64_t* w) noexcept;

/// The sum of the weights; below 2^63 for n <= 2^22.
std::uint64_t weight_sum(const float* x, std::size_t n, float m, float t) noexcept;

}  // namespace kinglet::sample

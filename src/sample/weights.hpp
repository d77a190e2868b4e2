// sample/weights.hpp: what is asked of every logit: which is the largest, and how likely is its token?
//
// How likely is said in integers, whose sum is the same in any order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace kinglet::sample {

struct Scan {
  float max;    ///< -infinity where there is no candidate
  bool finite;  ///< no NaN and no +infinity
};
Scan scan(std::span<const float> logits) noexcept;
/// The first index of the value `max`, which is there.
std::size_t first_of(std::span<const float> values, float max) noexcept;

/// w[i] = the integer nearest to exp((x[i] - m) / t) * 2^40.
/// @param x  [n], no NaN; -infinity gives 0
/// @param m  finite, >= every x
/// @param t  > 0
void weights(const float* x, std::size_t n, float m, float t, std::uint64_t* w) noexcept;

/// The sum of the weights; below 2^63 for n <= 2^22.
std::uint64_t weight_sum(const float* x, std::size_t n, float m, float t) noexcept;

/// One instruction set's loops (weights.inl).
struct Loops {
  Scan (*scan)(const float* x, std::size_t n) noexcept;
  std::size_t (*first_of)(const float* x, std::size_t n, float max) noexcept;
  void (*weights)(const float* x, std::size_t n, float m, float t, std::uint64_t* w) noexcept;
  std::uint64_t (*weight_sum)(const float* x, std::size_t n, float m, float t) noexcept;
};

}  // namespace kinglet::sample

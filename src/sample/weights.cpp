// sample/weights.cpp: which instruction set computes the weights?
#include "sample/weights.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kinglet::sample {
namespace baseline {
#include "sample/weights.inl"
}  // namespace baseline

#if defined(__x86_64__)
// Without FMA in the instruction set each std::fma is a call: 151,936 tokens take 25 times as long (3.6 ms instead of
// 0.14).
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#include "sample/weights.inl"
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

void weights(const float* x, std::size_t n, float m, float t, std::uint64_t* w) noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::weights(x, n, m, t, w);
#endif
  baseline::weights(x, n, m, t, w);
}

std::uint64_t weight_sum(const float* x, std::size_t n, float m, float t) noexcept {
  constexpr std::size_t chunk = 1024;
  std::uint64_t w[chunk];
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < n; i += chunk) {
    const std::size_t count = std::min(chunk, n - i);
    weights(x + i, count, m, t, w);
    for (std::size_t k = 0; k < count; ++k) sum += w[k];
  }
  return sum;
}

}  // namespace kinglet::sample

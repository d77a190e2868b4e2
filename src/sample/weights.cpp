// sample/weights.cpp: which instruction set goes over the logits?
#include "sample/weights.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace kinglet::sample {
namespace {

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
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif
namespace avx512 {
#include "sample/weights.inl"
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

const Loops& loops() noexcept {
#if defined(__x86_64__)
  const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return avx512::loops;
  }
  if (fma) return avx2::loops;
#endif
  return baseline::loops;
}

}  // namespace

Scan scan(std::span<const float> logits) noexcept { return loops().scan(logits.data(), logits.size()); }

std::size_t first_of(std::span<const float> values, float max) noexcept {
  return loops().first_of(values.data(), values.size(), max);
}

void weights(const float* x, std::size_t n, float m, float t, std::uint64_t* w) noexcept {
  loops().weights(x, n, m, t, w);
}

std::uint64_t weight_sum(const float* x, std::size_t n, float m, float t) noexcept {
  return loops().weight_sum(x, n, m, t);
}

}  // namespace kinglet::sample

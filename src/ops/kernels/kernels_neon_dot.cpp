// ops/kernels/kernels_neon_dot.cpp: which products over strips has AArch64 with dot products of bytes (FEAT_DotProd)?
//
// The other loops are those of kernels_neon.cpp. A target region, not a compiler flag: with a flag, an inline function
// of a header compiled here could win at link time and crash an older machine.
#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

namespace kinglet::ops::neon_dot {
#include "ops/kernels/simd_neon.inl"

#include "ops/kernels/bytes_neon.inl"

#include "ops/kernels/quantize.inl"

constexpr std::size_t rows_at_once = 4;  // rows of activations whose sums fit the registers

#include "ops/kernels/codes.inl"

#include "ops/kernels/sums_neon_dot.inl"

template <quant::Format F, int Half, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  dot_sums_of<F, Half, R>(codes, a, start, sum);
}
template <quant::Format F, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  dot_sums_of<F, R>(codes, a, start, sum);
}

#include "ops/kernels/by_columns.inl"

#include "ops/kernels/packed.inl"
}  // namespace kinglet::ops::neon_dot

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

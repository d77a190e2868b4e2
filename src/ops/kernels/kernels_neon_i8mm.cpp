// ops/kernels/kernels_neon_i8mm.cpp: which products over strips has AArch64 with matrix products of bytes (FEAT_I8MM)?
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
#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod+i8mm")
#endif

namespace kinglet::ops::neon_i8mm {
#include "ops/kernels/simd_neon.inl"

#include "ops/kernels/bytes_neon.inl"

#include "ops/kernels/quantize.inl"

constexpr std::size_t rows_at_once = 4;  // rows of activations whose sums fit the registers

#include "ops/kernels/codes.inl"

#include "ops/kernels/sums_neon_dot.inl"

#include "ops/kernels/sums_neon_i8mm.inl"

#include "ops/kernels/by_columns.inl"

#include "ops/kernels/packed.inl"
}  // namespace kinglet::ops::neon_i8mm

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

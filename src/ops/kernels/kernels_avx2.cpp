// ops/kernels/kernels_avx2.cpp: which inner loops has AVX2 with FMA and F16C?
//
// A target region, not a compiler flag: with a flag, an inline function of a header compiled here could win at link
// time and crash an older machine.
#include <utility>

#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/constants.hpp"
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace kinglet::ops::avx2 {
#include "ops/kernels/simd_avx2.inl"

#include "ops/kernels/kernels.inl"

#include "ops/kernels/attend_sums.inl"

#include "ops/kernels/attend.inl"

#include "ops/kernels/table.inl"

#include "ops/kernels/bytes_avx2.inl"

#include "ops/kernels/quantize_avx2.inl"

#include "ops/kernels/quantize.inl"

constexpr bool signed_bytes = true;
constexpr std::size_t rows_at_once = 6;  // rows of activations whose sums fit the registers, of formats with 4 bits

#include "ops/kernels/codes.inl"

#include "ops/kernels/sums_avx2.inl"

#include "ops/kernels/by_columns.inl"

#include "ops/kernels/both_parts.inl"

#include "ops/kernels/packed.inl"

const StripKernels& fetching_strip_kernels() noexcept { return strip_table<true>(); }
}  // namespace kinglet::ops::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

// ops/kernels/kernels_avx512.cpp: which inner loops has AVX-512 with VNNI?
//
// A target region, not a compiler flag: with a flag, an inline function of a header compiled here could win at link
// time and crash an older machine.
#include <utility>

#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/kernels.hpp"
#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own header (its bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

namespace kinglet::ops::avx512 {
#include "ops/kernels/simd_avx512.inl"

#include "ops/kernels/kernels.inl"

#include "ops/kernels/attend_sums.inl"

#include "ops/kernels/attend.inl"

#include "ops/kernels/table.inl"

#include "ops/kernels/bytes_avx512.inl"

#include "ops/kernels/quantize_avx512.inl"

#include "ops/kernels/quantize.inl"

#include "ops/kernels/codes.inl"

#include "ops/kernels/by_rows.inl"

#include "ops/kernels/packed.inl"

const StripKernels& fetching_strip_kernels() noexcept { return strip_table<true>(); }
}  // namespace kinglet::ops::avx512

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

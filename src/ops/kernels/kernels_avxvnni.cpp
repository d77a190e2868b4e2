// ops/kernels/kernels_avxvnni.cpp: which products over strips has AVX2 with AVX-VNNI?
//
// The other loops are those of kernels_avx2.cpp. Where there is AVX-512 but no AVX-VNNI, tests/ops/packed_vnni_test.cpp
// runs this source with the same instruction in AVX-512's encoding.
//
// A target region, not a compiler flag: with a flag, an inline function of a header compiled here could win at link
// time and crash an older machine.
#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/constants.hpp"
#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avxvnni")
#endif

namespace kinglet::ops::avx_vnni {
#include "ops/kernels/simd_avx2.inl"

#include "ops/kernels/bytes_avx2.inl"

#include "ops/kernels/quantize_avx2.inl"

#include "ops/kernels/quantize.inl"

constexpr bool signed_bytes = false;
constexpr std::size_t rows_at_once = 4;  // rows of activations whose sums fit the registers

inline __m256i dot_bytes(__m256i acc, __m256i w, __m256i a) { return _mm256_dpbusd_avx_epi32(acc, w, a); }

#include "ops/kernels/codes.inl"

#include "ops/kernels/sums_vnni.inl"

#include "ops/kernels/by_columns.inl"

#include "ops/kernels/packed.inl"

const StripKernels& fetching_strip_kernels() noexcept { return strip_table<true>(); }
}  // namespace kinglet::ops::avx_vnni

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

// The products of kernels_avxvnni.cpp with the instruction in AVX-512's encoding, for the cases of packed_test.cpp:
// many machines have AVX-512 with VNNI but no AVX-VNNI, and both compute the same.
#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/constants.hpp"
#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512vl,avx512vnni")
#endif

namespace kinglet::ops::evex_vnni {
#include "ops/kernels/simd_avx2.inl"

#include "ops/kernels/bytes_avx2.inl"

#include "ops/kernels/quantize_avx2.inl"

#include "ops/kernels/quantize.inl"

constexpr bool signed_bytes = false;
constexpr std::size_t rows_at_once = 4;  // rows of activations whose sums fit the registers

inline __m256i dot_bytes(__m256i acc, __m256i w, __m256i a) { return _mm256_dpbusd_epi32(acc, w, a); }

#include "ops/kernels/codes.inl"

#include "ops/kernels/sums_vnni.inl"

#include "ops/kernels/by_columns.inl"

#include "ops/kernels/packed.inl"
}  // namespace kinglet::ops::evex_vnni

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

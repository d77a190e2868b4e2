// ops/kernels/kernels_amx.cpp: which products over strips have x86's tiles (AMX)?
//
// Those of many rows; few rows, and all other loops, are AVX-512's. A chunk of a strip's codes holds 16 rows by 4
// columns, which is a row of a tile's right operand as it is, and a panel's rows are the left operand's.
//
// A target region, not a compiler flag: with a flag, an inline function of a header compiled here could win at link
// time and crash an older machine.
#include <utility>

#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own header (its bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                                                 \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")
#endif

namespace kinglet::ops::amx {
#include "ops/kernels/simd_avx512.inl"

#include "ops/kernels/bytes_avx512.inl"

#include "ops/kernels/codes.inl"

#include "ops/kernels/packed_amx.inl"
}  // namespace kinglet::ops::amx

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

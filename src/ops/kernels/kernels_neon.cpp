// ops/kernels/kernels_neon.cpp: which inner loops has AArch64, whose baseline has all they need?
#include <utility>

#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/kernels.hpp"
#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace kinglet::ops::neon {
#include "ops/kernels/simd_neon.inl"

#include "ops/kernels/kernels.inl"

#include "ops/kernels/attend_sums.inl"

#include "ops/kernels/attend.inl"

#include "ops/kernels/table.inl"

#include "ops/kernels/bytes_neon.inl"

#include "ops/kernels/quantize.inl"

constexpr std::size_t rows_at_once = 4;  // rows of activations whose sums fit the registers

#include "ops/kernels/codes.inl"

#include "ops/kernels/sums_neon.inl"

#include "ops/kernels/by_columns.inl"

#include "ops/kernels/packed.inl"
}  // namespace kinglet::ops::neon

#endif

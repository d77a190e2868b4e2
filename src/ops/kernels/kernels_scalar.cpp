// ops/kernels/kernels_scalar.cpp: which inner loops run on any machine?
#include <bit>
#include <utility>

#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/kernels.hpp"
#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

namespace kinglet::ops::scalar {
#include "ops/kernels/simd_scalar.inl"

#include "ops/kernels/kernels.inl"

#include "ops/kernels/attend_sums.inl"

#include "ops/kernels/attend.inl"

#include "ops/kernels/table.inl"

#include "ops/kernels/bytes_scalar.inl"

#include "ops/kernels/quantize.inl"

#include "ops/kernels/codes.inl"

#include "ops/kernels/by_rows.inl"

#include "ops/kernels/packed.inl"
}  // namespace kinglet::ops::scalar

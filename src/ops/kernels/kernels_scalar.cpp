// ops/kernels/kernels_scalar.cpp: the inner loops for any machine
#include <bit>

#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/kernels/kernels.hpp"

namespace kinglet::ops::scalar {
#include "ops/kernels/simd_scalar.inl"

#include "ops/kernels/kernels.inl"
}  // namespace kinglet::ops::scalar

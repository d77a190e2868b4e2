// kinglet/quant/quantizer.hpp: which few bits stand best for these weights?
//
// Blocks are GGUF's, so other engines read them. By format:
//   F32, F16, BF16   rounded to nearest even; the method does not matter
//   Q8_0             d = amax / 127, rounded to nearest; the method does not matter
//   Q4_0             INT4 symmetric, q in [-8, 7]; rtn: d = the value of largest magnitude / -8; lsq: see below
//   Q6_K             sub-blocks of 16, rtn and lsq likewise with q in [-32, 31], then their scales in 8 bits
// Least squares (lsq) looks for the d with the smallest sum of (w - d q)^2: from several starting scales, q = round(w /
// d) and d = sum(w q) / sum(q^2) in turn, judged with d as it is stored. With an importance h for each weight, the sums
// are those of h (w - d q)^2.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/quant/format.hpp>

namespace kinglet::quant {

enum class Method : std::uint8_t {
  rtn,  ///< round to nearest; Q4_0 and Q8_0 equal the `gguf` package's bit for bit
  lsq,  ///< least squares per group
};

/// Can quantize() write this format?
KINGLET_API bool can_quantize(Format format) noexcept;

/// @param values  [n], finite, n a multiple of the format's block
/// @param out     [format_bytes(format, n)], any alignment
/// unsupported: not a format of the list above; invalid_argument: n; not_finite: a value is, or its block's scale would
/// be.
KINGLET_API Status quantize(Format format, Method method, std::span<const float> values, std::byte* out) noexcept;

/// The same for rows of weights whose input channels matter more or less; only lsq looks at it.
/// @param importance  [cols], finite, >= 0, for instance the mean square of each channel's input; cols a multiple of
/// the
///                    format's block, n a multiple of cols. Empty: all the same.
KINGLET_API Status quantize(Format format, Method method, std::span<const float> values,
                            std::span<const float> importance, std::byte* out) noexcept;

/// INT4 symmetric for one group of any size (128 along K is the form for GPUs): w = d * q.
/// @param group       [n], finite
/// @param importance  [n] or empty
/// @param q           out, [n] integers in [-8, 7]
/// @return d, an FP16 number. invalid_argument: the sizes; not_finite.
KINGLET_API Result<float> quantize_int4(Method method, std::span<const float> group, std::span<const float> importance,
                                        std::span<std::int8_t> q) noexcept;

}  // namespace kinglet::quant

// ops/kernels/packed.hpp: in which order do the fast kernels read quantized weights?
//
// A strip is 16 rows of a matrix over all of its columns. One register of codes holds 16 rows by 4 columns, so lanes
// are outputs and no sum crosses lanes; narrower registers take the rows in parts, in the same order. A strip takes the
// bytes of its rows in the file, and is read from its first byte to its last: block after block of 256 columns (the
// last may be shorter), each of
//
//   super    [bytes]          K-quants: FP16 d[16] (and FP16 dmin[16])
//   meta     [groups][bytes]  scales of a group of 32 columns, FP16 d[16] (and FP16 m[16]); K-quants: 6-bit scales and
//                             minima as 16 bytes (scale low 4 | min low 4 << 4) and 8 bytes (row r: 2 + 2 bits,
//                             row r + 8 above); Q6_K: int8 scale[2][16]
//   codes    [groups][bytes]  4 bits: 4 chunks of 64 bytes, chunk i = columns 4i.. in the low nibbles, 16 + 4i.. in the
//                             high
//                             5 bits: and a chunk of fifth bits, bit j of byte c of a row = column 4j + c
//                             6 bits: and two chunks of upper pairs of bits, chunk h pair j = column 16h + 4j + c
//                             8 bits: 8 chunks, column 4j + c; the sign bit flipped
//
// The scales stand before the codes, so that nothing is read ahead of its turn: then the own prefetching of processors
// that have a good one (Zen 4) follows the strip at the full speed of the memory.
#pragma once
#include <cstddef>
#include <cstdint>

#include <kinglet/ops/backend.hpp>
#include <kinglet/quant/format.hpp>

namespace kinglet::ops {

/// Outputs of a strip.
inline constexpr std::uint32_t strip_rows = 16;
/// Groups of a strip's block.
inline constexpr std::uint32_t strip_groups = 8;
/// Floats between the outputs of one row and those of the next, in what a product writes: two strips side by side.
inline constexpr std::uint32_t out_stride = 2 * strip_rows;
/// Rows of activations that a product takes at once.
inline constexpr std::uint32_t panel_rows = 16;

/// Bytes between what is read and what is fetched where many rows keep the core busy for longer than its own
/// prefetching looks ahead, or that never looks far: from DRAM, eight rows take 0.7 of the time that they take without
/// (Zen 4), one row 0.6 (Emerald Rapids); weights in the cache cost 1 % more.
inline constexpr std::size_t fetch_ahead = 8192;

struct StripLayout {
  std::uint32_t codes = 0;  ///< bytes of a group; 0 = the format has no strips
  std::uint32_t meta = 0;   ///< bytes of a group
  std::uint32_t super = 0;  ///< bytes of a block

  /// Bytes of a block of `groups` groups before its codes, and of the whole.
  constexpr std::size_t head(std::size_t groups) const noexcept { return super + groups * meta; }
  constexpr std::size_t block(std::size_t groups) const noexcept { return head(groups) + groups * codes; }
};

constexpr StripLayout strip_layout(quant::Format format) noexcept {
  using quant::Format;
  switch (format) {
    case Format::q4_0:
    case Format::iq4_nl: return {256, 32, 0};
    case Format::q4_1: return {256, 64, 0};
    case Format::q5_0: return {320, 32, 0};
    case Format::q5_1: return {320, 64, 0};
    case Format::q8_0: return {512, 32, 0};
    case Format::q4_k: return {256, 24, 64};
    case Format::q5_k: return {320, 24, 64};
    case Format::q6_k: return {384, 32, 32};
    default: return {};
  }
}

/// Bytes of a strip of `cols` columns (a multiple of the format's block).
constexpr std::size_t strip_bytes(quant::Format format, std::size_t cols) noexcept {
  const StripLayout l = strip_layout(format);
  return cols / 32 * (l.codes + l.meta) + cols / 256 * l.super;
}

/// Packs rows [0, rows) of GGUF blocks, rows <= 16; the missing ones become zeros.
/// @param data  the first row
/// @param out   [strip_bytes(format, cols)]
void pack_strip(quant::Format format, const std::byte* data, std::size_t row_bytes, std::uint32_t rows,
                std::uint32_t cols, std::byte* out) noexcept;

/// The most bytes that 256 columns of a row take in GGUF's blocks, of the formats that have strips.
inline constexpr std::size_t most_block_bytes = 8 * 34;

/// The inverse for one row of a strip: GGUF blocks of its columns [first, first + cols).
/// @param row    [0, 16)
/// @param first  a multiple of 256
/// @param cols   256, or what is left of the row
/// @param out    [most_block_bytes]
void unpack_columns(quant::Format format, const std::byte* strip, std::uint32_t row, std::uint32_t first,
                    std::uint32_t cols, std::byte* out) noexcept;

/// De-quantizes one row of a matrix, of the file's rows or of strips: the same bits.
/// @param out  [cols]
void dequantize_row(const WeightView& weight, std::uint32_t row, float* out) noexcept;

/// Up to panel_rows rows of INT8 activations side by side, made once for all products that read them.
struct Panel {
  std::uint32_t rows;
  std::int8_t* q;            ///< [groups][rows][32]
  float* d;                  ///< [groups][rows]
  std::int32_t* zero;        ///< [groups][rows] -8 * sum of q: what codes with a zero point of 8 count too much
  std::int32_t* halves;      ///< [groups][rows][2] -32 * sum of q over 16 columns each: the same for a zero point of 32
  std::int16_t* minus_sums;  ///< [groups][rows][2] -sum of q over 16 columns each
  float* sum;                ///< [groups][rows] sum of q
};

/// Bytes of a panel's arrays for `cols` columns, each array and the whole a multiple of 64.
constexpr std::size_t panel_bytes(std::size_t cols) noexcept {
  return (panel_rows * (cols + cols / 32 * (sizeof(float) * 2 + sizeof(std::int32_t) * 4)) + 7 * 64) / 64 * 64;
}

/// An empty panel; memory is [panel_bytes(cols)], 64-byte aligned.
Panel make_panel(std::uint32_t rows, std::size_t cols, std::byte* memory) noexcept;

/// A strip and where its outputs go: out[r][i], i < 16.
struct StripRun {
  const std::byte* strip;
  float (*out)[out_stride];
};
/// The most strips of a product.
inline constexpr std::size_t most_runs = 4 * out_stride / strip_rows;  // two tiles of gate and up

struct StripKernels {
  /// Strips for the rows of `count` panels; all panels but the last are full.
  using Product = void (*)(const StripRun* runs, std::size_t strips, std::size_t cols, const Panel* panels,
                           std::size_t count);

  /// Fills groups [first, first + count) of a panel; x[r] is a row's first of them, the next one lies `step` floats on.
  void (*quantize)(const float* const* x, std::size_t step, std::size_t first, std::size_t count, const Panel& panel);
  /// The chains of docs/numbers.md (Products, int8) of at most most_runs strips, by format.
  Product product[quant::format_count];
  /// The same where pairs.rows says so, over two strips in turn: those of the first half of the runs beside those of
  /// the second. The caller takes the halves from far apart, so that the memory serves two streams.
  Product paired[quant::format_count] = {};
  /// What goes there: up to so many rows (0 = nothing), from so many columns and so many tiles a thread on.
  struct {
    std::uint32_t rows = 0, cols = 0, tiles = 0;
  } pairs = {};
};

// Where there are `fetching` ones too, they are for processors whose own prefetching follows a strip too late.
namespace scalar {
const StripKernels& strip_kernels() noexcept;
}
namespace avx2 {
const StripKernels& strip_kernels() noexcept;
const StripKernels& fetching_strip_kernels() noexcept;
}  // namespace avx2
namespace avx_vnni {
const StripKernels& strip_kernels() noexcept;
const StripKernels& fetching_strip_kernels() noexcept;
}  // namespace avx_vnni
namespace avx512 {
const StripKernels& strip_kernels() noexcept;
const StripKernels& fetching_strip_kernels() noexcept;
}  // namespace avx512
namespace amx {
const StripKernels& strip_kernels() noexcept;
}
namespace neon {
const StripKernels& strip_kernels() noexcept;
}
namespace neon_dot {
const StripKernels& strip_kernels() noexcept;
}
namespace neon_i8mm {
const StripKernels& strip_kernels() noexcept;
}

}  // namespace kinglet::ops

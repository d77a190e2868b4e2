// ops/kernels/kernels.hpp: which inner loops does each instruction set supply?
//
// kernels.inl and attend*.inl are the one source of all of them; each kernels_<isa>.cpp compiles them once inside a
// target region. All sets give the same bits (docs/numbers.md).
#pragma once
#include <cstddef>
#include <cstdint>

#include <kinglet/ops/backend.hpp>

namespace kinglet::ops {

/// Outputs of a weight tile: 4 registers of AVX2, 2 of AVX-512, 8 of NEON.
inline constexpr std::uint32_t tile_outputs = 32;
/// Inputs of a weight tile: a block of the K-quants.
inline constexpr std::uint32_t tile_inputs = 256;
inline constexpr std::uint32_t tile_groups = tile_inputs / 32;
/// Queries that share a page's conversion in attention: a multiple of the registers' blocks of 6.
inline constexpr std::uint32_t query_block = 96;

/// A weight tile in FP32: [tile_inputs][tile_outputs].
struct FloatTile {
  alignas(64) float w[tile_inputs][tile_outputs];
};

/// A weight tile in integers, the sub-scales multiplied in: pairs of inputs side by side for 16-bit dot products.
struct GroupTile {
  alignas(64) std::int16_t w[tile_inputs / 2][tile_outputs][2];
  alignas(64) float d[tile_groups][tile_outputs];
  alignas(64) float dmin[tile_groups][tile_outputs];
  alignas(64) std::int32_t min[tile_groups][2][tile_outputs];
  bool has_min;
};

/// One row of activations in all forms its products may read.
struct ActivationRow {
  float* values;       ///< [K]
  std::int16_t* q;     ///< int8: [K] in 16 bits; fp8: [K] the upper parts of codes, which are values times 2^9
  std::int16_t* low;   ///< fp8: [K] what is left of a code, from -256 to 255: it is 512 * q + low
  float* d;            ///< int8: [K/32]; fp8: [K/128] scales times 2^-9
  std::int32_t* sums;  ///< [K/16] sums of q or codes
};

/// Pages asked for before few queries read them. 2, 4, 6 in large pages: 16.5, 19.9, 19.8 GB/s (one Zen 4 core).
inline constexpr std::uint32_t pages_ahead = 4;

/// Queries of one KV head over one stretch.
struct AttendArgs {
  std::uint32_t queries;                ///< <= query_block
  const float* q[query_block];          ///< [head_dim]
  std::uint32_t position[query_block];  ///< of each query
  float* state[query_block];            ///< [2 + head_dim]: m, l, o; merged into. Nothing yet: m = -infinity, l = 0
  const void* keys[16];                 ///< pages of the stretch: [head_dim][16], null past the last query
  const void* values[16];               ///< [16][head_dim]
  const void* next[pages_ahead];        ///< pages that will likely be read after this stretch; null = none known
  std::uint32_t start;                  ///< first position of the stretch
  std::uint32_t head_dim;
  std::uint32_t window, globals;  ///< window 0 = full attention
  float scale;
  bool fp16_kv;
  bool fp16_scores;
};

/// Per-thread memory of the kernels.
struct Scratch {
  union {
    FloatTile floats;
    GroupTile groups;
  } tile;
  alignas(64) float row[tile_inputs];
  std::byte blocks[tile_outputs][8 * 34];  ///< a tile's blocks, out of strips
};

struct Kernels {
  /// y = norm(x, w, eps), [n]; false where the sum of squares is not finite.
  bool (*norm)(const float* x, const float* w, float eps, std::size_t n, float* y);
  /// Fills q, d, sums and, for fp8, low from values.
  void (*quantize_int8)(const ActivationRow& row, std::size_t n);
  void (*quantize_fp8)(const ActivationRow& row, std::size_t n);
  /// acc[r][tile_outputs] += the tile's inputs [k, k + n), for `rows` rows; acc is [rows][tile_outputs].
  void (*product_fp32)(const FloatTile& tile, const ActivationRow* x, std::size_t rows, std::size_t k, std::size_t n,
                       float* acc);
  void (*product_int8)(const GroupTile& tile, const ActivationRow* x, std::size_t rows, std::size_t k, std::size_t n,
                       float* acc);
  /// acc is [rows][2][tile_outputs]: the sum and its compensation. k is a multiple of 128, and so is n but at the end.
  void (*product_fp8)(const GroupTile& tile, const ActivationRow* x, std::size_t rows, std::size_t k, std::size_t n,
                      float* acc);
  /// h[i] = silu(g[i]) * u[i]
  void (*swiglu)(const float* g, const float* u, std::size_t n, float* h);
  void (*rotate_interleaved)(float* head, const float* cos, const float* sin, std::size_t pairs);
  void (*rotate_halves)(float* head, const float* cos, const float* sin, std::size_t pairs);
  /// One token's k and v, [head_dim], into place `slot` of a page: keys [head_dim][16], values [16][head_dim].
  void (*store_kv)(const float* k, const float* v, std::size_t head_dim, std::size_t slot, bool fp16, void* keys,
                   void* values);
  /// scratch: [attend_scratch(head_dim)]
  void (*attend)(const AttendArgs& args, float* scratch);
  /// Takes `count` states of later stretches, [2 + head_dim] each, into those of earlier ones.
  void (*merge)(float* const* states, const float* const* later, std::size_t count, std::size_t head_dim);
};

/// Channels of a head, rounded up to whole vectors.
constexpr std::size_t attend_padded(std::size_t head_dim) noexcept { return (head_dim + 15) / 16 * 16; }

/// Floats of `attend`'s scratch: scores and outputs of 8 queries, a stretch's keys and values.
constexpr std::size_t attend_scratch(std::size_t head_dim) noexcept {
  return 8 * stretch_tokens + (8 + 2 * stretch_tokens) * attend_padded(head_dim);
}

namespace scalar {
const Kernels& kernels() noexcept;
}
namespace avx2 {
const Kernels& kernels() noexcept;
}
namespace avx512 {
const Kernels& kernels() noexcept;
}
namespace neon {
const Kernels& kernels() noexcept;
}

/// Fills a tile with weights [first, first + outputs) x [k, k + n) of a matrix; missing outputs are zero.
/// k is a multiple of the format's block (of 32 in the integer form), and so is n.
void load_tile(quant::Format format, const std::byte* data, std::size_t row_bytes, std::uint32_t first,
               std::uint32_t outputs, std::uint32_t k, std::uint32_t n, Scratch& scratch, FloatTile& tile) noexcept;
void load_tile(quant::Format format, const std::byte* data, std::size_t row_bytes, std::uint32_t first,
               std::uint32_t outputs, std::uint32_t k, std::uint32_t n, GroupTile& tile) noexcept;

}  // namespace kinglet::ops

// ops/cpu_layout.hpp: where in one block of memory does everything lie that a CPU backend ever needs?
#pragma once
#include <cstddef>

#include <kinglet/ops/backend.hpp>

#include "ops/kernels/kernels.hpp"
#include "ops/kernels/packed.hpp"

namespace kinglet::ops {

/// Rows that one tile of a product computes: enough to pay for reading the weights, few enough for a short piece.
inline constexpr std::uint32_t row_block = 64;

/// Tiles of gate and up of a single row that are multiplied and quantized together: as many groups as the fastest
/// quantizer takes at once.
inline constexpr std::uint32_t shared_tiles = 16;

/// Stretches of a single row that attention may compute side by side; many rows share as many states as there are rows.
inline constexpr std::uint32_t least_waves = 16;

/// Sizes of rows and offsets of arrays, in a block that starts with the backend itself. Offsets are multiples of 64.
struct CpuLayout {
  // floats of a row
  std::size_t narrow_row;  ///< dim
  std::size_t wide_row;    ///< the largest of dim, heads * head_dim and ffn
  std::size_t head_row;    ///< the larger of dim and heads * head_dim, a multiple of 32
  std::size_t ffn_row;     ///< ffn, up to a multiple of 32
  std::size_t qkv_row;     ///< (heads + 2 * kv_heads) * head_dim
  std::size_t state;       ///< of a query: 2 + head_dim
  // offsets in bytes
  std::size_t x;            ///< [max_rows][narrow_row]
  std::size_t normed;       ///< [max_rows][narrow_row]
  std::size_t wide;         ///< [max_rows][wide_row]: attention's output, gate_up's where floats are read, hidden rows
  std::size_t qkv;          ///< [max_rows][qkv_row]
  std::size_t cos, sin;     ///< [max_rows][rotated channels / 2]
  std::size_t inputs;       ///< [max_rows] ActivationRow: what the products of an op read
  std::size_t q;            ///< int8, fp8: [max_rows][wide_row] int16
  std::size_t low;          ///< fp8: [max_rows][wide_row] int16
  std::size_t scales;       ///< [max_rows][wide_row / 32]
  std::size_t sums;         ///< [max_rows][wide_row / 16] int32
  std::size_t panels;       ///< int8: [2][max_rows / panel_rows] Panel: what products read, and of gate_up's output
  std::size_t panels_each;  ///< max_rows / panel_rows
  std::size_t panel_data;   ///< int8: [max_rows / panel_rows][panel_bytes(head_row)]
  std::size_t wide_panels;  ///< int8: [max_rows / panel_rows][panel_bytes(ffn_row)]
  std::size_t states;       ///< [max_rows * heads][state]
  std::size_t waves;        ///< [(max(max_rows, least_waves) - 1) * heads][state]
  std::size_t logits;       ///< [max_logits][vocab]
  std::size_t bad;          ///< [max_rows] int32
  std::size_t first_tile;   ///< [max_sequences + 1] uint32
  std::size_t shares;       ///< [threads] Share
  std::size_t arrived;      ///< [tiles of a round, stretches aside] uint32: how many of a tile's stretches are done
  std::size_t scratch;      ///< [threads][thread_bytes]
  std::size_t thread_bytes;
  std::size_t workers;  ///< memory of the thread pool
  std::size_t workers_bytes;
  std::size_t pool;   ///< [layers][kv_heads][keys, values][pages] pieces of a page
  std::size_t total;  ///< 0 where the sizes overflow or make no sense
};

/// Memory of one thread; the scratch of `attend` follows.
struct ThreadScratch {
  Scratch tile;
  alignas(64) float acc[2][2 * row_block * tile_outputs];
  alignas(64) float attend[1];
};

/// @param beside  without what is another backend's: the threads with their scratch, and the pool
CpuLayout cpu_layout(const ContextShape& shape, std::size_t object_bytes, bool beside = false) noexcept;

}  // namespace kinglet::ops

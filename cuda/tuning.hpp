// cuda/tuning.hpp: which numbers may a measurement change?
//
// No bit depends on any of them but on many_from under `--bits device`, which therefore is the same on every chip.
// Beside each stands what it gained, against what; "not yet measured" = it was chosen so that blocks are full warps and
// fit every chip. What a kernel is compiled with holds for every chip: one launch, made by the host, must suit all the
// code that a fat binary has of it. What the host alone decides is a table by the chip's compute capability.
#pragma once
#include <cstdint>

namespace kinglet::cuda {

// A matrix times few rows: outputs and rows of a block, groups or columns between two barriers.
inline constexpr std::uint32_t few_outputs = 16;  ///< not yet measured
inline constexpr std::uint32_t few_rows = 8;      ///< not yet measured
inline constexpr std::uint32_t few_groups = 32;   ///< not yet measured
inline constexpr std::uint32_t few_columns = 64;  ///< not yet measured

// A matrix times many rows: tiles of 16 rows that share a warp's weights, warps of 8 outputs each.
inline constexpr std::uint32_t many_row_tiles = 4;  ///< not yet measured
inline constexpr std::uint32_t many_warps = 4;      ///< not yet measured
inline constexpr std::uint32_t many_rows = 16 * many_row_tiles, many_outputs = 8 * many_warps;
/// Rows from which on FP16 takes over under `--bits device` (docs/numbers.md, Device bits).
inline constexpr std::uint32_t many_from = few_rows + 1;  ///< not yet measured

// Threads of a block: the gate and the choice of a token read a row again and again.
inline constexpr std::uint32_t gate_threads = 256;    ///< not yet measured
inline constexpr std::uint32_t sample_threads = 512;  ///< not yet measured

/// Query heads that share a read of the keys.
inline constexpr std::uint32_t attend_heads = 4;  ///< not yet measured

/// What the host decides, by family of chips.
struct Tuning {
  std::uint32_t compute;    ///< of the family's first chip, 10 * major + minor
  std::uint32_t int8_from;  ///< rows from which on exact products take the INT8 tensor cores
};
/// As many rows as few_rows wastes nothing of.
inline constexpr Tuning tunings[] = {
    {75, few_rows + 1},   // Turing: not yet measured
    {80, few_rows + 1},   // Ampere and Ada: not yet measured
    {90, few_rows + 1},   // Hopper: not yet measured
    {100, few_rows + 1},  // Blackwell: not yet measured
};
/// Of a chip; the oldest family's for one before it.
constexpr const Tuning& tuning_of(std::uint32_t compute) noexcept {
  const Tuning* of = tunings;
  for (const Tuning& t : tunings) {
    if (t.compute <= compute) of = &t;
  }
  return *of;
}

}  // namespace kinglet::cuda

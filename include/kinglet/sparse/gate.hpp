// kinglet/sparse/gate.hpp: which input channels of a product are worth fetching?
//
// The importance of a channel is the mean magnitude of the weights that read it. A threshold turns a wanted sparsity
// into a fixed mask over the channels (neuron_mask), or into one that follows each row's own input (select_channels);
// gate_row drops a fixed share of each row instead, which is what the engine's option `gate` does. No memory is
// allocated.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include <kinglet/core/config.hpp>

namespace kinglet::sparse {

/// One more row of weights in the sums: sums[k] = sums[k] + |row[k]|.
/// @param row   [channels] de-quantized weights of one output
/// @param sums  [channels]; starts at 0. Where several matrices read the same input, their rows follow each other
KINGLET_API void add_magnitudes(std::span<const float> row, std::span<float> sums) noexcept;

/// Importance from the sums of `rows` rows: sums[k] = sums[k] / rows.
/// @param rows  > 0, as FP32
KINGLET_API void divide_by_rows(std::span<float> sums, std::uint64_t rows) noexcept;

/// The importance of every channel of one matrix.
/// @param weights     [rows][channels]
/// @param importance  [channels], out
KINGLET_API void column_importance(std::span<const float> weights, std::size_t rows,
                                   std::span<float> importance) noexcept;

/// The threshold at which a share of the scores is dropped: the floor(share * n)-th smallest; 0 where that is none.
/// @param scores  [n] >= 0: importance, or |x[k]| * importance[k] of many rows. Re-ordered
/// @param share   wanted sparsity, [0, 1]; outside of it the nearest end
KINGLET_API float calibrate_threshold(std::span<float> scores, float share) noexcept;

/// The mask that no input changes: bit k of the mask is set where importance[k] > threshold.
/// @param importance  [channels]
/// @param threshold   >= 0, in units of importance; see calibrate_threshold()
/// @param mask        [channels / 64, rounded up], out; bit k % 64 of word k / 64. The last word's other bits are 0
/// @return how many are set
KINGLET_API std::size_t neuron_mask(std::span<const float> importance, float threshold,
                                    std::span<std::uint64_t> mask) noexcept;

/// Keeps channel k where |x[k]| * importance[k] > threshold.
/// @param x           [channels] one row of activations; channels <= 65536
/// @param importance  [channels]; all ones gives plain magnitude
/// @param threshold   >= 0, in units of x * importance; see calibrate_threshold()
/// @param kept        out, room for [channels] indices; filled in ascending order
/// @return how many were kept. Depends on this row alone, so a batch cannot change it.
/// Source: TEAL (arXiv 2408.14690) for the threshold, WINA (arXiv 2505.19427) for the weighting.
KINGLET_API std::size_t select_channels(std::span<const float> x, std::span<const float> importance, float threshold,
                                        std::span<std::uint16_t> kept) noexcept;

/// Sets floor(share * K) channels of the row to +0 (share and the product in FP32): those with the smallest
/// |x[k]| * importance[k], ties taken from the lowest index (docs/numbers.md, "A layer"). A NaN counts as the largest.
/// O(K): the product is made five times, which costs less than memory to keep it in.
/// @param x           [K] one row of activations
/// @param importance  [K], >= 0
/// @param share       [0, 1]; outside of it the nearest end
/// @return how many were set to +0
KINGLET_API std::size_t gate_row(std::span<float> x, std::span<const float> importance, float share) noexcept;

}  // namespace kinglet::sparse

// kinglet/ops/rope.hpp: how far does each pair of channels turn from one position to the next?
//
// Angles are 64-bit fractions of a turn, and a phase is position * step modulo 2^64: exact at any position, so a stream
// of millions of tokens keeps its precision.
#pragma once
#include <cstdint>
#include <span>

#include <kinglet/core/config.hpp>

namespace kinglet::ops {

/// Which channels of a head form a pair.
enum class RotaryPairs : std::uint8_t {
  interleaved,  ///< (2i, 2i + 1): the llama family in GGUF
  halves,       ///< (i, i + d/2): the qwen families
};

/// step[i] = the integer nearest to 2^64 * theta^(-2i/d) / (2 pi * scale * factor[i]), modulo 2^64.
/// @param theta   rope.freq_base, > 0
/// @param scale   linear scaling factor, > 0; 1 = none
/// @param factor  [d/2] Llama 3's factors (rope_freqs.weight), each > 0; empty = all ones
/// @param step    out, [d/2]
/// Source: RoFormer (arXiv 2104.09864). Computed in pairs of doubles, so that the rounding is right to about 2^-90.
KINGLET_API void rotary_steps(float theta, float scale, std::span<const float> factor,
                              std::span<std::uint64_t> step) noexcept;

}  // namespace kinglet::ops

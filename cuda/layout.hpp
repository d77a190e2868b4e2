// cuda/layout.hpp: where does everything lie that the backend will ever need, on the device and in pinned memory?
#pragma once
#include <cstddef>

#include <kinglet/ops/backend.hpp>

namespace kinglet::cuda {

/// Bytes of a pinned buffer through which weights go up; there are two, in turn.
inline constexpr std::size_t staging_bytes = std::size_t{1} << 20;
inline constexpr std::uint32_t max_head_dim = 1024;

/// The next multiple of `to`.
constexpr std::size_t aligned_to(std::size_t to, std::size_t bytes) noexcept { return (bytes + to - 1) / to * to; }
/// Tokens that the penalties of a choice on the device may look at; for more the logits go to the host.
inline constexpr std::uint32_t sample_window = 1024;

/// Offsets in bytes, multiples of 256, into the device's block; then into the pinned one.
struct DeviceLayout {
  std::size_t wide;        ///< columns of the widest row: of dim, heads * head_dim and ffn
  std::size_t qkv_row;     ///< (heads + 2 * kv_heads) * head_dim
  std::size_t step;        ///< the rows of a step and where they stand; see StepLayout
  std::size_t x;           ///< [max_rows][dim]
  std::size_t normed;      ///< [max_rows][dim]
  std::size_t wide_rows;   ///< [max_rows][wide]: attention's output, gate_up's
  std::size_t qkv;         ///< [max_rows][qkv_row]
  std::size_t cos, sin;    ///< [max_rows][pairs]
  std::size_t q;           ///< int8: [max_rows][wide]
  std::size_t codes;       ///< fp8: [max_rows][wide] int32
  std::size_t halves;      ///< device bits: [max_rows][half_words(wide)] words of four FP16
  std::size_t row_scales;  ///< device bits: [max_rows]
  std::size_t scales;      ///< [max_rows][wide / 32, rounded up]
  std::size_t sums;        ///< [max_rows][wide / 16, rounded up] int32
  std::size_t partial;     ///< [slots][2 + head_dim]
  std::size_t slots;       ///< see partial_slots()
  std::size_t state;       ///< [max_rows][heads][2 + head_dim]
  std::size_t logits;      ///< [max_logits][vocab]
  std::size_t hidden;      ///< [max_rows][dim]
  std::size_t bad;         ///< [max_rows] uint32
  std::size_t rotary;      ///< [pairs] uint64
  std::size_t vectors;     ///< room for every vector that a model's operations may have
  std::size_t vector_floats;
  std::size_t choices;  ///< as many as a step may foresee, and one that it has not foreseen
  std::size_t values;   ///< [choices][vocab], scratch of a choice
  std::size_t rules;    ///< [choices] ChoiceRules
  std::size_t windows;  ///< [choices][sample_window] int32
  std::size_t sampled;  ///< [choices] SampledRow
  std::size_t pool;     ///< [pages][page_bytes]
  std::size_t device_bytes;

  std::size_t host_step;  ///< mirror of `step`
  std::size_t step_bytes;
  std::size_t host_logits;
  std::size_t host_hidden;  ///< also the way of rows that cross to or from another backend
  std::size_t host_bad;
  std::size_t host_rules;
  std::size_t host_windows;
  std::size_t host_sampled;
  std::size_t staging;  ///< [2][staging_bytes]
  std::size_t pinned_bytes;

  bool ok;  ///< false where the sizes overflow or make no sense
};

DeviceLayout device_layout(const ops::ContextShape& shape) noexcept;

}  // namespace kinglet::cuda

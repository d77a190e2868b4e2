// sample/stages.hpp: what does each stage of the sampler do to the candidates?
//
// Before the filters a candidate is an index into `values` (-infinity = out). The filters work on keys
// (ops/token_key.hpp), whose ascending order is that of falling logits and, among equals, of rising ids.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include <kinglet/sample/sampler.hpp>

#include "ops/token_key.hpp"

namespace kinglet::sample {

using ops::key_logit;
using ops::key_token;
using ops::make_key;

/// Repetition, frequency and presence. invalid_argument: an id out of the vocabulary (values are then unchanged).
/// @param counts  [vocab], scratch
Status apply_penalties(const SamplerOptions& options, std::span<const std::int32_t> history, std::span<float> values,
                       std::span<std::uint64_t> counts) noexcept;

/// @param breakers  options.dry_breakers, ascending
/// @param lengths   [vocab], scratch
/// @param match     [options.dry_last_n], scratch
Status apply_dry(const SamplerOptions& options, std::span<const std::int32_t> breakers,
                 std::span<const std::int32_t> history, std::span<float> values, std::span<std::uint64_t> lengths,
                 std::span<std::uint32_t> match) noexcept;

/// Writes the keys of the k largest candidates, in no particular order.
/// @param keys  [vocab], out
/// @return how many: k, or all candidates where there are fewer
std::size_t select_top(std::span<const float> values, std::size_t k, std::span<std::uint64_t> keys) noexcept;

/// Stages 4 to 7.
/// @param values  [vocab], unchanged
/// @param max     the largest value
/// @param keys    [vocab], out: the candidates that are left, at least one
/// @return how many
std::size_t filter(const SamplerOptions& options, std::span<const float> values, float max,
                   std::span<std::uint64_t> keys) noexcept;

/// Stage 8 with a temperature above 0: the index of the drawn value.
/// @param values  at least one finite one, in ascending order of ids
/// @param max     the largest value
std::size_t draw(std::span<const float> values, float max, float temperature, std::uint64_t random) noexcept;

}  // namespace kinglet::sample

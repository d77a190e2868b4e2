// sample/penalties.cpp: what does a token lose for having been said before? (stages 2 and 3)
#include <algorithm>
#include <limits>

#include "core/fail.hpp"
#include "sample/stages.hpp"

namespace kinglet::sample {
namespace {

constexpr float largest = std::numeric_limits<float>::max();

/// Keeps a candidate a candidate, however large its penalty.
float bounded(float x) noexcept { return std::clamp(x, -largest, largest); }

Status check_history(std::span<const std::int32_t> window, std::size_t vocab) noexcept {
  for (const std::int32_t id : window) {
    if (id < 0 || static_cast<std::size_t>(id) >= vocab) {
      return core::fail(Errc::invalid_argument, "sampler: the history holds token {}, the vocabulary has {}", id,
                        vocab);
    }
  }
  return {};
}

/// base^n by squaring; infinity where it is too large.
float power(float base, std::uint32_t n) noexcept {
  float result = 1.0f;
  for (; n != 0; n >>= 1) {
    if ((n & 1u) != 0) result *= base;
    base *= base;
  }
  return result;
}

/// match[i] = length of the common prefix of r and r[i..], where r is the window read backwards (the Z-algorithm,
/// O(n)). Source: Gusfield, "Algorithms on strings, trees, and sequences" (1997), section 1.4.
void match_lengths(std::span<const std::int32_t> window, std::span<std::uint32_t> match) noexcept {
  const std::size_t n = window.size();
  const auto r = [&](std::size_t i) { return window[n - 1 - i]; };
  match[0] = static_cast<std::uint32_t>(n);
  std::size_t left = 0, right = 0;  // r[left, right) is the prefix that reaches furthest
  for (std::size_t i = 1; i < n; ++i) {
    std::size_t length = i < right ? std::min<std::size_t>(right - i, match[i - left]) : 0;
    while (i + length < n && r(length) == r(i + length)) ++length;
    match[i] = static_cast<std::uint32_t>(length);
    if (i + length > right) {
      left = i;
      right = i + length;
    }
  }
}

}  // namespace

Status apply_penalties(const SamplerOptions& options, std::span<const std::int32_t> history, std::span<float> values,
                       std::span<std::uint64_t> counts) noexcept {
  if (options.repetition_penalty == 1.0f && options.frequency_penalty == 0.0f && options.presence_penalty == 0.0f) {
    return {};
  }
  const std::size_t last =
      options.penalty_last_n < 0 ? history.size() : static_cast<std::size_t>(options.penalty_last_n);
  const auto window = history.last(std::min(last, history.size()));
  if (const Status status = check_history(window, values.size()); !status) return status;
  for (const std::int32_t id : window) counts[static_cast<std::size_t>(id)] = 0;
  for (const std::int32_t id : window) ++counts[static_cast<std::size_t>(id)];
  for (const std::int32_t id : window) {
    std::uint64_t& count = counts[static_cast<std::size_t>(id)];
    float& value = values[static_cast<std::size_t>(id)];
    if (count == 0 || value < -largest) continue;
    value =
        ops::penalised(value, count, options.repetition_penalty, options.frequency_penalty, options.presence_penalty);
    count = 0;  // a token is penalised once
  }
  return {};
}

Status apply_dry(const SamplerOptions& options, std::span<const std::int32_t> breakers,
                 std::span<const std::int32_t> history, std::span<float> values, std::span<std::uint64_t> lengths,
                 std::span<std::uint32_t> match) noexcept {
  if (options.dry_multiplier == 0.0f) return {};
  const auto window = history.last(std::min(match.size(), history.size()));
  if (const Status status = check_history(window, values.size()); !status) return status;
  const auto breaks = [&](std::int32_t id) { return std::binary_search(breakers.begin(), breakers.end(), id); };
  const std::size_t n = window.size();
  const auto allowed = static_cast<std::uint32_t>(options.dry_allowed_length);
  std::uint32_t reach = 0;  // tokens at the end without a breaker among them
  while (reach < n && !breaks(window[n - 1 - reach])) ++reach;
  if (reach < allowed) return {};

  match_lengths(window, match);
  for (const std::int32_t id : window) lengths[static_cast<std::size_t>(id)] = 0;
  for (std::size_t i = 1; i < n; ++i) {  // what stands before r[i] is followed by r[i - 1]
    std::uint64_t& length = lengths[static_cast<std::size_t>(window[n - i])];
    length = std::max<std::uint64_t>(length, std::min(match[i], reach));
  }
  for (const std::int32_t id : window) {
    std::uint64_t& length = lengths[static_cast<std::size_t>(id)];
    float& value = values[static_cast<std::size_t>(id)];
    if (length < allowed || value < -largest || breaks(id)) continue;
    const float grown = bounded(power(options.dry_base, static_cast<std::uint32_t>(length) - allowed));
    value = bounded(value - bounded(options.dry_multiplier * grown));
    length = 0;
  }
  return {};
}

}  // namespace kinglet::sample

// sparse/gate.cpp: how are importance, threshold and mask computed?
#include <kinglet/sparse/gate.hpp>

#include <algorithm>
#include <cmath>

#include <kinglet/core/float_env.hpp>

#include "sparse/rank.hpp"

namespace kinglet::sparse {
void add_magnitudes(std::span<const float> row, std::span<float> sums) noexcept {
  const core::FloatEnvironment environment;
  const std::size_t n = std::min(row.size(), sums.size());
  for (std::size_t k = 0; k < n; ++k) sums[k] += std::fabs(row[k]);
}

void divide_by_rows(std::span<float> sums, std::uint64_t rows) noexcept {
  const core::FloatEnvironment environment;
  const auto count = static_cast<float>(rows);
  for (float& sum : sums) sum /= count;
}

void column_importance(std::span<const float> weights, std::size_t rows, std::span<float> importance) noexcept {
  std::fill(importance.begin(), importance.end(), 0.0f);
  for (std::size_t r = 0; r < rows; ++r) {
    add_magnitudes(weights.subspan(r * importance.size(), importance.size()), importance);
  }
  divide_by_rows(importance, rows);
}

float calibrate_threshold(std::span<float> scores, float share) noexcept {
  const std::size_t drop = share_of(share, scores.size());
  if (drop == 0) return 0.0f;
  const auto nth = scores.begin() + static_cast<std::ptrdiff_t>(drop - 1);
  // By bits: a total order even where a score is NaN, which plain < is not.
  std::nth_element(scores.begin(), nth, scores.end(), [](float a, float b) { return score(a, 1.0f) < score(b, 1.0f); });
  return *nth;
}

std::size_t neuron_mask(std::span<const float> importance, float threshold, std::span<std::uint64_t> mask) noexcept {
  std::fill(mask.begin(), mask.end(), std::uint64_t{0});
  std::size_t count = 0;
  for (std::size_t k = 0; k < importance.size(); ++k) {
    if (!(importance[k] > threshold)) continue;
    mask[k / 64] |= std::uint64_t{1} << (k % 64);
    ++count;
  }
  return count;
}

std::size_t select_channels(std::span<const float> x, std::span<const float> importance, float threshold,
                            std::span<std::uint16_t> kept) noexcept {
  const core::FloatEnvironment environment;
  std::size_t count = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    if (std::fabs(x[k]) * importance[k] > threshold) kept[count++] = static_cast<std::uint16_t>(k);
  }
  return count;
}

std::size_t gate_row(std::span<float> x, std::span<const float> importance, float share) noexcept {
  const core::FloatEnvironment environment;
  const std::size_t drop = share_of(share, x.size());
  if (drop == 0) return 0;
  // The score of rank `drop`, one byte at a time from the top: the scores that agree with the bytes found so far are
  // counted by their next byte.
  std::size_t rank = drop;  // among the scores that agree, from 1
  std::uint32_t found = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    std::size_t count[256] = {};
    const std::uint32_t above = shift == 24 ? 0u : ~0u << (shift + 8);
    for (std::size_t k = 0; k < x.size(); ++k) {
      const std::uint32_t s = score(x[k], importance[k]);
      if ((s & above) == found) ++count[(s >> shift) & 255u];
    }
    std::uint32_t byte = 0;
    for (; count[byte] < rank; ++byte) rank -= count[byte];
    found |= byte << shift;
  }
  for (std::size_t k = 0; k < x.size(); ++k) {
    const std::uint32_t s = score(x[k], importance[k]);
    if (s > found || (s == found && rank == 0)) continue;
    if (s == found) --rank;  // of those equal to the last one dropped, the first ones
    x[k] = 0.0f;
  }
  return drop;
}

}  // namespace kinglet::sparse

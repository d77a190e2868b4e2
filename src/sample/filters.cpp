// sample/filters.cpp: which candidates stay, and which one is drawn? (stages 4 to 8)
#include <algorithm>
#include <cmath>
#include <limits>

#include <kinglet/core/math.hpp>

#include "sample/stages.hpp"
#include "sample/weights.hpp"

namespace kinglet::sample {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Candidates whose weights are computed at once, on the stack.
constexpr std::size_t chunk = 256;
/// Up to here a heap over one pass beats a partition of all candidates (151,936 of them: 0.1 ms against 1.2 ms).
constexpr std::size_t heap_limit = 1024;

/// The weights of up to `chunk` keys, whose logits logit(key) tells.
template <class Logit>
void key_weights(std::span<const std::uint64_t> keys, float max, Logit&& logit, std::uint64_t* w) noexcept {
  float x[chunk];
  for (std::size_t i = 0; i < keys.size(); ++i) x[i] = logit(keys[i]);
  weights(x, keys.size(), max, 1.0f, w);
}

struct Total {
  std::uint64_t weight = 0;
  std::uint64_t surprise = 0;  ///< sum of floor(weight * (max - logit))
};

/// Sums over the keys, and takes those of weight 0 out of them.
Total sum_weights(std::span<std::uint64_t>& keys, float max) noexcept {
  Total sum;
  std::size_t kept = 0;
  std::uint64_t w[chunk];
  for (std::size_t i = 0; i < keys.size(); i += chunk) {
    const auto part = keys.subspan(i, std::min(chunk, keys.size() - i));
    key_weights(part, max, key_logit, w);
    for (std::size_t k = 0; k < part.size(); ++k) {
      if (w[k] == 0) continue;
      const std::uint64_t key = part[k];
      sum.weight += w[k];
      sum.surprise += static_cast<std::uint64_t>(static_cast<double>(w[k]) * static_cast<double>(max - key_logit(key)));
      keys[kept++] = key;  // kept <= i + k: only what was read already is overwritten
    }
  }
  keys = keys.first(kept);
  return sum;
}

/// Puts the smallest keys whose weights it takes to reach `share` of the whole in front; how many those are.
/// Bisection by weight: each round halves the range that holds the last one kept, so that all are O(n) together, where
/// sorting 151,936 nearly equal candidates takes 38 ms.
template <class Logit>
std::size_t keep_share(std::span<std::uint64_t> keys, float share, std::uint64_t whole, float max,
                       Logit&& logit) noexcept {
  const double wanted = std::ceil(static_cast<double>(share) * static_cast<double>(whole));
  const auto at = [&](std::size_t i) { return keys.begin() + static_cast<std::ptrdiff_t>(i); };
  std::uint64_t sum = 0;  // of the keys before `low`
  std::uint64_t w[chunk];
  std::size_t low = 0, high = keys.size(), split = chunk;  // few tokens hold most of the weight, as a rule
  while (high - low > chunk) {
    const std::size_t middle = low + split;
    if (split <= chunk) {
      std::partial_sort(at(low), at(middle), at(high));
    } else {
      std::nth_element(at(low), at(middle), at(high));
    }
    std::uint64_t part = 0;
    for (std::size_t i = low; i < middle; i += chunk) {
      const std::size_t n = std::min(chunk, middle - i);
      key_weights(keys.subspan(i, n), max, logit, w);
      for (std::size_t k = 0; k < n; ++k) part += w[k];
    }
    if (static_cast<double>(sum + part) >= wanted) {
      high = middle;
    } else {
      sum += part;
      low = middle;
    }
    split = low == chunk ? std::max((high - low) / 16, std::size_t{1}) : (high - low) / 2;
  }
  std::sort(at(low), at(high));
  key_weights(keys.subspan(low, high - low), max, logit, w);
  for (std::size_t i = low; i < high; ++i) {
    sum += w[i - low];
    if (static_cast<double>(sum) >= wanted) return i + 1;
  }
  return high;
}

float largest_logit(std::span<const std::uint64_t> keys) noexcept {
  return key_logit(*std::min_element(keys.begin(), keys.end()));
}

std::size_t typical(float share, std::span<const float> values, std::span<std::uint64_t> keys) noexcept {
  const float max = largest_logit(keys);
  const Total sum = sum_weights(keys, max);
  const double mean = static_cast<double>(sum.surprise) / static_cast<double>(sum.weight);
  for (std::uint64_t& key : keys) {
    const auto distance = static_cast<float>(std::fabs(static_cast<double>(max - key_logit(key)) - mean));
    key = (std::uint64_t{std::bit_cast<std::uint32_t>(distance)} << 32) | key_token(key);
  }
  const std::size_t kept =
      keep_share(keys, share, sum.weight, max, [&](std::uint64_t key) { return values[key_token(key)]; });
  for (std::uint64_t& key : keys.first(kept)) key = make_key(values[key_token(key)], key_token(key));
  return kept;
}

std::size_t top_p(float share, std::span<std::uint64_t> keys) noexcept {
  const float max = largest_logit(keys);
  const Total sum = sum_weights(keys, max);
  return keep_share(keys, share, sum.weight, max, key_logit);
}

std::size_t min_p(float share, std::span<std::uint64_t> keys) noexcept {
  const float max = largest_logit(keys);
  const float floor = core::log_f32(share);
  const auto end =
      std::remove_if(keys.begin(), keys.end(), [&](std::uint64_t key) { return !(key_logit(key) - max >= floor); });
  return static_cast<std::size_t>(end - keys.begin());
}

}  // namespace

std::size_t select_top(std::span<const float> values, std::size_t k, std::span<std::uint64_t> keys) noexcept {
  std::size_t n = 0;
  if (k > heap_limit) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] > -infinity) keys[n++] = make_key(values[i], i);
    }
    if (n > k)
      std::nth_element(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(k),
                       keys.begin() + static_cast<std::ptrdiff_t>(n));
    return std::min(n, k);
  }
  float worst = -infinity;  // of the k best so far; an equal one that comes later has a higher id
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > worst)) continue;
    if (n == k) {
      std::pop_heap(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(n));
      --n;
    }
    keys[n++] = make_key(values[i], i);
    std::push_heap(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(n));
    if (n == k) worst = key_logit(keys[0]);
  }
  return n;
}

std::size_t filter(const SamplerOptions& options, std::span<const float> values, float max,
                   std::span<std::uint64_t> keys) noexcept {
  std::size_t n = 0;
  if (options.top_k > 0) {
    n = select_top(values, static_cast<std::size_t>(options.top_k), keys);
  } else {
    // Whatever a later stage is sure to drop need not become a key: weight 0, or less than min_p.
    const bool by_weight = options.typical_p < 1.0f || options.top_p < 1.0f;
    const float floor = by_weight ? -30.0f : core::log_f32(options.min_p);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] - max >= floor) keys[n++] = make_key(values[i], i);
    }
  }
  if (options.typical_p < 1.0f) n = typical(options.typical_p, values, keys.first(n));
  if (options.top_p < 1.0f) n = top_p(options.top_p, keys.first(n));
  if (options.min_p > 0.0f) n = min_p(options.min_p, keys.first(n));
  return n;
}

std::size_t draw(std::span<const float> values, float max, float temperature, std::uint64_t random) noexcept {
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t sum = weight_sum(values.data(), values.size(), max, temperature);
  auto left = static_cast<std::uint64_t>((Wide{sum} * random) >> 64);
  std::uint64_t w[chunk];
  for (std::size_t i = 0; i < values.size(); i += chunk) {
    const std::size_t n = std::min(chunk, values.size() - i);
    weights(values.data() + i, n, max, temperature, w);
    for (std::size_t k = 0; k < n; ++k) {
      if (left < w[k]) return i + k;
      left -= w[k];
    }
  }
  return 0;  // not reached: left starts below the sum
}

}  // namespace kinglet::sample

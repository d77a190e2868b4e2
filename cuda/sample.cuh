// cuda/sample.cuh: which token comes next? The sampler's stages of sample/sampler.hpp that numbers alone describe.
//
// Floor: the row of logits read once. It is read 5 times, and 8 more for top-k and 9 for top-p, out of the caches but
// for the first, by one block; the rows of a step have one each. All sums are of integers (ops/token_key.hpp), so that
// any order gives the same. Nothing is sorted: top-k and top-p are each one key, found byte by byte, that the
// candidates' keys are not above. Not measured yet.
#pragma once
#include "args.hpp"
#include "block.cuh"
#include "device.cuh"
#include "ops/token_key.hpp"
#include "tuning.hpp"

namespace kinglet::cuda {

struct SampleRow {
  using Args = SampleArgs;
  static constexpr unsigned max_threads = sample_threads;
  static_assert(max_threads >= 256);  // a byte's values
  static constexpr std::uint64_t all_keys = ~std::uint64_t{0};
  // shared memory: two numbers that one thread has found; low and high words of 256 sums
  static constexpr unsigned low_at = 16, high_at = low_at + 4 * 256;
  static constexpr unsigned shared_bytes = high_at + 4 * 256;

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const std::size_t choice = t.block(0);
    const ChoiceRules rules = t.global(a.rules)[choice];
    const std::uint32_t n = a.vocab;
    const auto logits = t.global(a.logits) + std::size_t{rules.logits} * n;
    const auto values = t.global(a.values) + choice * n;
    const auto out = t.global(a.out) + choice;
    SampledRow result{0, -1, 0, 0.0f, 0.0f};
    std::uint64_t best = take(t, logits, values, n);
    if (best != 0) {
      result.finite = 1;
      result.max = ops::key_logit(best);
    }
    if (best == 0 || result.max < -3.402823466e38f) {  // the same for all threads
      if (t.thread() == 0) out[0] = result;
      return;
    }
    std::uint64_t sum = 0;
    for (std::uint32_t i = t.thread(); i < n; i += max_threads) sum += ops::weight_of(logits[i], result.max, 1.0f);
    (void)t.template block_scan<max_threads>(sum, result.sum);
    if (rules.window != 0) {
      penalise(t, rules, t.global(a.windows) + rules.window_first, values);
      best = largest(t, values, n);
    }
    result.token = static_cast<std::int32_t>(ops::key_token(best));
    if (rules.temperature > 0.0f) result.token = static_cast<std::int32_t>(draw(t, rules, values, n, best));
    if (t.thread() != 0) return;
    result.logit = logits[static_cast<std::uint32_t>(result.token)];
    out[0] = result;
  }

 private:
  /// Copies the logits. @return the best one's key, or 0 where one is not finite
  template <class Thread, class In, class Out>
  KINGLET_DEVICE static std::uint64_t take(const Thread& t, const In& logits, const Out& values, std::uint32_t n) {
    std::uint64_t key = all_keys;
    for (std::uint32_t i = t.thread(); i < n; i += max_threads) {
      const float l = logits[i];
      values[i] = l;
      const std::uint64_t mine = l < core::bits_float(0x7f800000u) ? ops::make_key(l, i) : 0;
      key = mine < key ? mine : key;
    }
    return t.template block_least<max_threads>(key);
  }

  template <class Thread, class Values>
  KINGLET_DEVICE static std::uint64_t largest(const Thread& t, const Values& values, std::uint32_t n) {
    std::uint64_t key = all_keys;
    for (std::uint32_t i = t.thread(); i < n; i += max_threads) {
      const std::uint64_t mine = ops::make_key(values[i], i);
      key = mine < key ? mine : key;
    }
    return t.template block_least<max_threads>(key);
  }

  /// A token's first place in the window answers for all of them.
  template <class Thread, class Window, class Values>
  KINGLET_DEVICE static void penalise(const Thread& t, const ChoiceRules& a, const Window& window,
                                      const Values& values) {
    const std::uint32_t n = a.window;
    for (std::uint32_t i = t.thread(); i < n; i += max_threads) {
      const std::int32_t token = window[i];
      std::uint32_t earlier = 0, count = 0;
      for (std::uint32_t k = 0; k < n; ++k) {
        const std::int32_t other = window[k];
        if (other != token) continue;
        ++count;
        if (k < i) ++earlier;
      }
      if (earlier != 0) continue;
      const float value = values[static_cast<std::uint32_t>(token)];
      if (value < -3.402823466e38f) continue;
      values[static_cast<std::uint32_t>(token)] = ops::penalised(value, count, a.repetition, a.frequency, a.presence);
    }
    t.sync();
  }

  /// The smallest key such that the measures of all keys up to it reach `wanted`; all_keys where nothing does.
  /// @param measure  (key, value) -> integer; 0 for what is no candidate
  template <class Thread, class Values, class Measure>
  KINGLET_DEVICE static std::uint64_t reach(const Thread& t, const Values& values, std::uint32_t n, double wanted,
                                            Measure measure) {
    const auto number = t.template shared<std::uint64_t>(0, 2);
    const auto low = t.template shared<std::uint32_t>(low_at, 256);
    const auto high = t.template shared<std::uint32_t>(high_at, 256);
    std::uint64_t found = 0, before = 0;  // the key's first bytes; the sum of all keys below them
    for (unsigned shift = 64; shift > 0;) {
      shift -= 8;
      t.sync();
      for (unsigned i = t.thread(); i < 256; i += max_threads) {
        low[i] = 0;
        high[i] = 0;
      }
      t.sync();
      const std::uint64_t above = shift == 56 ? 0 : all_keys << (shift + 8);
      for (std::uint32_t i = t.thread(); i < n; i += max_threads) {
        const float value = values[i];
        const std::uint64_t key = ops::make_key(value, i);
        if ((key & above) != found) continue;
        const std::uint64_t m = measure(key, value);
        if (m == 0) continue;
        const auto digit = static_cast<std::uint32_t>(key >> shift) & 255u;
        const auto part = static_cast<std::uint32_t>(m);
        const std::uint32_t old = t.atomic_add(low, digit, part);
        const std::uint32_t carry = old + part < old ? 1u : 0u;
        const std::uint32_t rest = static_cast<std::uint32_t>(m >> 32) + carry;
        if (rest != 0) t.atomic_add(high, digit, rest);
      }
      t.sync();
      std::uint64_t part = 0, all = 0;
      if (t.thread() < 256) part = std::uint64_t{high[t.thread()]} << 32 | low[t.thread()];
      if (t.thread() == 0) number[0] = 256;
      const std::uint64_t sum = before + t.template block_scan<max_threads>(part, all);
      const bool reached = static_cast<double>(sum + part) >= wanted;
      if (reached && (t.thread() == 0 || static_cast<double>(sum) < wanted)) {
        number[0] = t.thread();
        number[1] = sum;
      }
      t.sync();
      const std::uint64_t digit = number[0];
      if (digit > 255) return all_keys;
      before = number[1];
      found |= digit << shift;
    }
    return found;
  }

  /// Stages 4 to 8 with a temperature above 0.
  template <class Thread, class Values>
  KINGLET_DEVICE static std::uint32_t draw(const Thread& t, const ChoiceRules& a, const Values& values, std::uint32_t n,
                                           std::uint64_t best) {
    const float max = ops::key_logit(best);
    std::uint64_t limit = all_keys;
    if (a.top_k > 0) {
      limit = reach(t, values, n, static_cast<double>(a.top_k), [](std::uint64_t, float value) {
        return value < -3.402823466e38f ? std::uint64_t{0} : std::uint64_t{1};
      });
    }
    if (a.top_p < 1.0f) {
      const auto weight = [&](std::uint64_t key, float value) {
        return key > limit ? std::uint64_t{0} : ops::weight_of(value, max, 1.0f);
      };
      std::uint64_t sum = 0;
      for (std::uint32_t i = t.thread(); i < n; i += max_threads) {
        const float value = values[i];
        sum += weight(ops::make_key(value, i), value);
      }
      std::uint64_t all = 0;
      (void)t.template block_scan<max_threads>(sum, all);
      const auto whole = static_cast<double>(all);
      limit = reach(t, values, n, ceil(static_cast<double>(a.top_p) * whole), weight);
    }
    return find(t, values, n, a.random, [&](std::uint32_t i) {
      const float value = values[i];
      const bool out = ops::make_key(value, i) > limit || !(value - max >= a.floor);
      return out ? std::uint64_t{0} : ops::weight_of(value, max, a.temperature);
    });
  }

  /// The token whose stretch of the cumulated weights holds floor(sum * random / 2^64): range after range is cut into
  /// one part for each thread.
  template <class Thread, class Values, class Weight>
  KINGLET_DEVICE static std::uint32_t find(const Thread& t, const Values&, std::uint32_t n, std::uint64_t random,
                                           Weight weight) {
    __extension__ using Wide = unsigned __int128;
    const auto number = t.template shared<std::uint64_t>(0, 2);
    std::uint32_t first = 0, last = n;
    std::uint64_t left = 0;
    for (bool begun = false; !begun || last - first > 1; begun = true) {
      const std::uint32_t part = (last - first + max_threads - 1) / max_threads;
      const std::uint32_t from = first + t.thread() * part;
      std::uint64_t sum = 0;
      for (std::uint32_t i = from; i < last && i < from + part; ++i) sum += weight(i);
      std::uint64_t all = 0;
      const std::uint64_t before = t.template block_scan<max_threads>(sum, all);
      if (!begun) left = static_cast<std::uint64_t>((Wide{all} * random) >> 64);
      if (before <= left && left < before + sum) {
        number[0] = t.thread();
        number[1] = before;
      }
      t.sync();
      first += static_cast<std::uint32_t>(number[0]) * part;
      left -= number[1];
      last = first + part < last ? first + part : last;
    }
    return first;
  }
};

}  // namespace kinglet::cuda

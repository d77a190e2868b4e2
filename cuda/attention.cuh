// cuda/attention.cuh: scores and values over the pages of a stretch, and the stretches' merge
//
// Floor: the visible pages of a KV head read once for the queries that share it. Every score and every channel is one
// thread's ascending chain (docs/numbers.md, Attention). Stretches run in parallel; a second kernel merges them in
// order. Not measured yet.
#pragma once
#include "args.hpp"
#include "core/functions.hpp"
#include "lanes.cuh"
#include "rotate.cuh"
#include "tuning.hpp"

namespace kinglet::cuda {

inline constexpr std::uint32_t stretch_positions = 256;

/// The visible positions of a stretch: [0, globals) and [first, last), relative to its start.
struct Visible {
  std::uint32_t globals, first, last;

  KINGLET_DEVICE bool has(std::uint32_t j) const { return j < globals || (j >= first && j < last); }
  KINGLET_DEVICE bool any() const { return globals != 0 || first < last; }
};

KINGLET_DEVICE Visible visible(std::uint32_t position, std::uint32_t start, std::uint32_t window,
                               std::uint32_t globals) {
  const std::uint32_t seen = position + 1 <= start ? 0 : position + 1 - start;
  Visible v{0, 0, seen < stretch_positions ? seen : stretch_positions};
  if (window != 0 && position >= window) {
    const std::uint32_t oldest = position - window + 1;
    v.first = oldest <= start ? 0 : oldest - start;
    const std::uint32_t end = globals <= start ? 0 : globals - start;
    v.globals = end < v.last ? end : v.last;
    if (v.first < v.globals) v.first = v.globals;
    if (v.first > v.last) v.first = v.last;
  }
  return v;
}

/// One thread a position, then one thread a channel of a head.
struct AttendStretch {
  using Args = AttendArgs;
  static constexpr unsigned max_threads = stretch_positions;
  // shared memory: p [attend_heads][256], lane [128], m and l [attend_heads], page of each 16 positions [16],
  // q [attend_heads][head_dim]
  static constexpr unsigned lane_at = 4 * attend_heads * stretch_positions;
  static constexpr unsigned ml_at = lane_at + 4 * lanes;
  static constexpr unsigned pages_at = ml_at + 8 * attend_heads;
  static constexpr unsigned q_at = pages_at + 4 * stretch_positions / page_positions;
  static constexpr std::uint32_t shared_bytes(std::uint32_t head_dim) noexcept {
    return q_at + 4 * attend_heads * head_dim;
  }

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const std::size_t row = t.block(0);
    const std::uint32_t kv_head = t.block(1), stretch = t.block(2);
    const std::uint32_t start = (a.first_stretch + stretch) * stretch_positions;
    const auto positions = t.global(a.places.position);
    const Visible see = visible(positions[row], start, a.window, a.globals);
    const std::uint32_t each = a.heads / a.kv_heads;
    const auto partial = t.global(a.partial);
    if (see.any()) find_pages(t, a, row, start, see);
    for (std::uint32_t first = 0; first < each; first += attend_heads) {
      const std::uint32_t count = each - first < attend_heads ? each - first : attend_heads;
      const std::size_t head = row * a.heads + kv_head * each + first;
      if (!see.any()) {  // the same for the whole block
        if (t.thread() < count) {
          const std::size_t at = ((head + t.thread()) * a.stretches + stretch) * (2 + a.head_dim);
          partial[at] = core::bits_float(0xff800000u);
          partial[at + 1] = 0.0f;
        }
        continue;
      }
      load_queries(t, a, row, kv_head * each + first, count);
      t.sync();
      score(t, a, kv_head, count, see);
      for (std::uint32_t h = 0; h < count; ++h) soften(t, a, h, see);
      sum_values(t, a, kv_head, count, see, head, stretch);
      t.sync();  // before q and p are written again
    }
  }

 private:
  template <class Thread>
  KINGLET_DEVICE static void find_pages(const Thread& t, const Args& a, std::size_t row, std::uint32_t start,
                                        const Visible& see) {
    const std::uint32_t p = t.thread();
    if (p * page_positions >= see.last || p >= stretch_positions / page_positions) return;
    const auto sequences = t.global(a.places.sequence);
    const auto firsts = t.global(a.places.first_page);
    const auto pages = t.global(a.places.pages);
    const auto page = t.template shared<std::uint32_t>(pages_at, stretch_positions / page_positions);
    page[p] = pages[firsts[sequences[row]] + start / page_positions + p];
  }

  template <class Thread>
  KINGLET_DEVICE static void load_queries(const Thread& t, const Args& a, std::size_t row, std::uint32_t head,
                                          std::uint32_t count) {
    const auto q = t.template shared<float>(q_at, attend_heads * a.head_dim);
    const auto qkv = t.global(a.qkv) + (row * (a.heads + 2 * a.kv_heads) + head) * a.head_dim;
    for (std::uint32_t i = t.thread(); i < count * a.head_dim; i += stretch_positions) q[i] = qkv[i];
  }

  /// p[h][j] = the score of position j, or -infinity where it is not visible.
  template <class Thread>
  KINGLET_DEVICE static void score(const Thread& t, const Args& a, std::uint32_t kv_head, std::uint32_t count,
                                   const Visible& see) {
    const auto q = t.template shared<float>(q_at, attend_heads * a.head_dim);
    const auto p = t.template shared<float>(0, attend_heads * stretch_positions);
    const auto page = t.template shared<std::uint32_t>(pages_at, stretch_positions / page_positions);
    const std::uint32_t j = t.thread();
    float sum[attend_heads] = {};
    const bool in = see.has(j);
    if (in) {
      const std::size_t at = page_at(a, page[j / page_positions], kv_head, 0) + j % page_positions;
      const auto chain = [&](const auto& keys, auto widen) {
        for (std::uint32_t d = 0; d < a.head_dim; ++d) {
          const float k = widen(keys[at + std::size_t{d} * page_positions]);
          for (std::uint32_t h = 0; h < attend_heads; ++h) {
            if (h < count) sum[h] = fmaf(q[h * a.head_dim + d], k, sum[h]);
          }
        }
      };
      if (a.pool.fp16) {
        chain(t.global(a.pool.fp16), [](std::uint16_t k) { return core::fp16_to_float(k); });
      } else {
        chain(t.global(a.pool.fp32), [](float k) { return k; });
      }
    }
    for (std::uint32_t h = 0; h < count; ++h) {
      p[h * stretch_positions + j] = in ? sum[h] * a.scale : core::bits_float(0xff800000u);
    }
  }

  /// Turns the scores of a head into p; m and l of it.
  template <class Thread>
  KINGLET_DEVICE static void soften(const Thread& t, const Args& a, std::uint32_t h, const Visible& see) {
    const auto p = t.template shared<float>(4 * h * stretch_positions, stretch_positions);
    const auto lane = t.template shared<float>(lane_at, lanes);
    const auto ml = t.template shared<float>(ml_at, 2 * attend_heads);
    const std::uint32_t j = t.thread();
    t.sync();  // the scores are there, and the lanes of the head before are read
    if (j < lanes) {
      const float low = p[j], high = p[j + lanes];
      float most = core::bits_float(0xff800000u);
      most = low > most ? low : most;  // a NaN never is
      lane[j] = high > most ? high : most;
    }
    for (unsigned w = lanes / 2; w > 0; w /= 2) {
      t.sync();
      if (j < w) {
        const float low = lane[j], high = lane[j + w];
        lane[j] = high > low ? high : low;
      }
    }
    t.sync();
    const float m = lane[0];
    float e = p[j] - m;
    if (a.fp16_scores) e = core::fp16_to_float(core::float_to_fp16(e));
    e = core::exp_of(e);
    p[j] = see.has(j) ? e : 0.0f;
    t.sync();
    if (j < lanes) lane[j] = p[j] + p[j + lanes];
    const float l = fold_lanes(t, lane);
    if (j == 0) {
      ml[2 * h] = m;
      ml[2 * h + 1] = l;
    }
  }

  template <class Thread>
  KINGLET_DEVICE static void sum_values(const Thread& t, const Args& a, std::uint32_t kv_head, std::uint32_t count,
                                        const Visible& see, std::size_t head, std::uint32_t stretch) {
    t.sync();  // m and l are there
    const auto p = t.template shared<float>(0, attend_heads * stretch_positions);
    const auto ml = t.template shared<float>(ml_at, 2 * attend_heads);
    const auto page = t.template shared<std::uint32_t>(pages_at, stretch_positions / page_positions);
    const auto partial = t.global(a.partial);
    for (std::uint32_t i = t.thread(); i < count * a.head_dim; i += stretch_positions) {
      const std::uint32_t h = i / a.head_dim, d = i % a.head_dim;
      float sum = 0.0f;
      const auto chain = [&](const auto& values, auto widen) {
        for (std::uint32_t j = 0; j < see.last; ++j) {
          if (!see.has(j)) continue;
          const std::size_t at = page_at(a, page[j / page_positions], kv_head, 1);
          const float v = widen(values[at + std::size_t{j % page_positions} * a.head_dim + d]);
          sum = fmaf(p[h * stretch_positions + j], v, sum);
        }
      };
      if (a.pool.fp16) {
        chain(t.global(a.pool.fp16), [](std::uint16_t v) { return core::fp16_to_float(v); });
      } else {
        chain(t.global(a.pool.fp32), [](float v) { return v; });
      }
      const std::size_t at = ((head + h) * a.stretches + stretch) * (2 + a.head_dim);
      partial[at + 2 + d] = sum;
      if (d == 0) {
        partial[at] = ml[2 * h];
        partial[at + 1] = ml[2 * h + 1];
      }
    }
  }
};

struct MergeStretches {
  using Args = MergeArgs;
  static constexpr unsigned max_threads = lanes;

  /// Each thread carries m and l along with its channels, so that no barrier is needed.
  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const std::size_t head = t.block(0);  // row * heads + head
    const std::size_t size = 2 + std::size_t{a.head_dim};
    const auto partial = t.global(a.partial) + head * a.stretches * size;
    const auto state = t.global(a.state) + head * size;
    float m = core::bits_float(0xff800000u), l = 0.0f;
    if (!a.first) {
      m = state[0];
      l = state[1];
    }
    const float m_before = m, l_before = l;
    t.sync();  // all have read m and l
    for (std::uint32_t d = t.thread(); d < a.head_dim || d == t.thread(); d += lanes) {
      const bool real = d < a.head_dim;
      m = m_before;
      l = l_before;
      float o = 0.0f;
      if (real && !a.first) o = state[2 + d];
      for (std::uint32_t s = 0; s < a.stretches; ++s) {
        const float later_m = partial[s * size], later_l = partial[s * size + 1];
        if (nothing(later_m, later_l)) continue;
        float later_o = 0.0f;
        if (real) later_o = partial[s * size + 2 + d];
        take(m, l, o, later_m, later_l, later_o);
      }
      if (!real) continue;
      if (a.last) {
        const auto out = t.global(a.out);
        out[head * a.head_dim + d] = o / l;
      } else {
        state[2 + d] = o;
      }
    }
    if (!a.last && t.thread() == 0) {
      state[0] = m;
      state[1] = l;
    }
  }

 private:
  KINGLET_DEVICE static bool nothing(float m, float l) { return l == 0.0f && m == core::bits_float(0xff800000u); }

  KINGLET_DEVICE static void take(float& m, float& l, float& o, float later_m, float later_l, float later_o) {
    if (nothing(m, l)) {  // the first one, as it is
      m = later_m;
      l = later_l;
      o = later_o;
      return;
    }
    const float larger = later_m > m ? later_m : m;
    const float wa = core::exp_of(m - larger);
    const float wb = core::exp_of(later_m - larger);
    l = fmaf(l, wa, later_l * wb);
    o = fmaf(o, wa, later_o * wb);
    m = larger;
  }
};

}  // namespace kinglet::cuda

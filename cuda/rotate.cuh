// cuda/rotate.cuh: q, k and v of a row after their product: head norms, rotation, the KV cache
//
// Floor: the heads read once, q and the page's slots written. Not measured yet.
#pragma once
#include "args.hpp"
#include "core/functions.hpp"
#include "lanes.cuh"

namespace kinglet::cuda {

inline constexpr std::uint32_t page_positions = 16;

/// Where the 16 positions of a page keep a head's keys (value = 0) or values (1), in elements.
template <class Args>
KINGLET_DEVICE std::size_t page_at(const Args& a, std::size_t page, std::uint32_t kv_head, std::uint32_t value) {
  const std::size_t head = (std::size_t{a.layer} * a.kv_heads + kv_head) * 2 + value;
  return (page * a.layers * a.kv_heads * 2 + head) * a.head_dim * page_positions;
}

struct RotateAndStore {
  using Args = RotateArgs;
  static constexpr unsigned max_threads = lanes;
  static constexpr std::uint32_t shared_bytes(std::uint32_t head_dim) noexcept {
    return static_cast<std::uint32_t>((lanes + head_dim) * sizeof(float));
  }

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const std::size_t row = t.block(0);
    const std::uint32_t head = t.block(1);
    const std::uint32_t all = a.heads + 2 * a.kv_heads;
    const auto v = t.template shared<float>(lanes * sizeof(float), a.head_dim);
    const auto in = t.global(a.qkv) + (row * all + head) * a.head_dim;
    for (std::uint32_t i = t.thread(); i < a.head_dim; i += lanes) v[i] = in[i];
    t.sync();
    if (head < a.heads + a.kv_heads) {
      const View<const float>& norm = head < a.heads ? a.norm_q : a.norm_k;
      if (norm) norm_head(t, a, row, norm, v);
      rotate(t, a, row, v);
      t.sync();
    }
    if (head < a.heads) {
      for (std::uint32_t i = t.thread(); i < a.head_dim; i += lanes) in[i] = v[i];
    } else {
      store(t, a, row, head - a.heads, v);
    }
  }

 private:
  template <class Thread, class Array>
  KINGLET_DEVICE static void norm_head(const Thread& t, const Args& a, std::size_t row, const View<const float>& norm,
                                       const Array& v) {
    const auto lane = t.template shared<float>(0, lanes);
    float sum = 0.0f;
    for (std::uint32_t i = t.thread(); i < a.head_dim; i += lanes) {
      const float x = v[i];
      sum = fmaf(x, x, sum);
    }
    lane[t.thread()] = sum;
    sum = fold_lanes(t, lane);
    if (t.thread() == 0 && !(sum <= 3.402823466e38f)) t.atomic_min(t.global(a.bad), row, a.layer + 1);
    const float r = 1.0f / sqrtf(sum / static_cast<float>(a.head_dim) + a.eps);
    const auto w = t.global(norm);
    for (std::uint32_t i = t.thread(); i < a.head_dim; i += lanes) v[i] = (v[i] * r) * w[i];
    t.sync();
  }

  template <class Thread, class Array>
  KINGLET_DEVICE static void rotate(const Thread& t, const Args& a, std::size_t row, const Array& v) {
    const auto cosines = t.global(a.cos) + row * a.pairs;
    const auto sines = t.global(a.sin) + row * a.pairs;
    for (std::uint32_t i = t.thread(); i < a.pairs; i += lanes) {
      const std::uint32_t first = a.halves ? i : 2 * i;
      const std::uint32_t second = a.halves ? i + a.pairs : 2 * i + 1;
      const float x0 = v[first], x1 = v[second], c = cosines[i], s = sines[i];
      v[first] = fmaf(x0, c, -(x1 * s));
      v[second] = fmaf(x0, s, x1 * c);
    }
  }

  /// @param kv  below kv_heads: a head of k; else one of v
  template <class Thread, class Array>
  KINGLET_DEVICE static void store(const Thread& t, const Args& a, std::size_t row, std::uint32_t kv, const Array& v) {
    const auto positions = t.global(a.places.position);
    const auto sequences = t.global(a.places.sequence);
    const auto firsts = t.global(a.places.first_page);
    const auto pages = t.global(a.places.pages);
    const std::uint32_t position = positions[row];
    const std::uint32_t page = pages[firsts[sequences[row]] + position / page_positions];
    const std::uint32_t slot = position % page_positions;
    const bool value = kv >= a.kv_heads;
    const std::size_t at = page_at(a, page, value ? kv - a.kv_heads : kv, value ? 1 : 0);
    const std::uint32_t step = value ? 1 : page_positions;
    const std::size_t from = at + (value ? std::size_t{slot} * a.head_dim : slot);
    if (a.pool.fp16) {
      const auto pool = t.global(a.pool.fp16);
      for (std::uint32_t i = t.thread(); i < a.head_dim; i += lanes) {
        pool[from + std::size_t{i} * step] = core::float_to_fp16(v[i]);
      }
    } else {
      const auto pool = t.global(a.pool.fp32);
      for (std::uint32_t i = t.thread(); i < a.head_dim; i += lanes) pool[from + std::size_t{i} * step] = v[i];
    }
  }
};

}  // namespace kinglet::cuda

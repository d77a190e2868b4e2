// cuda/product_mma.cuh: a matrix times many rows, on the INT8 tensor cores
//
// Floor: 2 * outputs * cols * n operations at the chip's INT8 rate, and a conversion and an fma for every 32 of them.
// The K of an mma is the group, so that its sums are exact; the scales are applied in ascending order in registers,
// which is the same chain as that of few rows. Not measured yet.
#pragma once
#include "product.cuh"

namespace kinglet::cuda {

/// Where a lane of a block of many rows stands. It reads weights of one output and holds, of each tile, the sums of
/// rows first_row + g and 8 below, of outputs first_output + 2 * part and the next.
struct ManyPlace {
  unsigned g, part;
  std::size_t first_output, first_row;

  KINGLET_DEVICE std::size_t column() const { return first_output + g; }
};

template <class Thread>
KINGLET_DEVICE ManyPlace many_place(const Thread& t) {
  const unsigned lane = t.thread() % warp_threads;
  return {lane / 4, lane % 4, t.block(0) * many_outputs + t.thread() / warp_threads * 8, t.block(1) * many_rows};
}

/// Puts a lane's sums in their places. @param value  (sum, row) -> the output
template <class Thread, class Value>
KINGLET_DEVICE void finish_tiles(const Thread& t, const ProductArgs& a, const ManyPlace& at,
                                 const float (&acc)[many_row_tiles][4], const Value& value) {
  unrolled<many_row_tiles>([&](auto tile) {
    unrolled<4>([&](auto i) {
      const std::size_t row = at.first_row + 16 * tile + at.g + 8 * (i / 2);
      const std::size_t output = at.first_output + 2 * at.part + i % 2;
      if (row < a.n && output < a.outputs) finish(t, a, row, output, value(acc[tile][i], row));
    });
  });
}

template <Format F>
struct ProductOfManyRows {
  using Args = ProductArgs;
  static constexpr unsigned max_threads = many_warps * warp_threads;

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const ManyPlace at = many_place(t);
    const bool real = at.column() < a.outputs;
    const auto weight = t.global(a.weight);
    float acc[many_row_tiles][4] = {};
    for (unsigned group = 0; group < a.cols / 32; ++group) {
      Scales s{0.0f, 0.0f, {0, 0}, {0, 0}};
      std::uint32_t b[2] = {0, 0};
      if (real) {
        const auto block = weight + (at.column() * a.row_bytes + std::size_t{group / block_groups<F>} * block_bytes<F>);
        s = scales<F>(block, group % block_groups<F>);
        b[0] = codes<F>(block, group % block_groups<F>, at.part);
        b[1] = codes<F>(block, group % block_groups<F>, at.part + 4);
      }
      Scales mine[2];  // of the two columns whose sums this lane holds
      for (unsigned c = 0; c < 2; ++c) mine[c] = from_lane(t, s, (2 * at.part + c) * 4);
      unrolled<many_row_tiles>(
          [&](auto tile) { add_group(t, a, at.first_row + 16 * tile, group, b, mine, acc[tile]); });
    }
    finish_tiles(t, a, at, acc, [](float sum, std::size_t) { return sum; });
  }

 private:
  template <class Thread>
  KINGLET_DEVICE static Scales from_lane(const Thread& t, const Scales& s, unsigned lane) {
    Scales out = s;
    out.d = t.shuffle(s.d, lane);
    if constexpr (quant::has_min(F)) {
      out.dmin = t.shuffle(s.dmin, lane);
      out.min[0] = t.shuffle(s.min[0], lane);
      out.min[1] = F == Format::q2_k ? t.shuffle(s.min[1], lane) : out.min[0];
    }
    if constexpr (block_groups<F> == 8) {
      out.scale[0] = t.shuffle(s.scale[0], lane);
      out.scale[1] = has_half_scales(F) ? t.shuffle(s.scale[1], lane) : out.scale[0];
    } else {
      out.scale[0] = out.scale[1] = 1;
    }
    return out;
  }

  /// acc takes one group of 16 rows and 8 outputs.
  template <class Thread>
  KINGLET_DEVICE static void add_group(const Thread& t, const Args& a, std::size_t first_row, unsigned group,
                                       const std::uint32_t (&b)[2], const Scales (&s)[2], float (&acc)[4]) {
    if (first_row >= a.n) return;
    const unsigned lane = t.thread() % warp_threads, g = lane / 4, part = lane % 4;
    const auto q = t.global(a.q);
    std::uint32_t x[4] = {0, 0, 0, 0};
    for (unsigned half = 0; half < 2; ++half) {
      const std::size_t row = first_row + g + 8 * half;
      if (row >= a.n) continue;
      x[half] = q[(row * a.cols + 32 * group) / 4 + part];
      x[half + 2] = q[(row * a.cols + 32 * group) / 4 + part + 4];
    }
    std::int32_t low[4] = {0, 0, 0, 0}, high[4] = {0, 0, 0, 0};
    if constexpr (has_half_scales(F)) {
      t.mma(low, x, {b[0], 0u});
      t.mma(high, x, {0u, b[1]});
    } else {
      t.mma(low, x, b);
    }
    const auto d = t.global(a.d);
    const auto sums = t.global(a.sums);
    for (unsigned i = 0; i < 4; ++i) {
      const std::size_t row = first_row + g + 8 * (i / 2);
      if (row >= a.n) continue;
      const Scales& column = s[i % 2];
      const std::size_t at = row * (a.cols / 32) + group;
      const float da = d[at];
      const std::int32_t exact =
          has_half_scales(F) ? column.scale[0] * low[i] + column.scale[1] * high[i] : column.scale[0] * low[i];
      acc[i] = fmaf(static_cast<float>(exact), column.d * da, acc[i]);
      if constexpr (quant::has_min(F)) {
        const std::int32_t sum = column.min[0] * sums[2 * at] + column.min[1] * sums[2 * at + 1];
        acc[i] = fmaf(static_cast<float>(sum), column.dmin * da, acc[i]);
      }
    }
  }
};

}  // namespace kinglet::cuda

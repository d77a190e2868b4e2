// cuda/product_mma.cuh: a matrix times many rows, on the INT8 tensor cores
//
// Floor: 2 * outputs * cols * n operations at the chip's INT8 rate, and a conversion and an fma for every 32 of them.
// The K of an mma is the group, so that its sums are exact; the scales are applied in ascending order in registers,
// which is the same chain as that of few rows. Not measured yet.
#pragma once
#include "product.cuh"

namespace kinglet::cuda {

/// Rows that share a warp's weights: four tiles of 16.
inline constexpr unsigned mma_row_tiles = 4, mma_rows = 16 * mma_row_tiles;
/// Outputs of a block: 8 of each warp.
inline constexpr unsigned mma_warps = 4, mma_outputs = 8 * mma_warps;

template <Format F>
struct ProductOfManyRows {
  using Args = ProductArgs;
  static constexpr unsigned max_threads = mma_warps * warp_threads;

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const unsigned lane = t.thread() % warp_threads, g = lane / 4, part = lane % 4;
    const std::size_t first_output = t.block(0) * mma_outputs + t.thread() / warp_threads * 8;
    const std::size_t first_row = t.block(1) * mma_rows;
    const std::size_t column = first_output + g;  // whose codes this lane reads
    const bool real = column < a.outputs;
    const auto weight = t.global(a.weight);
    float acc[mma_row_tiles][4] = {};
    for (unsigned group = 0; group < a.cols / 32; ++group) {
      Scales s{0.0f, 0.0f, {0, 0}, {0, 0}};
      std::uint32_t b[2] = {0, 0};
      if (real) {
        const auto block = weight + (column * a.row_bytes + std::size_t{group / block_groups<F>} * block_bytes<F>);
        s = scales<F>(block, group % block_groups<F>);
        b[0] = codes<F>(block, group % block_groups<F>, part);
        b[1] = codes<F>(block, group % block_groups<F>, part + 4);
      }
      Scales mine[2];  // of the two columns whose sums this lane holds
      for (unsigned c = 0; c < 2; ++c) mine[c] = from_lane(t, s, (2 * part + c) * 4);
      unrolled<mma_row_tiles>([&](auto tile) { add_group(t, a, first_row + 16 * tile, group, b, mine, acc[tile]); });
    }
    unrolled<mma_row_tiles>([&](auto tile) {
      unrolled<4>([&](auto i) {
        const std::size_t row = first_row + 16 * tile + g + 8 * (i / 2);
        const std::size_t output = first_output + 2 * part + i % 2;
        if (row < a.n && output < a.outputs) finish(t, a, row, output, acc[tile][i]);
      });
    });
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

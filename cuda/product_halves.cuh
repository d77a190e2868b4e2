// cuda/product_halves.cuh: a matrix times many rows, on the FP16 tensor cores (--bits device)
//
// Floor: 2 * outputs * cols * n operations at the chip's FP16 rate. Weights are de-quantized to FP32 and rounded to
// FP16, once for 64 rows; products are exact and their sums stay in the tensor cores' FP32 from the first column to the
// last (docs/numbers.md, Device bits). Not measured yet.
#pragma once
#include "product_mma.cuh"

namespace kinglet::cuda {

template <Format F>
struct ProductOfHalves {
  using Args = ProductArgs;
  static constexpr unsigned max_threads = many_warps * warp_threads;

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const ManyPlace at = many_place(t);
    const auto weight = t.global(a.weight);
    float acc[many_row_tiles][4] = {};
    for (unsigned group = 0; group < (a.cols + 31) / 32; ++group) {
      std::uint32_t b[2][2] = {};
      if (at.column() < a.outputs) load_weights(t, weight + at.column() * a.row_bytes, group, a.cols, b);
      unrolled<2>([&](auto half) {
        if (32 * group + 16 * half >= a.cols) return;  // the same for the whole block
        unrolled<many_row_tiles>([&](auto tile) {
          if (at.first_row + 16 * tile >= a.n) return;
          std::uint32_t x[4] = {};
          load_rows(t, a, at.first_row + 16 * tile + at.g, (2 * group + half) * 4 + at.part, x);
          t.mma_halves(acc[tile], x, b[half]);
        });
      });
    }
    const auto scale = t.global(a.d);
    finish_tiles(t, a, at, acc, [&](float sum, std::size_t row) { return sum * scale[row]; });
  }

 private:
  // Which column an element of an mma is does not matter as long as both sides agree: a lane's four are neighbours.

  /// b[h] = this lane's four weights of columns [32 * group + 16 * h, ... + 16) of a row, with 0 past its end.
  template <class Thread, class Bytes>
  KINGLET_DEVICE static void load_weights(const Thread& t, const Bytes& row, unsigned group, unsigned cols,
                                          std::uint32_t (&b)[2][2]) {
    const unsigned part = t.thread() % 4;
    unrolled<2>([&](auto half) {
      float four[4];
      if constexpr (quant::is_float(F)) {
        four_weights<F>(row, 8 * group + 4 * half + part, cols, four);
      } else {
        const auto block = row + std::size_t{group / block_groups<F>} * block_bytes<F>;
        const Scales s = scales<F>(block, group % block_groups<F>);
        const std::uint32_t word = codes<F>(block, group % block_groups<F>, 4 * half + part);
        unrolled<4>([&](auto i) { four[i] = weight_of<F>(s, half, signed_byte(word, i)); });
      }
      b[half][0] = t.halves(four[0], four[1]);
      b[half][1] = t.halves(four[2], four[3]);
    });
  }

  /// The same columns of rows `row` and row + 8; word = which four columns of a row.
  template <class Thread>
  KINGLET_DEVICE static void load_rows(const Thread& t, const Args& a, std::size_t row, std::size_t word,
                                       std::uint32_t (&x)[4]) {
    const auto halves = t.global(a.halves);
    unrolled<2>([&](auto lower) {
      if (row + 8 * lower >= a.n) return;
      const std::uint64_t four = halves[(row + 8 * lower) * half_words(a.cols) + word];
      x[lower] = static_cast<std::uint32_t>(four);
      x[lower + 2] = static_cast<std::uint32_t>(four >> 32);
    });
  }
};

}  // namespace kinglet::cuda

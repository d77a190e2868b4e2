// cuda/product.cuh: a matrix times few rows
//
// Floor: the matrix's bytes read once for 8 rows. Many threads make the exact integer sums of a row's groups, one
// thread walks the chain of fmas over them (docs/numbers.md, Products). Not measured yet.
#pragma once
#include "args.hpp"
#include "group.cuh"
#include "prepare.cuh"
#include "tuning.hpp"

namespace kinglet::cuda {

/// Puts an output in its place.
template <class Thread>
KINGLET_DEVICE void finish(const Thread& t, const ProductArgs& a, std::size_t row, std::size_t output, float y) {
  if (a.bias) {
    const auto bias = t.global(a.bias);
    y = y + bias[output];
  }
  const auto out = t.global(a.out);
  const std::size_t at = row * a.out_stride + a.out_first + output;
  if (a.epilogue == Epilogue::add) {
    const float x = out[at];
    y = x + y;
  } else if (a.epilogue == Epilogue::swiglu) {
    const float g = out[at];
    y = (g / (1.0f + core::exp_of(0.0f - g))) * y;
  }
  out[at] = y;
}

/// Quantized weights, integer activations. One thread a chain.
template <Format F, Form form>
struct ProductOfGroups {
  static_assert(form != Form::values);
  using Args = ProductArgs;
  static constexpr unsigned max_threads = few_outputs * few_rows;
  // shared memory: terms [outputs][rows][groups + 1], d and dmin [outputs][groups + 1], min [outputs][groups + 1][2],
  // da [rows][groups + 1], sums [rows][groups + 1][2]
  static constexpr unsigned stride = few_groups + 1;
  static constexpr unsigned terms_at = 0;
  static constexpr unsigned d_at = terms_at + 4 * few_outputs * few_rows * stride;
  static constexpr unsigned dmin_at = d_at + 4 * few_outputs * stride;
  static constexpr unsigned min_at = dmin_at + 4 * few_outputs * stride;
  static constexpr unsigned da_at = min_at + 8 * few_outputs * stride;
  static constexpr unsigned sums_at = da_at + 4 * few_rows * stride;
  static constexpr unsigned shared_bytes = sums_at + 8 * few_rows * stride;

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const std::size_t output = t.block(0) * few_outputs + t.thread() / few_rows;
    const std::size_t row = t.block(1) * few_rows + t.thread() % few_rows;
    const unsigned groups = a.cols / 32;
    const bool mine = output < a.outputs && row < a.n;
    float acc = 0.0f, lost = 0.0f;
    for (unsigned first = 0; first < groups; first += few_groups) {
      const unsigned count = groups - first < few_groups ? groups - first : few_groups;
      t.sync();  // the chains of the part before have read it
      sum_groups(t, a, first, count);
      copy_rows(t, a, first, count);
      t.sync();
      if (!mine) continue;
      if (form == Form::int8) acc = chain_int8(t, count, acc);
      if (form == Form::fp8) chain_fp8(t, count, acc, lost);
    }
    if (mine) finish(t, a, row, output, acc);
  }

 private:
  /// The exact sums of all outputs, rows and groups of this part, by all threads.
  template <class Thread>
  KINGLET_DEVICE static void sum_groups(const Thread& t, const Args& a, unsigned first, unsigned count) {
    const auto weight = t.global(a.weight);
    const auto d = t.template shared<float>(d_at, few_outputs * stride);
    const auto dmin = t.template shared<float>(dmin_at, few_outputs * stride);
    const auto min = t.template shared<std::int32_t>(min_at, 2 * few_outputs * stride);
    const auto terms = t.template shared<float>(terms_at, few_outputs * few_rows * stride);
    const std::size_t first_row = t.block(1) * few_rows;
    const unsigned rows = a.n - first_row < few_rows ? static_cast<unsigned>(a.n - first_row) : few_rows;
    for (unsigned task = t.thread(); task < few_outputs * few_groups; task += max_threads) {
      const unsigned o = task / few_groups, g = task % few_groups;
      const std::size_t output = t.block(0) * few_outputs + o;
      if (output >= a.outputs || g >= count) continue;
      const unsigned group = first + g;
      const auto block = weight + (output * a.row_bytes + std::size_t{group / block_groups<F>} * block_bytes<F>);
      const Scales s = scales<F>(block, group % block_groups<F>);
      d[o * stride + g] = s.d;
      if constexpr (quant::has_min(F)) {
        dmin[o * stride + g] = s.dmin;
        min[2 * (o * stride + g)] = s.min[0];
        min[2 * (o * stride + g) + 1] = s.min[1];
      }
      std::uint32_t w[8];
      for (unsigned i = 0; i < 8; ++i) w[i] = codes<F>(block, group % block_groups<F>, i);
      for (unsigned r = 0; r < rows; ++r) {
        terms[(o * few_rows + r) * stride + g] = dot(t, a, (first_row + r) * a.cols + 32 * group, s, w);
      }
    }
  }

  /// float(I) of one group with the activations from element `at` on.
  template <class Thread>
  KINGLET_DEVICE static float dot(const Thread& t, const Args& a, std::size_t at, const Scales& s,
                                  const std::uint32_t (&w)[8]) {
    if constexpr (form == Form::int8) {
      const auto q = t.global(a.q);
      std::int32_t half[2] = {0, 0};
      for (unsigned i = 0; i < 8; ++i) half[i / 4] = t.dp4a(w[i], q[at / 4 + i], half[i / 4]);
      return static_cast<float>(s.scale[0] * half[0] + s.scale[1] * half[1]);
    } else {
      const auto c = t.global(a.codes);
      std::int64_t half[2] = {0, 0};
      for (unsigned i = 0; i < 32; ++i) {
        half[i / 16] += static_cast<std::int64_t>(signed_byte(w[i / 4], i % 4)) * c[at + i];
      }
      return static_cast<float>(s.scale[0] * half[0] + s.scale[1] * half[1]);
    }
  }

  template <class Thread>
  KINGLET_DEVICE static void copy_rows(const Thread& t, const Args& a, unsigned first, unsigned count) {
    const unsigned groups = a.cols / 32;
    const auto d = t.global(a.d);
    const auto sums = t.global(a.sums);
    const auto da = t.template shared<float>(da_at, few_rows * stride);
    const auto both = t.template shared<std::int32_t>(sums_at, 2 * few_rows * stride);
    for (unsigned i = t.thread(); i < few_rows * few_groups; i += max_threads) {
      const unsigned r = i / few_groups, g = i % few_groups;
      const std::size_t row = t.block(1) * few_rows + r;
      if (row >= a.n || g >= count) continue;
      if (form == Form::int8) {
        da[r * stride + g] = d[row * groups + first + g];
      } else if (g % 4 == 0) {
        da[r * stride + g / 4] = d[row * ((groups + 3) / 4) + (first + g) / 4];
      }
      if constexpr (quant::has_min(F)) {
        for (unsigned h = 0; h < 2; ++h) both[2 * (r * stride + g) + h] = sums[(row * groups + first + g) * 2 + h];
      }
    }
  }

  /// float(S) of one group.
  template <class Thread>
  KINGLET_DEVICE static float min_term(const Thread& t, unsigned o, unsigned r, unsigned g) {
    const auto min = t.template shared<std::int32_t>(min_at, 2 * few_outputs * stride);
    const auto both = t.template shared<std::int32_t>(sums_at, 2 * few_rows * stride);
    using Exact = std::conditional_t<form == Form::int8, std::int32_t, std::int64_t>;
    const Exact m0 = min[2 * (o * stride + g)], m1 = min[2 * (o * stride + g) + 1];
    return static_cast<float>(m0 * both[2 * (r * stride + g)] + m1 * both[2 * (r * stride + g) + 1]);
  }

  template <class Thread>
  KINGLET_DEVICE static float chain_int8(const Thread& t, unsigned count, float acc) {
    const unsigned o = t.thread() / few_rows, r = t.thread() % few_rows;
    const auto terms = t.template shared<float>(terms_at, few_outputs * few_rows * stride);
    const auto d = t.template shared<float>(d_at, few_outputs * stride);
    const auto dmin = t.template shared<float>(dmin_at, few_outputs * stride);
    const auto da = t.template shared<float>(da_at, few_rows * stride);
    for (unsigned g = 0; g < count; ++g) {
      const float scale = da[r * stride + g];
      acc = fmaf(terms[t.thread() * stride + g], d[o * stride + g] * scale, acc);
      if constexpr (quant::has_min(F)) acc = fmaf(min_term(t, o, r, g), dmin[o * stride + g] * scale, acc);
    }
    return acc;
  }

  /// Blocks of 128 channels, added by Kahan's sum.
  template <class Thread>
  KINGLET_DEVICE static void chain_fp8(const Thread& t, unsigned count, float& acc, float& lost) {
    const unsigned o = t.thread() / few_rows, r = t.thread() % few_rows;
    const auto terms = t.template shared<float>(terms_at, few_outputs * few_rows * stride);
    const auto d = t.template shared<float>(d_at, few_outputs * stride);
    const auto dmin = t.template shared<float>(dmin_at, few_outputs * stride);
    const auto da = t.template shared<float>(da_at, few_rows * stride);
    for (unsigned block = 0; block < count; block += 4) {
      float b = 0.0f;
      for (unsigned g = block; g < block + 4 && g < count; ++g) {
        b = fmaf(terms[t.thread() * stride + g], d[o * stride + g], b);
        if constexpr (quant::has_min(F)) b = fmaf(min_term(t, o, r, g), dmin[o * stride + g], b);
      }
      const float scale = da[r * stride + block / 4];
      const float y = b * scale - lost;
      const float u = acc + y;
      lost = (u - acc) - y;
      acc = u;
    }
  }
};

/// Any weights, FP32 activations: a chain of one fma a column.
template <Format F>
struct ProductOfFloats {
  using Args = ProductArgs;
  static constexpr unsigned max_threads = few_outputs * few_rows;
  static constexpr unsigned stride = few_columns + 1;
  static constexpr unsigned x_at = 4 * few_outputs * stride;
  static constexpr unsigned shared_bytes = x_at + 4 * few_rows * stride;

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const auto w = t.template shared<float>(0, few_outputs * stride);
    const auto x = t.template shared<float>(x_at, few_rows * stride);
    const unsigned o = t.thread() / few_rows, r = t.thread() % few_rows;
    const std::size_t output = t.block(0) * few_outputs + o;
    const std::size_t row = t.block(1) * few_rows + r;
    const bool mine = output < a.outputs && row < a.n;
    float acc = 0.0f;
    for (unsigned first = 0; first < a.cols; first += few_columns) {
      const unsigned count = a.cols - first < few_columns ? a.cols - first : few_columns;
      t.sync();
      load(t, a, first, count, w, x);
      t.sync();
      if (!mine) continue;
      for (unsigned k = 0; k < count; ++k) acc = fmaf(w[o * stride + k], x[r * stride + k], acc);
    }
    if (mine) finish(t, a, row, output, acc);
  }

 private:
  template <class Thread, class Array>
  KINGLET_DEVICE static void load(const Thread& t, const Args& a, unsigned first, unsigned count, const Array& w,
                                  const Array& x) {
    const auto weight = t.global(a.weight);
    for (unsigned task = t.thread(); task < few_outputs * few_columns / 4; task += max_threads) {
      const unsigned o = task / (few_columns / 4), word = task % (few_columns / 4);
      const std::size_t output = t.block(0) * few_outputs + o;
      if (output >= a.outputs || 4 * word >= count) continue;
      float four[4];
      four_weights<F>(weight + output * a.row_bytes, first / 4 + word, a.cols, four);
      unrolled<4>([&](auto i) { w[o * stride + 4 * word + i] = four[i]; });
    }
    const auto values = t.global(a.values);
    for (unsigned task = t.thread(); task < few_rows * few_columns; task += max_threads) {
      const unsigned r = task / few_columns, k = task % few_columns;
      const std::size_t row = t.block(1) * few_rows + r;
      if (row < a.n && k < count) x[r * stride + k] = values[row * a.cols + first + k];
    }
  }
};

}  // namespace kinglet::cuda

// cuda/prepare.cuh: a row before its products: norm, and the activations' integers
//
// Floor: 4 * cols bytes read, 4 to 5 * cols written. Not measured yet.
#pragma once
#include "args.hpp"
#include "core/functions.hpp"
#include "lanes.cuh"

namespace kinglet::cuda {

/// What the products of an op read.
enum class Form { values, int8, fp8, halves };

template <Form form>
struct PrepareRow {
  using Args = PrepareArgs;
  static constexpr unsigned max_threads = lanes;
  static constexpr unsigned shared_bytes = (lanes + 4) * sizeof(float);

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const std::size_t row = t.block(0);
    std::size_t from = row;
    if (a.which) {
      const auto which = t.global(a.which);
      from = which[row];
    }
    const auto x = t.global(a.x) + from * a.cols;
    if (a.norm) {
      const auto values = t.global(a.values) + row * a.cols;
      norm(t, a, from, x, values);
      t.sync();
      if constexpr (form == Form::int8) quantize_int8(t, a, row, values);
      if constexpr (form == Form::fp8) quantize_fp8(t, a, row, values);
      if constexpr (form == Form::halves) round_to_halves(t, a, row, values);
    } else {
      if constexpr (form == Form::int8) quantize_int8(t, a, row, x);
      if constexpr (form == Form::fp8) quantize_fp8(t, a, row, x);
      if constexpr (form == Form::halves) round_to_halves(t, a, row, x);
    }
  }

 private:
  /// Magnitudes in the order of the numbers, a NaN above all.
  KINGLET_DEVICE static std::uint32_t size_bits(float x) { return core::float_bits(x) & 0x7fffffffu; }

  template <class Thread, class In, class Out>
  KINGLET_DEVICE static void norm(const Thread& t, const Args& a, std::size_t from, const In& x, const Out& y) {
    const auto lane = t.template shared<float>(0, lanes);
    float sum = 0.0f;
    for (std::size_t i = t.thread(); i < a.cols; i += lanes) {
      const float v = x[i];
      sum = fmaf(v, v, sum);
    }
    lane[t.thread()] = sum;
    sum = fold_lanes(t, lane);
    if (t.thread() == 0 && a.bad && !(sum <= 3.402823466e38f)) {
      t.atomic_min(t.global(a.bad), from, a.layer);
    }
    const float r = 1.0f / sqrtf(sum / static_cast<float>(a.cols) + a.eps);
    const auto w = t.global(a.norm);
    for (std::size_t i = t.thread(); i < a.cols; i += lanes) {
      const float v = x[i];
      y[i] = (v * r) * w[i];
    }
  }

  /// The largest of the block's values, in all threads. It ends with a barrier.
  template <class Thread>
  KINGLET_DEVICE static std::uint32_t block_max(const Thread& t, std::uint32_t v) {
    const auto largest = t.template shared<std::uint32_t>(lanes * sizeof(float), lanes / warp_threads);
    v = t.reduce_max(v);
    if (t.thread() % warp_threads == 0) largest[t.thread() / warp_threads] = v;
    t.sync();
    std::uint32_t all = 0;
    for (unsigned w = 0; w < lanes / warp_threads; ++w) {
      const std::uint32_t other = largest[w];
      all = other > all ? other : all;
    }
    t.sync();
    return all;
  }

  /// A warp a group, a lane a channel.
  template <class Thread, class In>
  KINGLET_DEVICE static void quantize_int8(const Thread& t, const Args& a, std::size_t row, const In& x) {
    const std::size_t groups = a.cols / 32;
    const auto q = t.global(a.q) + row * a.cols;
    const auto d = t.global(a.d) + row * groups;
    const auto sums = t.global(a.sums) + row * groups * 2;
    const unsigned lane = t.thread() % warp_threads;
    const float magic = 12582912.0f;
    for (std::size_t g = t.thread() / warp_threads; g < groups; g += lanes / warp_threads) {
      const float v = x[32 * g + lane];
      const float amax = core::bits_float(t.reduce_max(size_bits(v)));
      const bool zero = amax < 0x1p-100f;
      const float inverse = zero ? 0.0f : 127.0f / amax;
      float n = (v * inverse + magic) - magic;  // the sum rounds to an integer
      n = n > 127.0f ? 127.0f : n;
      n = n < -127.0f ? -127.0f : n;
      const auto code = static_cast<std::int32_t>(n == n ? n : 0.0f);
      q[32 * g + lane] = static_cast<std::int8_t>(code);
      const std::int32_t sum = half_warp_sum(t, code);
      if (lane % 16 == 0) sums[2 * g + lane / 16] = sum;
      if (lane == 0) d[g] = zero ? 0.0f : amax / 127.0f;
    }
  }

  /// The block's threads are the block's channels.
  template <class Thread, class In>
  KINGLET_DEVICE static void quantize_fp8(const Thread& t, const Args& a, std::size_t row, const In& x) {
    const std::size_t blocks = (a.cols + 127) / 128;
    const auto codes = t.global(a.codes) + row * a.cols;
    const auto d = t.global(a.d) + row * blocks;
    const auto sums = t.global(a.sums) + row * (a.cols / 16);
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::size_t i = 128 * b + t.thread();
      const bool inside = i < a.cols;
      float v = 0.0f;
      if (inside) v = x[i];
      const float amax = core::bits_float(block_max(t, size_bits(v)));
      const bool zero = amax < 0x1p-100f;
      const float inverse = zero ? 0.0f : 448.0f / amax;
      const std::int32_t code = core::e4m3_to_int(core::float_to_e4m3(v * inverse));
      if (inside) codes[i] = code;
      const std::int32_t sum = half_warp_sum(t, inside ? code : 0);
      if (inside && t.thread() % 16 == 0) sums[i / 16] = sum;
      if (t.thread() == 0) d[b] = zero ? 0.0f : (amax / 448.0f) * 0x1p-9f;
    }
  }

  /// FP16 of the row times the power of two that puts its largest magnitude into [2^14, 2^15).
  template <class Thread, class In>
  KINGLET_DEVICE static void round_to_halves(const Thread& t, const Args& a, std::size_t row, const In& x) {
    std::uint32_t mine = 0;
    for (std::size_t i = t.thread(); i < a.cols; i += lanes) {
      const std::uint32_t size = size_bits(x[i]);
      mine = size > mine ? size : mine;
    }
    const std::uint32_t largest = block_max(t, mine);
    const std::uint32_t exponent = largest >> 23;  // plus 127
    float scale = 0.0f, inverse = 0.0f;
    if (exponent == 255) {
      scale = core::bits_float(largest);  // an infinity or a NaN, and so is what is read with it
    } else if (exponent >= 27) {          // 2^-100, as in the other forms
      scale = core::bits_float((exponent - 14) << 23);
      inverse = core::bits_float((268 - exponent) << 23);
    }
    const std::uint32_t words = half_words(a.cols);
    const auto halves = t.global(a.halves) + row * words;
    const auto scaled = [&](std::size_t i) {
      float v = 0.0f;
      if (i < a.cols) v = x[i];
      return v * inverse;
    };
    for (std::size_t w = t.thread(); w < words; w += lanes) {
      const std::uint64_t low = t.halves(scaled(4 * w), scaled(4 * w + 1));
      const std::uint64_t high = t.halves(scaled(4 * w + 2), scaled(4 * w + 3));
      halves[w] = low | high << 32;
    }
    if (t.thread() == 0) t.global(a.d)[row] = scale;
  }
};

}  // namespace kinglet::cuda

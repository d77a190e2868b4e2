// ops/kernels/sums_neon_i8mm.inl: integer sums of a group's products with AArch64's matrix product (FEAT_I8MM)
//
// smmla multiplies two rows of weights by two of activations over eight columns, twice the products of sdot: 16 for a
// pair of rows' group. Weights are put side by side once for all rows; a row without a partner takes sdot.

/// acc += [2 rows of w][8] times [2 rows of a][8] transposed
inline int32x4_t multiply_pairs(int32x4_t acc, int8x16_t w, int8x16_t a) {
#if defined(__clang__) && !defined(__ARM_FEATURE_MATMUL_INT8)  // whose header hides the intrinsic
  __asm__("smmla %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(w), "w"(a));
  return acc;
#else
  return vmmlaq_s32(acc, w, a);
#endif
}
inline int8x16_t zip_low(uint8x16_t x, uint8x16_t y) {
  return vreinterpretq_s8_u32(vzip1q_u32(vreinterpretq_u32_u8(x), vreinterpretq_u32_u8(y)));
}
inline int8x16_t zip_high(uint8x16_t x, uint8x16_t y) {
  return vreinterpretq_s8_u32(vzip2q_u32(vreinterpretq_u32_u8(x), vreinterpretq_u32_u8(y)));
}
inline int8x16_t columns_of(int8x16_t x, int8x16_t y, bool high) {
  const int64x2_t a = vreinterpretq_s64_s8(x), b = vreinterpretq_s64_s8(y);
  return vreinterpretq_s8_s64(high ? vtrn2q_s64(a, b) : vtrn1q_s64(a, b));
}

/// sum[i][r] += 16 columns from 16 * Half on; sum: rows of weights 2i, 2i + 1 by rows of activations 2r, 2r + 1
template <quant::Format F, int Half, std::size_t R>
[[gnu::always_inline]] inline void add_pairs(const std::byte* codes, const std::int8_t* a, int32x4_t (*sum)[R / 2]) {
  int8x16_t q[R];
  for (std::size_t r = 0; r < R; ++r) q[r] = vld1q_s8(a + 32 * r);
  each(
      Order<0, 1>{}, [&](auto j) __attribute__((always_inline)) {
        const B x = column_codes<F, 4 * Half + 2 * j>(codes), y = column_codes<F, 4 * Half + 2 * j + 1>(codes);
        const int8x16_t w[4] = {zip_low(x.a, y.a), zip_high(x.a, y.a), zip_low(x.b, y.b), zip_high(x.b, y.b)};
        for (std::size_t r = 0; r < R / 2; ++r) {
          const int8x16_t both = columns_of(q[2 * r], q[2 * r + 1], j == 1);
          for (std::size_t i = 0; i < 4; ++i) sum[i][r] = multiply_pairs(sum[i][r], w[i], both);
        }
      });
}
/// sum[r] = start(r) + those of rows of activations
template <std::size_t R, class Start>
[[gnu::always_inline]] inline void split_pairs(const int32x4_t (*pairs)[R / 2], Start start, I* sum) {
  for (std::size_t r = 0; r < R / 2; ++r) {
    const I first = start(2 * r), second = start(2 * r + 1);
    sum[2 * r] = {vaddq_s32(first.a, vuzp1q_s32(pairs[0][r], pairs[1][r])),
                  vaddq_s32(first.b, vuzp1q_s32(pairs[2][r], pairs[3][r]))};
    sum[2 * r + 1] = {vaddq_s32(second.a, vuzp2q_s32(pairs[0][r], pairs[1][r])),
                      vaddq_s32(second.b, vuzp2q_s32(pairs[2][r], pairs[3][r]))};
  }
}

template <quant::Format F, int Half, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  if constexpr (R % 2 == 0) {
    int32x4_t pairs[4][R / 2] = {};
    add_pairs<F, Half, R>(codes, a, pairs);
    split_pairs<R>(pairs, start, sum);
  } else {
    dot_sums_of<F, Half, R>(codes, a, start, sum);
  }
}
template <quant::Format F, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  if constexpr (R % 2 == 0) {
    int32x4_t pairs[4][R / 2] = {};
    add_pairs<F, 0, R>(codes, a, pairs);
    add_pairs<F, 1, R>(codes, a + 16, pairs);
    split_pairs<R>(pairs, start, sum);
  } else {
    dot_sums_of<F, R>(codes, a, start, sum);
  }
}

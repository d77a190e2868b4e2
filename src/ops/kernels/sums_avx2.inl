// ops/kernels/sums_avx2.inl: integer sums of a group's products where bytes are multiplied in pairs into words
//
// Against row after row, whose codes and sums 16 registers do not hold (4 rows at once, one Zen 4 core): Q4_0 1.15,
// Q4_1 1.16, Q8_0 1.12, Q4_K 1.19, Q6_K 1.09 times as fast; a single row 1.0 to 1.07.
//
// Codes below 32 are unsigned; IQ4_NL and Q8_0 take signed ones, whose sign moves to the activations.

inline __m256i product(B w, const std::int8_t* a) { return _mm256_maddubs_epi16(w.v, four_of(a)); }
inline __m256i widen_words(__m256i words) { return _mm256_madd_epi16(words, constant<2, 1>()); }

/// sum[r] = start(r) + the products of 32 columns. codes: one part's; a: [R][32]
template <quant::Format F, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  constexpr std::uint32_t bits = product_bits<F>;
  static_assert(bits == 4 || bits == 5 || bits == 8);
  if constexpr (bits == 8) {
    each(
        Order<0, 4, 1, 5, 2, 6, 3, 7>{}, [&](auto j) __attribute__((always_inline)) {
          const __m256i w = column_codes<F, j>(codes).v;
          const __m256i size = _mm256_abs_epi8(w);
#pragma GCC unroll 16
          for (std::size_t r = 0; r < R; ++r) {
            const __m256i words =
                _mm256_maddubs_epi16(size, _mm256_sign_epi8(four_of(a + 32 * r + 4 * j), w));  // 128 * 127 * 2 fits
            sum[r].v = settle(j == 0 ? widen_words(words) : _mm256_add_epi32(sum[r].v, widen_words(words)));
          }
        });
  } else {
    __m256i words[R];  // with 4 bits the sums of all columns fit one: 15 * 127 * 16 = 30,480; with 5 those of eight
    each(
        Order<0, 1, 2, 3>{}, [&](auto chunk) __attribute__((always_inline)) {
          const B low = column_codes<F, chunk>(codes), high = column_codes<F, chunk + 4>(codes);
#pragma GCC unroll 16
          for (std::size_t r = 0; r < R; ++r) {
            const std::int8_t* at = a + 32 * r + 4 * chunk;
            __m256i w = _mm256_add_epi16(product(low, at), product(high, at + 16));
            if constexpr (bits == 5) w = widen_words(w);
            if constexpr (chunk > 0) w = bits == 4 ? _mm256_add_epi16(words[r], w) : _mm256_add_epi32(words[r], w);
            words[r] = settle(w);
          }
        });
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) {
      sum[r].v = _mm256_add_epi32(bits == 4 ? widen_words(words[r]) : words[r], start(r).v);
    }
  }
}

/// The same of 16 columns. a: [R][32], at the half
template <quant::Format F, int Half, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  static_assert(product_bits<F> == 6);  // 63 * 127 * 4 = 32,004 fits a word
  each(
      Order<0, 1>{}, [&](auto pair) __attribute__((always_inline)) {
        constexpr int column = 4 * Half + 2 * pair;
        const B x = column_codes<F, column>(codes), y = column_codes<F, column + 1>(codes);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < R; ++r) {
          const std::int8_t* at = a + 32 * r + 8 * pair;
          const __m256i words = _mm256_add_epi16(product(x, at), product(y, at + 4));
          sum[r].v = settle(_mm256_add_epi32(pair == 0 ? start(r).v : sum[r].v, widen_words(words)));
        }
      });
}

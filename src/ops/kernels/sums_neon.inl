// ops/kernels/sums_neon.inl: integer sums of a group's products on AArch64's baseline, bytes multiplied into words
//
// The words' sums fit: 31 * 127 * 8 = 31,496 over 32 columns, 63 * 127 * 4 = 32,004 over 16, 128 * 127 * 2 over 8.

inline V settle(V x) { return x; }

/// Columns 4j .. 4j + 3 of rows 0, 1; 2, 3; 4, 5; 6, 7.
struct Words {
  int16x8_t v[4];
};
/// w times four activations, added to what is there already.
inline void add_products(Words& words, B w, const std::int8_t* a, bool first) {
  std::int32_t four;
  __builtin_memcpy(&four, a, sizeof four);
  const int8x16_t q = vreinterpretq_s8_s32(vdupq_n_s32(four));
  const int8x16_t x = vreinterpretq_s8_u8(w.a), y = vreinterpretq_s8_u8(w.b);
  words.v[0] = first ? vmull_s8(vget_low_s8(x), vget_low_s8(q)) : vmlal_s8(words.v[0], vget_low_s8(x), vget_low_s8(q));
  words.v[1] = first ? vmull_high_s8(x, q) : vmlal_high_s8(words.v[1], x, q);
  words.v[2] = first ? vmull_s8(vget_low_s8(y), vget_low_s8(q)) : vmlal_s8(words.v[2], vget_low_s8(y), vget_low_s8(q));
  words.v[3] = first ? vmull_high_s8(y, q) : vmlal_high_s8(words.v[3], y, q);
}
/// acc + the sums of each row's four words.
inline I add_words(I acc, const Words& words) {
  return {vaddq_s32(acc.a, vpaddq_s32(vpaddlq_s16(words.v[0]), vpaddlq_s16(words.v[1]))),
          vaddq_s32(acc.b, vpaddq_s32(vpaddlq_s16(words.v[2]), vpaddlq_s16(words.v[3])))};
}

/// sum[r] = start(r) + the products of columns 4J .. 4J + 3 for each J of the order. codes: one part's; a: [R][32]
template <quant::Format F, std::size_t R, int... J, class Start>
[[gnu::always_inline]] inline void sums_of(Order<J...> order, const std::byte* codes, const std::int8_t* a, Start start,
                                           I* sum) {
  constexpr int at_once = product_bits<F> == 8 ? 2 : 8;
  Words words[R];
  for (std::size_t r = 0; r < R; ++r) sum[r] = start(r);
  int done = 0;
  each(
      order, [&](auto j) __attribute__((always_inline)) {
        const B w = column_codes<F, j>(codes);
        for (std::size_t r = 0; r < R; ++r) add_products(words[r], w, a + 32 * r + 4 * j, done % at_once == 0);
        if (++done % at_once != 0 && done != sizeof...(J)) return;
        for (std::size_t r = 0; r < R; ++r) sum[r] = add_words(sum[r], words[r]);
      });
}
template <quant::Format F, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  sums_of<F, R>(Order<0, 4, 1, 5, 2, 6, 3, 7>{}, codes, a, start, sum);
}
/// The same of 16 columns. a: at the half
template <quant::Format F, int Half, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  sums_of<F, R>(Order<4 * Half, 4 * Half + 1, 4 * Half + 2, 4 * Half + 3>{}, codes, a - 16 * Half, start, sum);
}

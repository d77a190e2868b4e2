// ops/kernels/sums_vnni.inl: integer sums of a group's products with VNNI on 256 bits
//
// dot_bytes, supplied before: acc + sums of four products of unsigned and signed bytes. The zero point of 8 bits is
// 128.

/// sum[r] = start(r) + the products of columns 4J .. 4J + 3 for each J of the order. codes: one part's; a: [R][32]
template <quant::Format F, std::size_t R, int... J, class Start>
[[gnu::always_inline]] inline void sums_of(Order<J...> order, const std::byte* codes, const std::int8_t* a, Start start,
                                           I* sum) {
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) sum[r] = start(r);
  each(
      order, [&](auto j) __attribute__((always_inline)) {
        const B w = column_codes<F, j>(codes);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < R; ++r) sum[r].v = dot_bytes(sum[r].v, w.v, four_of(a + 32 * r + 4 * j));
      });
}
template <quant::Format F, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  sums_of<F, R>(Order<0, 4, 1, 5, 2, 6, 3, 7>{}, codes, a, start, sum);
}
/// The same of 16 columns.
template <quant::Format F, int Half, std::size_t R, class Start>
[[gnu::always_inline]] inline void sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  sums_of<F, R>(Order<4 * Half, 4 * Half + 1, 4 * Half + 2, 4 * Half + 3>{}, codes, a - 16 * Half, start, sum);
}

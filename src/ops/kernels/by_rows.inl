// ops/kernels/by_rows.inl: a group of a strip, row after row of activations: the registers hold all of its codes
//
// For sets with 32 registers of which one holds all rows of a strip, and for plain C++.

/// acc[r] takes up one group for one part of the strip's rows, where its codes begin.
template <quant::Format F, std::size_t R, std::size_t Part>
[[gnu::always_inline]] inline void add_group(const std::byte* codes, const std::byte* meta, const std::byte* super,
                                             const Panel& p, std::size_t at, V* acc) {
  using Scales = StripScales<F>;
  B x[8];
  each(
      Order<0, 1, 2, 3, 4, 5, 6, 7>{}, [&](auto j)
                                           __attribute__((always_inline)) { x[j] = column_codes<F, j>(codes); });
  Scales scales;
  scales.template load<Part>(meta, super);
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
    const std::int8_t* a = p.q + 32 * (at + r);
    if constexpr (Scales::halves) {
      const V first = scales.half_sum(dot16(Scales::start(p, at + r, 0), x, a));
      acc[r] = scales.take(acc[r], first, dot16(Scales::start(p, at + r, 1), x + 4, a + 16), p, at + r);
    } else {
      acc[r] = scales.take(acc[r], dot32(Scales::start(p, at + r), x, a), p, at + r);
    }
  }
}

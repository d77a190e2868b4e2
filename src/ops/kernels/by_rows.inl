// ops/kernels/by_rows.inl: a group of a strip, row after row of activations: the registers hold all of its codes
//
// For sets with 32 registers of which one holds all rows of a strip, and for plain C++.

/// Rows whose sums are made side by side, as many as find registers, or all but one or two of them (what is fastest on
/// Zen 4): the products of one row wait for each other, and Intel's cores do not look far enough ahead to have others at
/// work meanwhile.
template <quant::Format F, std::size_t R>
constexpr std::size_t abreast() {
  if (registers == 0) return 1;
  if (R % 4 != 0) return R;
  if (R != 16) return 4;
  return F == quant::Format::q5_1 ? 1 : StripScales<F>::has_min || StripScales<F>::halves ? 2 : 4;
}

/// sum[r] += the products of 4 * N columns, w those of the weights, a [R][32] those of the rows.
template <std::size_t N, std::size_t R>
[[gnu::always_inline]] inline void add_products(const B* w, const std::int8_t* a, I* sum) {
  if constexpr (registers == 0) {  // written out it would only grow
    for (std::size_t j = 0; j < N; ++j) *sum = dot4(*sum, w[j], a + 4 * j);
  } else {
#pragma GCC unroll 8
    for (std::size_t j = 0; j < N; ++j) {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < R; ++r) sum[r] = dot4(sum[r], w[j], a + 32 * r + 4 * j);
    }
  }
}

/// acc[r] takes up one group for one part of the strip's rows, where its codes begin.
template <quant::Format F, std::size_t R, std::size_t Part>
[[gnu::always_inline]] inline void add_group(const std::byte* codes, const std::byte* meta, const std::byte* super,
                                             const Panel& p, std::size_t at, V* acc) {
  using Scales = StripScales<F>;
  constexpr std::size_t n = abreast<F, R>();
  B x[8];
  each(
      Order<0, 1, 2, 3, 4, 5, 6, 7>{}, [&](auto j)
                                           __attribute__((always_inline)) { x[j] = column_codes<F, j>(codes); });
  Scales scales;
  scales.template load<Part>(meta, super);
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; r += n, at += n) {
    const std::int8_t* a = p.q + 32 * at;
    I sum[n];
    if constexpr (Scales::halves) {
      V first[n];
#pragma GCC unroll 4
      for (std::size_t i = 0; i < n; ++i) sum[i] = Scales::start(p, at + i, 0);
      add_products<4, n>(x, a, sum);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < n; ++i) first[i] = scales.half_sum(sum[i]);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < n; ++i) sum[i] = Scales::start(p, at + i, 1);
      add_products<4, n>(x + 4, a + 16, sum);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < n; ++i) acc[r + i] = scales.take(acc[r + i], first[i], sum[i], p, at + i);
    } else {
#pragma GCC unroll 4
      for (std::size_t i = 0; i < n; ++i) sum[i] = Scales::start(p, at + i);
      add_products<8, n>(x, a, sum);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < n; ++i) acc[r + i] = scales.take(acc[r + i], sum[i], p, at + i);
    }
  }
}

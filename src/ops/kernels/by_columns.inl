// ops/kernels/by_columns.inl: a group of a strip, column after column: the registers hold the integer sums of all rows
//
// For sets with 16 registers, or whose products read several rows. sums_*.inl supplies sums_of and settle.

/// acc[r] takes up one group for one part of the strip's rows, where its codes begin.
template <quant::Format F, std::size_t R, std::size_t Part>
[[gnu::always_inline]] inline void add_group(const std::byte* codes, const std::byte* meta, const std::byte* super,
                                             const Panel& p, std::size_t at, V* acc) {
  using Scales = StripScales<F>;
  const std::int8_t* a = p.q + 32 * at;
  Scales scales;
  // Read anew in each group: kept, what a block's groups share would push the sums of many rows onto the stack.
  if constexpr (R > 1) __asm__("" : "+r"(super));
  I sum[R];
  if constexpr (Scales::halves) {
    V first[R];
    sums_of<F, 0, R>(
        codes, a, [&](std::size_t r) __attribute__((always_inline)) { return Scales::start(p, at + r, 0); }, sum);
    scales.template load<Part>(meta, super);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) first[r] = settle(scales.half_sum(sum[r]));
    sums_of<F, 1, R>(
        codes, a + 16, [&](std::size_t r) __attribute__((always_inline)) { return Scales::start(p, at + r, 1); }, sum);
    if constexpr (R > 1) {
      __asm__("" : "+r"(meta), "+r"(super));
      scales.template load<Part>(meta, super);
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) acc[r] = settle(scales.take(acc[r], first[r], sum[r], p, at + r));
  } else {
    sums_of<F, R>(
        codes, a, [&](std::size_t r) __attribute__((always_inline)) { return Scales::start(p, at + r); }, sum);
    scales.template load<Part>(meta, super);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) acc[r] = settle(scales.take(acc[r], sum[r], p, at + r));
  }
}

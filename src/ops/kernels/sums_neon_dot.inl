// ops/kernels/sums_neon_dot.inl: integer sums of a group's products with AArch64's dot product (FEAT_DotProd)
//
// sdot takes one lane of four activations for four rows of weights: nothing is broadcast. 16 of them for a row's group,
// besides which a row needs 2 loads, 2 conversions, 2 multiplications and 2 fma.

inline V settle(V x) { return x; }

/// acc + the products of four bytes of each lane of w and lane Lane of a.
template <int Lane>
inline int32x4_t dot_lane(int32x4_t acc, uint8x16_t w, int8x16_t a) {
#if defined(__clang__) && !defined(__ARM_FEATURE_DOTPROD)  // whose header hides the intrinsic outside of such a build
  __asm__("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(acc) : "w"(w), "w"(a), "i"(Lane));
  return acc;
#else
  return vdotq_laneq_s32(acc, vreinterpretq_s8_u8(w), a, Lane);
#endif
}

/// sum[r] = start(r) + the products of 16 columns from 16 * Half on. codes: one part's; a: [R][32], at the half
template <quant::Format F, int Half, std::size_t R, class Start>
[[gnu::always_inline]] inline void dot_sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  int8x16_t q[R];
  for (std::size_t r = 0; r < R; ++r) {
    q[r] = vld1q_s8(a + 32 * r);
    sum[r] = start(r);
  }
  each(
      Order<0, 1, 2, 3>{}, [&](auto j) __attribute__((always_inline)) {
        const B w = column_codes<F, 4 * Half + j>(codes);
        for (std::size_t r = 0; r < R; ++r) {
          sum[r].a = dot_lane<j>(sum[r].a, w.a, q[r]);
          sum[r].b = dot_lane<j>(sum[r].b, w.b, q[r]);
        }
      });
}
/// The same of 32 columns.
template <quant::Format F, std::size_t R, class Start>
[[gnu::always_inline]] inline void dot_sums_of(const std::byte* codes, const std::int8_t* a, Start start, I* sum) {
  dot_sums_of<F, 0, R>(codes, a, start, sum);
  dot_sums_of<F, 1, R>(
      codes, a + 16, [&](std::size_t r) __attribute__((always_inline)) { return sum[r]; }, sum);
}

// ops/kernels/quantize.inl: how do rows become a panel of INT8 groups (docs/numbers.md, Activations)?
//
// A panel's groups lie [groups][rows], and so does all that is known of them: `groups_at_once` neighbours go through
// the registers together where the set has quantize_many, one number of each in a lane.

/// One group of a panel. x: [32]
inline void quantize_one(const float* x, const Panel& p, std::size_t at) {
  const float amax = largest32(x);
  const bool none = amax < 0x1p-100f;
  const float inverse = none ? 0.0f : 127.0f / amax;
  p.d[at] = none ? 0.0f : amax / 127.0f;
  std::int32_t sums[2];
  for (std::size_t h = 0; h < 2; ++h) {
    sums[h] = round16(x + 16 * h, inverse, p.q + 32 * at + 16 * h);
    p.halves[2 * at + h] = -32 * sums[h];
    p.minus_sums[2 * at + h] = static_cast<std::int16_t>(-sums[h]);
  }
  p.zero[at] = -8 * (sums[0] + sums[1]);
  p.sum[at] = static_cast<float>(sums[0] + sums[1]);
}

template <std::size_t N = groups_at_once>
void quantize_groups(const float* const* x, std::size_t step, std::size_t first, std::size_t count, const Panel& p) {
  const std::size_t end = (first + count) * p.rows;
  std::size_t row = 0, offset = 0;
  const auto next = [&] {
    const float* from = x[row] + offset;
    if (++row == p.rows) row = 0, offset += step;
    return from;
  };
  std::size_t at = first * p.rows;
  if constexpr (N > 1) {
    for (; at + N <= end; at += N) {
      const float* from[N];
      for (std::size_t i = 0; i < N; ++i) from[i] = next();
      quantize_many(from, p, at);
    }
  }
  for (; at < end; ++at) quantize_one(next(), p, at);
}

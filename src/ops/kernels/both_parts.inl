// ops/kernels/both_parts.inl: products that go over a strip group by group, not part by part, where bytes are multiplied
// in pairs
//
// Many rows of 4 bits: a broadcast of activations serves two products. The registers hold the words of 6 rows by 16
// outputs; the sums over the groups wait in `out`. Against part after part with 4 rows (one Zen 4 core): Q4_0, Q4_1 and
// Q4_K 1.14 times as fast. Of Q6_K they hold the sums of 8 rows by 8 outputs (one Zen 3 core: 1.2 times). One row or two
// of any format: two strips in turn.

/// words[v][r] += the products of columns 4J .. 4J + 3, for both parts of a strip. codes: a group's; a: [R][32]
template <quant::Format F, int J, std::size_t R>
[[gnu::always_inline]] inline void add_words(const std::byte* codes, const std::int8_t* a, __m256i (*words)[R]) {
  const B w[2] = {column_codes<F, J>(codes), column_codes<F, J>(codes + sizeof(B))};
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
    const __m256i x = four_of(a + 32 * r + 4 * J);
#pragma GCC unroll 2
    for (std::size_t v = 0; v < 2; ++v) {
      const __m256i product = _mm256_maddubs_epi16(w[v].v, x);
      words[v][r] = settle(J == 0 ? product : _mm256_add_epi16(words[v][r], product));
    }
  }
}

/// sum[r] = the products of a group of Q6_K, each half's times its scale. At most 32 columns * 32 * 127 * 128 =
/// 16,646,144, which FP32 holds exactly as it does each half's: adding them up as integers changes no bit. What is not yet
/// whole may be twice as large. codes: one part's; scales: int8 [2][16], at that part
template <quant::Format F, std::size_t R>
[[gnu::always_inline]] inline void scaled_sums(const std::byte* codes, const std::byte* scales, const Panel& p,
                                               std::size_t at, __m256i* sum) {
  static_assert(StripScales<F>::halves);
  const __m128i s[2] = {_mm_loadl_epi64(reinterpret_cast<const __m128i*>(scales)),
                        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(scales + strip_rows))};
  const __m256i both = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(s[0], s[1]));
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
    std::int32_t minus;
    __builtin_memcpy(&minus, p.minus_sums + 2 * (at + r), sizeof minus);
    sum[r] = settle(_mm256_slli_epi32(_mm256_madd_epi16(both, _mm256_set1_epi32(minus)), 5));
  }
  each(
      Order<0, 1, 2, 3>{}, [&](auto pair) __attribute__((always_inline)) {
        const __m256i scale = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(s[pair / 2], s[pair / 2]));
        const B x = column_codes<F, 2 * pair>(codes), y = column_codes<F, 2 * pair + 1>(codes);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < R; ++r) {
          const std::int8_t* a = p.q + 32 * (at + r) + 8 * pair;
          const __m256i words = _mm256_add_epi16(product(x, a), product(y, a + 4));  // 63 * 127 * 4 = 32,004
          sum[r] = settle(_mm256_add_epi32(sum[r], _mm256_madd_epi16(words, scale)));
        }
      });
}

/// out[r] takes up one group of Q6_K.
template <quant::Format F, std::size_t R>
[[gnu::always_inline]] inline void add_group_of_halves(const std::byte* codes, const std::byte* meta,
                                                       const std::byte* super, const Panel& p, std::size_t at,
                                                       float (*out)[out_stride]) {
  const auto part = [&]<std::size_t v>() __attribute__((always_inline)) {
    __m256i sum[R];
    scaled_sums<F, R>(codes + v * sizeof(B), meta + v * V::width, p, at, sum);
    __asm__("" : "+r"(super));  // read anew in each group, or it takes a register
    const V d = load_fp16(reinterpret_cast<const std::uint16_t*>(super) + v * V::width);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) {
      float* const o = out[r] + v * V::width;
      store(o, fma(to_float(I{sum[r]}), mul(d, set1(p.d[at + r])), load(o)));
    }
  };
  part.template operator()<0>();
  part.template operator()<1>();
}

/// out[r] takes up one group.
template <quant::Format F, std::size_t R>
[[gnu::always_inline]] inline void add_group_of_both(const std::byte* codes, const std::byte* meta,
                                                     const std::byte* super, const Panel& p, std::size_t at,
                                                     float (*out)[out_stride]) {
  using Scales = StripScales<F>;
  static_assert(product_bits<F> == 4);  // the sums of all columns fit a word: 15 * 127 * 16 = 30,480
  __m256i words[2][R];
  each(
      Order<0, 4, 1, 5, 2, 6, 3, 7>{}, [&](auto j) __attribute__((always_inline)) {
        add_words<F, j, R>(codes, p.q + 32 * at, words);
      });
  if constexpr (Scales::has_min) {  // their scales would fill the registers
    const auto part = [&]<std::size_t v>() __attribute__((always_inline)) {
      Scales scales;
      scales.template load<v>(meta, super);
#pragma GCC unroll 16
      for (std::size_t r = 0; r < R; ++r) {
        float* const o = out[r] + v * V::width;
        const I sum{_mm256_add_epi32(widen_words(words[v][r]), Scales::start(p, at + r).v)};
        store(o, scales.take(load(o), sum, p, at + r));
      }
    };
    part.template operator()<0>();
    part.template operator()<1>();
  } else {
    Scales low, high;
    low.template load<0>(meta, super);
    high.template load<1>(meta, super);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) {
      __asm__("" : : : "memory");  // or the rows' scales are read too early for the registers
      float* const o = out[r];
      const I start = Scales::start(p, at + r);
      const I first{settle(_mm256_add_epi32(widen_words(words[0][r]), start.v))};
      const I second{settle(_mm256_add_epi32(widen_words(words[1][r]), start.v))};
      const V sum = low.take(load(o), first, p, at + r);
      store(o + V::width, high.take(load(o + V::width), second, p, at + r));
      store(o, sum);
    }
  }
}

template <quant::Format F, std::size_t R>
[[gnu::noinline]] void strip_rows_product_of_both(const std::byte* strip, std::size_t cols, const Panel& panel,
                                                  std::size_t first, float (*out)[out_stride]) {
  constexpr StripLayout layout = strip_layout(F);
  const Panel p = panel;
  for (std::size_t r = 0; r < R; ++r) {
    for (std::size_t i = 0; i < strip_rows; i += V::width) store(out[r] + i, set1(0.0f));
  }
  std::size_t at = first;
  for (std::size_t left = cols / 32; left != 0;) {
    const std::size_t n = left < strip_groups ? left : strip_groups;
    const std::byte *super = strip, *meta = super + layout.super, *codes = strip + layout.head(n);
    const std::byte* ahead = strip + fetch_ahead;
    for (std::size_t g = 0; g < n; ++g, codes += layout.codes, meta += layout.meta, at += p.rows) {
      for (std::size_t i = 0; i < layout.codes + layout.meta; i += 64) __builtin_prefetch(ahead + i);
      ahead += layout.codes + layout.meta;
      __asm__("" : "+r"(out));  // or the compiler moves the sums onto the stack
      if constexpr (StripScales<F>::halves) {
        add_group_of_halves<F, R>(codes, meta, super, p, at, out);
      } else {
        add_group_of_both<F, R>(codes, meta, super, p, at, out);
      }
    }
    strip += layout.block(n);
    left -= n;
  }
}

/// out[r] takes up one group of any format.
template <quant::Format F, std::size_t R>
[[gnu::always_inline]] inline void add_whole_group(const std::byte* codes, const std::byte* meta,
                                                   const std::byte* super, const Panel& p, std::size_t at,
                                                   float (*out)[out_stride]) {
  if constexpr (product_bits<F> == 4) {
    add_group_of_both<F, R>(codes, meta, super, p, at, out);
  } else {
    const auto part = [&]<std::size_t v>() __attribute__((always_inline)) {
      V acc[R];
      for (std::size_t r = 0; r < R; ++r) acc[r] = load(out[r] + v * V::width);
      add_group<F, R, v>(codes + v * sizeof(B), meta, super, p, at, acc);
      for (std::size_t r = 0; r < R; ++r) store(out[r] + v * V::width, acc[r]);
    };
    part.template operator()<0>();
    part.template operator()<1>();
  }
}

/// Bytes ahead in each of two strips that are fetched: the best tried of up to 6,144 (one Zen 3 core).
template <quant::Format F>
constexpr std::size_t pair_fetch_ahead = F == quant::Format::q8_0 ? 256 : 2048;

// Two strips, a group of each in turn, so that the memory has two streams to serve. One Zen 3 core, one row, against
// strip after strip: Q4_0, Q4_1 and Q8_0 1.4, Q4_K and Q6_K 1.2 times as fast.
template <quant::Format F, std::size_t R>
[[gnu::noinline]] void strip_rows_product_of_pair(const StripRun& first, const StripRun& second, std::size_t cols,
                                                  const Panel& panel) {
  constexpr StripLayout layout = strip_layout(F);
  constexpr std::size_t group = layout.codes + layout.meta;
  const Panel p = panel;
  const std::byte* strip[2] = {first.strip, second.strip};
  float(*const out[2])[out_stride] = {first.out, second.out};
  for (std::size_t r = 0; r < R; ++r) {
    for (std::size_t i = 0; i < strip_rows; i += V::width) {
      store(out[0][r] + i, set1(0.0f));
      store(out[1][r] + i, set1(0.0f));
    }
  }
  std::size_t at = 0;
  for (std::size_t left = cols / 32; left != 0;) {
    const std::size_t n = left < strip_groups ? left : strip_groups;
    for (std::size_t g = 0; g < n; ++g, at += R) {
#pragma GCC unroll 2
      for (std::size_t s = 0; s < 2; ++s) {
        const std::byte* ahead = strip[s] + g * group + pair_fetch_ahead<F>;
        for (std::size_t i = 0; i < group; i += 64) __builtin_prefetch(ahead + i);
        add_whole_group<F, R>(strip[s] + layout.head(n) + g * layout.codes, strip[s] + layout.super + g * layout.meta,
                              strip[s], p, at, out[s]);
      }
    }
    strip[0] += layout.block(n);
    strip[1] += layout.block(n);
    left -= n;
  }
}

template <quant::Format F>
inline void pair_product(const StripRun& first, const StripRun& second, std::size_t cols, const Panel& panel) {
  if (panel.rows == 1) {
    strip_rows_product_of_pair<F, 1>(first, second, cols, panel);
  } else {
    strip_rows_product_of_pair<F, 2>(first, second, cols, panel);
  }
}

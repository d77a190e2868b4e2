// ops/kernels/packed.inl: the INT8 products of docs/numbers.md over strips, for one instruction set's V, I and B
//
// Floor of a group of 32 columns: 8 dot products of 16 lanes, a conversion and an fma; besides those, one product of
// the two scales for each row, and the unpacking of the codes, which the rows of a panel share.

/// Has the set both_parts.inl?
constexpr bool group_by_group = rows_at_once == 6;

/// Do one or two rows go over two strips group by group, or a single one block by block? Where it was measured: Zen 3;
/// Zen 4, with AVX2 too.
template <bool Fetch>
constexpr bool pairs_groups = Fetch ? group_by_group : false;
template <bool Fetch>
constexpr bool pairs_blocks = !Fetch && (V::width == 16 || group_by_group);

/// Is the processor's own prefetching left alone? For rows that take no longer to compute than to arrive, so that it
/// keeps ahead of them, and where it reaches far enough (not where Fetch says otherwise).
template <quant::Format F, std::size_t R, bool Fetch>
constexpr bool streams = !Fetch && (R == 1 || (R == 2 && product_bits<F> == 4 && !StripScales<F>::k_quant));

/// What that prefetching misses: it follows the codes, whose block's head it has passed by, and not the activations,
/// which a large matrix has pushed out of the nearest cache since the strip before.
/// @param next  where the next block's first group of the row stands in the panel's arrays
template <quant::Format F, std::size_t R>
[[gnu::always_inline]] inline void fetch_sides(const std::byte* block, const Panel& p, std::size_t next) {
  for (std::size_t i = 0; i < strip_layout(F).head(strip_groups); i += 64) __builtin_prefetch(block + i);
  for (std::size_t i = 0; i < 32 * R * strip_groups; i += 64) __builtin_prefetch(p.q + 32 * next + i);
  __builtin_prefetch(p.d + next);
  if constexpr (!signed_bytes) __builtin_prefetch((StripScales<F>::halves ? p.halves + 2 * next : p.zero + next));
  if constexpr (StripScales<F>::has_min) __builtin_prefetch(p.sum + next);
}

/// acc[r] takes up n groups of one block, for one part of the strip's rows.
template <quant::Format F, std::size_t R, std::size_t Part, bool Streams>
[[gnu::always_inline]] inline void add_block(const std::byte* block, std::size_t n, const Panel& p, std::size_t at,
                                             V* acc) {
  V sum[R];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) sum[r] = acc[r];
  constexpr StripLayout layout = strip_layout(F);
  const std::byte* super = block;
  const std::byte* meta = super + layout.super;
  const std::byte* codes = block + layout.head(n);
  const std::byte* ahead = block + fetch_ahead;
  for (std::size_t g = 0; g < n; ++g, codes += layout.codes, meta += layout.meta, at += p.rows) {
    if constexpr (Part == 0 && !Streams) {
      for (std::size_t i = 0; i < layout.codes + layout.meta; i += 64) __builtin_prefetch(ahead + i);
      ahead += layout.codes + layout.meta;
    }
    add_group<F, R, Part>(codes + Part * sizeof(B), meta, super, p, at, sum);
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) acc[r] = sum[r];
}

// Narrow registers take a block in parts, the second from the nearest cache.
template <quant::Format F, std::size_t R, bool Streams>
[[gnu::noinline]] void strip_rows_product(const std::byte* strip, std::size_t cols, const Panel& p, std::size_t first,
                                          float (*out)[out_stride]) {
  constexpr StripLayout layout = strip_layout(F);
  constexpr int parts = strip_rows / V::width;
  V acc[parts][R];
  for (int v = 0; v < parts; ++v) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) acc[v][r] = set1(0.0f);
  }
  const std::size_t groups = cols / 32;
  for (std::size_t g = 0; g < groups; g += strip_groups) {
    const std::size_t n = groups - g < strip_groups ? groups - g : strip_groups;
    if constexpr (Streams) {
      fetch_sides<F, R>(strip, p, (g + strip_groups < groups ? g + strip_groups : 0) * p.rows + first);
    }
    each(
        std::make_integer_sequence<int, parts>{}, [&](auto v) __attribute__((always_inline)) {
          add_block<F, R, v, Streams>(strip, n, p, g * p.rows + first, acc[v]);
        });
    strip += layout.block(n);
  }
  for (int v = 0; v < parts; ++v) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) store(out[r] + static_cast<std::size_t>(v) * V::width, acc[v][r]);
  }
}

// Two strips, a block of each in turn, where the processor's own prefetching is left alone.
template <quant::Format F>
[[gnu::noinline]] void strip_rows_product_by_blocks(const StripRun& first, const StripRun& second, std::size_t cols,
                                                    const Panel& p) {
  constexpr StripLayout layout = strip_layout(F);
  constexpr int parts = strip_rows / V::width;
  const StripRun* const runs[2] = {&first, &second};
  const std::byte* strip[2] = {first.strip, second.strip};
  V acc[2][parts];
  for (auto& of_strip : acc) {
    for (V& sum : of_strip) sum = set1(0.0f);
  }
  const std::size_t groups = cols / 32;
  for (std::size_t g = 0; g < groups; g += strip_groups) {
    const std::size_t n = groups - g < strip_groups ? groups - g : strip_groups;
    for (std::size_t s = 0; s < 2; ++s) {
      __asm__("" : "+r"(s));  // or it is written out twice, and the addresses go onto the stack
      fetch_sides<F, 1>(strip[s], p, g + strip_groups < groups ? g + strip_groups : 0);
      each(
          std::make_integer_sequence<int, parts>{}, [&](auto v) __attribute__((always_inline)) {
            add_block<F, 1, v, true>(strip[s], n, p, g, &acc[s][v]);
          });
      strip[s] += layout.block(n);
    }
  }
  for (std::size_t s = 0; s < 2; ++s) {
    for (int v = 0; v < parts; ++v) store(runs[s]->out[0] + static_cast<std::size_t>(v) * V::width, acc[s][v]);
  }
}

template <quant::Format F, bool Fetch>
inline void panel_product(const std::byte* strip, std::size_t cols, const Panel& p, float (*out)[out_stride]) {
  std::size_t r = 0;
  if constexpr (rows_at_once >= 16 && !StripScales<F>::k_quant) {  // their scales take the registers
    for (; r + 16 <= p.rows; r += 16) strip_rows_product<F, 16, false>(strip, cols, p, r, out + r);
  }
  if constexpr (rows_at_once >= 8) {
    for (; r + 8 <= p.rows; r += 8) strip_rows_product<F, 8, false>(strip, cols, p, r, out + r);
  }
  if constexpr (group_by_group && (product_bits<F> == 4 || StripScales<F>::halves)) {
    constexpr std::size_t most = StripScales<F>::halves ? 8 : 6;
    while (p.rows - r > 2) {  // in equal parts: few rows at once are slower
      const std::size_t left = p.rows - r, n = left / ((left + most - 1) / most);
      switch (n) {
        case 3: strip_rows_product_of_both<F, 3>(strip, cols, p, r, out + r); break;
        case 4: strip_rows_product_of_both<F, 4>(strip, cols, p, r, out + r); break;
        case 5: strip_rows_product_of_both<F, 5>(strip, cols, p, r, out + r); break;
        case 6: strip_rows_product_of_both<F, 6>(strip, cols, p, r, out + r); break;
        case 7: strip_rows_product_of_both<F, most == 8 ? 7 : 6>(strip, cols, p, r, out + r); break;
        default: strip_rows_product_of_both<F, most>(strip, cols, p, r, out + r); break;
      }
      r += n;
    }
  } else {
    for (; r + 4 <= p.rows; r += 4) strip_rows_product<F, 4, false>(strip, cols, p, r, out + r);
    if (p.rows - r == 3) return strip_rows_product<F, 3, false>(strip, cols, p, r, out + r);
  }
  switch (p.rows - r) {
    case 1: return strip_rows_product<F, 1, streams<F, 1, Fetch>>(strip, cols, p, r, out + r);
    case 2: return strip_rows_product<F, 2, streams<F, 2, Fetch>>(strip, cols, p, r, out + r);
    default: return;
  }
}

/// @param Apart  the halves of the runs lie far from each other; block by block that is a must
template <quant::Format F, bool Fetch, bool Apart>
void strip_product(const StripRun* runs, std::size_t strips, std::size_t cols, const Panel* panels, std::size_t count) {
  std::size_t s = 0;
  if constexpr (pairs_groups<Fetch> || (pairs_blocks<Fetch> && Apart)) {
    if (const std::size_t half = (strips + 1) / 2; count == 1 && panels->rows <= (pairs_groups<Fetch> ? 2 : 1)) {
      for (; s + half < strips; ++s) {
        if constexpr (pairs_groups<Fetch>) {
          pair_product<F>(runs[s], runs[s + half], cols, *panels);
        } else {
          strip_rows_product_by_blocks<F>(runs[s], runs[s + half], cols, *panels);
        }
      }
      if (s < half) panel_product<F, Fetch>(runs[s].strip, cols, *panels, runs[s].out);
      return;
    }
  }
  for (; s < strips; ++s) {
    for (std::size_t i = 0; i < count; ++i) {
      panel_product<F, Fetch>(runs[s].strip, cols, panels[i], runs[s].out + i * panel_rows);
    }
  }
}

/// @param Fetch  few rows fetch too what lies further on in the strips
template <bool Fetch>
const StripKernels& strip_table() noexcept {
  static constexpr StripKernels table = [] {
    StripKernels k{quantize_groups<>, {}};
    if (pairs_groups<Fetch>) k.pairs = {2, 0, 4};
    // Two Zen 4 cores, llama-3.2-1b: one thread 1.08x, two that are far apart 1.04x. Fewer columns (576 and 896): 0.95x
    // and 0.97x. Other limits on tiles were not measured.
    if (pairs_blocks<Fetch>) k.pairs = {1, 2048, 16};
    for_each_strip_format([&k]<quant::Format F>() {
      const auto f = static_cast<std::size_t>(F);
      k.product[f] = strip_product<F, Fetch, false>;
      if constexpr (pairs_groups<Fetch>) k.paired[f] = k.product[f];
      if constexpr (pairs_blocks<Fetch>) k.paired[f] = strip_product<F, Fetch, true>;
    });
    return k;
  }();
  return table;
}

const StripKernels& strip_kernels() noexcept { return strip_table<false>(); }

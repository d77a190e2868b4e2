// ops/kernels/attend_sums.inl: how do the scores, shares and sums of values of a block of queries come about?
//
// The part of attention (docs/numbers.md) that takes the time, for one instruction set's V; attend.inl puts it
// together. Included inside a namespace and a target region, after kernels.inl. SIMD lanes are positions (scores) or
// channels (values): never parts of one sum.
//
// Floor: 4 * head_dim floating-point operations for each query and position it sees, at the peak of fma; for few
// queries (one row of a session) the pages, read once. Many queries go in blocks of `many_queries`, whose sums stay in
// registers, over a stretch that is converted to FP32 once; a few queries read the pages as they are.

constexpr std::uint32_t stretch_pages = stretch_tokens / page_tokens;
constexpr std::uint32_t all_pages = 0xffff;
constexpr std::size_t most_queries = 8;  ///< of a block
constexpr std::size_t many_queries = 6;  ///< of a block, where there are more than that
constexpr std::size_t panel_vectors = V::width == page_tokens ? 4 : 2;
/// Keys are widened as [panels][head_dim][panel_tokens].
constexpr std::size_t panel_tokens = panel_vectors * V::width;
constexpr float lowest = -__builtin_inff();
alignas(64) constexpr float ordinal[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/// Vectors of keys (or channels) of which Q queries' sums fit the registers, with the vectors and one broadcast.
constexpr std::size_t fitting(std::size_t queries, std::size_t most) {
  while (most > 1 && (queries + 1) * most + 1 > registers) most /= 2;
  return most;
}

/// f(0), ..., f(N - 1), written out, so that the arrays which f indexes live in registers (where there are any: plain
/// C++ has its vectors in memory, and would only grow).
template <std::size_t N, class F>
[[gnu::always_inline]] inline void times(const F& f) {
  if constexpr (registers == 0) {
    for (std::size_t i = 0; i < N; ++i) f(i);
  } else {
    [&]<std::size_t... i>(std::index_sequence<i...>) __attribute__((always_inline)) { (f(i), ...); }
    (std::make_index_sequence<N>{});
  }
}

/// The visible positions of a stretch for one query: [0, global_end) and [first, last), relative to its start.
struct Visible {
  std::uint32_t global_end, first, last;
  std::uint32_t any, full;  ///< bits of the pages that have some; only visible ones
};

constexpr std::uint32_t pages_below(std::uint32_t page) { return (1u << page) - 1; }

inline Visible visible(const AttendArgs& a, std::uint32_t position) {
  const std::uint32_t seen = position + 1 <= a.start ? 0 : position + 1 - a.start;
  Visible v{0, 0, seen < stretch_tokens ? seen : stretch_tokens, 0, 0};
  if (a.window != 0 && position >= a.window) {
    const std::uint32_t oldest = position - a.window + 1;
    v.first = oldest <= a.start ? 0 : oldest - a.start;
    const std::uint32_t globals = a.globals <= a.start ? 0 : a.globals - a.start;
    v.global_end = globals < v.last ? globals : v.last;
    if (v.first <= v.global_end) v.first = v.global_end = 0;  // they touch
    if (v.first > v.last) v.first = v.last;
  }
  constexpr std::uint32_t up = page_tokens - 1;
  v.full = pages_below(v.global_end / page_tokens);
  v.any = pages_below((v.global_end + up) / page_tokens);
  if (v.first < v.last) {
    v.full |= pages_below(v.last / page_tokens) & ~pages_below((v.first + up) / page_tokens);
    v.any |= pages_below((v.last + up) / page_tokens) & ~pages_below(v.first / page_tokens);
  }
  return v;
}

/// What lies in the scratch.
struct AttendScratch {
  float* score;   ///< [most_queries][stretch_tokens]
  float* out;     ///< [most_queries][padded]
  float* keys;    ///< [panels][head_dim][panel_tokens]
  float* values;  ///< [stretch_tokens][padded]
  float* m;       ///< [most_queries] the largest score of each query
  float* l;       ///< [most_queries] the sum of its shares
  std::size_t padded;
};

/// Queries of a tile that go through the registers together.
struct QueryBlock {
  const float* const* q;
  const Visible* see;
  float* const* state;
  std::uint32_t any, full;  ///< pages that some query sees; that all see whole
};

/// score[Q][P vectors of positions], at a stride of a stretch. keys(d, v): vector v of channel d.
template <std::size_t Q, std::size_t P, class Keys>
[[gnu::always_inline]] inline void score_part(const float* const* queries, std::size_t head_dim, float scale,
                                              const Keys& keys, float* score) {
  const float* q[Q];
  V sum[Q][P];
  times<Q>([&](std::size_t i) __attribute__((always_inline)) {
    q[i] = queries[i];
    times<P>([&](std::size_t v) __attribute__((always_inline)) { sum[i][v] = set1(0.0f); });
  });
  for (std::size_t d = 0; d < head_dim; ++d) {
    V k[P];
    times<P>([&](std::size_t v) __attribute__((always_inline)) { k[v] = keys(d, v); });
    times<Q>([&](std::size_t i) __attribute__((always_inline)) {
      const V x = set1(q[i][d]);
      times<P>([&](std::size_t v) __attribute__((always_inline)) { sum[i][v] = fma(x, k[v], sum[i][v]); });
    });
  }
  times<Q>([&](std::size_t i) __attribute__((always_inline)) {
    float* out = score + i * stretch_tokens;
    times<P>([&](std::size_t v)
                 __attribute__((always_inline)) { store(out + v * V::width, mul(sum[i][v], set1(scale))); });
  });
}

template <std::size_t Q>
inline void score_widened(const AttendArgs& a, const QueryBlock& b, const AttendScratch& m) {
  constexpr std::size_t part = fitting(Q, panel_vectors);
  constexpr std::uint32_t panel_pages = panel_tokens / page_tokens;
  for (std::uint32_t panel = 0; panel < stretch_tokens / panel_tokens; ++panel) {
    if ((b.any >> (panel * panel_pages) & pages_below(panel_pages)) == 0) continue;
    for (std::size_t v = 0; v < panel_vectors; v += part) {
      const float* keys = m.keys + panel * panel_tokens * a.head_dim + v * V::width;
      const auto read = [keys](std::size_t d, std::size_t i) { return load(keys + d * panel_tokens + i * V::width); };
      score_part<Q, part>(b.q, a.head_dim, a.scale, read, m.score + panel * panel_tokens + v * V::width);
    }
  }
}

/// f(j) for the vectors of a stretch's pages that have a bit in `pages`.
template <class F>
inline void for_pages(std::uint32_t pages, const F& f) {
  for (std::uint32_t page = 0; page < stretch_pages; ++page) {
    if ((pages >> page & 1) == 0) continue;
    for (std::uint32_t j = page * page_tokens; j < (page + 1) * page_tokens; j += V::width) f(j);
  }
}

/// m: the largest visible score. In pages of which a query sees a part the other scores become the lowest; pages of
/// which it sees nothing are left alone.
inline float largest_score(const Visible& see, float* score) {
  for_pages(see.any & ~see.full, [&](std::uint32_t j) {
    const V at = add(load(ordinal), set1(static_cast<float>(j)));
    const V s = load(score + j);
    const V recent = where_less(at, set1(static_cast<float>(see.last)), s, set1(lowest));
    const V global = where_less(at, set1(static_cast<float>(see.global_end)), s, set1(lowest));
    store(score + j, where_less(at, set1(static_cast<float>(see.first)), global, recent));
  });
  V top = set1(lowest);
  for_pages(see.any, [&](std::uint32_t j) { top = max(load(score + j), top); });  // this order passes over a NaN
  return largest_lane(top);
}

/// Turns a query's scores into p, where it sees something of a page (`All`: it does of every one); gives l.
template <bool All, bool Fp16>
[[gnu::always_inline]] inline float shares(std::uint32_t any, float m, float* p) {
  constexpr std::size_t quarter = stretch_tokens / 4, half = stretch_tokens / 2, n = quarter / V::width;
  const auto share = [=](std::size_t j) {
    if (!All && (any >> (j / page_tokens) & 1) == 0) return set1(0.0f);
    V e = sub(load(p + j), set1(m));
    if (Fp16) e = round_fp16(e);
    e = exp_below(e);
    store(p + j, e);
    return e;
  };
  V lane[n];  // 64 lanes: the sum of 128 and its first halving
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t j = i * V::width;
    lane[i] = add(add(share(j), share(j + half)), add(share(j + quarter), share(j + half + quarter)));
  }
  for (std::size_t w = n / 2; w > 0; w /= 2) {
    for (std::size_t i = 0; i < w; ++i) lane[i] = add(lane[i], lane[i + w]);
  }
  return halving_sum(lane[0]);
}

inline float shares(std::uint32_t any, bool fp16_scores, float m, float* p) {
  if (any == all_pages) return fp16_scores ? shares<true, true>(any, m, p) : shares<true, false>(any, m, p);
  return fp16_scores ? shares<false, true>(any, m, p) : shares<false, false>(any, m, p);
}

template <std::size_t Q>
inline void block_shares(const AttendArgs& a, const QueryBlock& b, const AttendScratch& m) {
  const auto for_each = [&](const auto& f) {
    for (std::size_t i = 0; i < Q; ++i) {
      if (b.see[i].any != 0) f(i, m.score + i * stretch_tokens);
    }
  };
  for_each([&](std::size_t i, float* score) { m.m[i] = largest_score(b.see[i], score); });
  for_each([&](std::size_t i, float* score) { m.l[i] = shares(b.see[i].any, a.fp16_scores, m.m[i], score); });
  for (std::size_t i = 0; i < Q * m.padded; i += V::width) store(m.out + i, set1(0.0f));
}

/// out[Q][D vectors of channels] += p[j] * values(j, v) over positions [from, to), ascending.
template <std::size_t Q, std::size_t D, class Values>
[[gnu::always_inline]] inline void value_part(const float* p, std::uint32_t from, std::uint32_t to, std::size_t padded,
                                              const Values& values, float* out) {
  V sum[Q][D];
  times<Q>([&](std::size_t i) __attribute__((always_inline)) {
    const float* o = out + i * padded;
    times<D>([&](std::size_t v) __attribute__((always_inline)) { sum[i][v] = load(o + v * V::width); });
  });
  for (std::uint32_t j = from; j < to; ++j) {
    V x[D];
    times<D>([&](std::size_t v) __attribute__((always_inline)) { x[v] = values(j, v); });
    times<Q>([&](std::size_t i) __attribute__((always_inline)) {
      const V share = set1(p[i * stretch_tokens + j]);
      times<D>([&](std::size_t v) __attribute__((always_inline)) { sum[i][v] = fma(share, x[v], sum[i][v]); });
    });
  }
  times<Q>([&](std::size_t i) __attribute__((always_inline)) {
    float* o = out + i * padded;
    times<D>([&](std::size_t v) __attribute__((always_inline)) { store(o + v * V::width, sum[i][v]); });
  });
}

/// All channels; values(j, d): the vector of a position's channels from d on.
template <std::size_t Q, class Values>
inline void value_run(const AttendScratch& m, std::size_t query, std::uint32_t from, std::uint32_t to,
                      const Values& values) {
  constexpr std::size_t part = fitting(Q, 4);
  const float* p = m.score + query * stretch_tokens;
  float* out = m.out + query * m.padded;
  const auto step = [&]<std::size_t D>(std::size_t d) {
    const auto at = [&](std::uint32_t j, std::size_t v) { return values(j, d + v * V::width); };
    value_part<Q, D>(p, from, to, m.padded, at, out + d);
  };
  std::size_t d = 0;
  for (; d + part * V::width <= m.padded; d += part * V::width) step.template operator()<part>(d);
  for (; d < m.padded; d += V::width) step.template operator()<1>(d);
}

/// A page that some queries see in part, query by query.
template <class Values>
inline void value_edges(const AttendScratch& m, const QueryBlock& b, std::size_t queries, std::uint32_t page,
                        const Values& values) {
  const std::uint32_t begin = page * page_tokens, end = begin + page_tokens;
  const auto limit = [=](std::uint32_t j) { return j < begin ? begin : j < end ? j : end; };
  for (std::size_t i = 0; i < queries; ++i) {
    const Visible& see = b.see[i];
    value_run<1>(m, i, begin, limit(see.global_end), values);
    value_run<1>(m, i, limit(see.first), limit(see.last), values);
  }
}

template <std::size_t Q, class Values>
inline void value_all(const AttendScratch& m, const QueryBlock& b, const Values& values) {
  for (std::uint32_t page = 0; page < stretch_pages;) {
    std::uint32_t run = page;
    while (run < stretch_pages && (b.full >> run & 1) != 0) ++run;
    if (run > page) {
      value_run<Q>(m, 0, page * page_tokens, run * page_tokens, values);
      page = run;
      continue;
    }
    if ((b.any >> page & 1) != 0) value_edges(m, b, Q, page, values);
    ++page;
  }
}

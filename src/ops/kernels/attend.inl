// ops/kernels/attend.inl: attention of docs/numbers.md over one stretch, for one instruction set's V
//
// Included inside a namespace and a target region, after kernels.inl. SIMD lanes are positions (scores) or channels
// (values): never parts of one sum.
//
// Floor: 4 * head_dim floating-point operations for each query and position it sees, at the peak of fma; for few
// queries (one row of a session) the pages, read once. Many queries go in blocks of `many_queries`, whose sums stay in
// registers, over a stretch that is converted to FP32 once; a few queries read the pages as they are.

constexpr std::uint32_t stretch_pages = stretch_tokens / page_tokens;
constexpr std::uint32_t all_pages = 0xffff;
constexpr std::size_t most_queries = 8;  ///< of a block
constexpr std::size_t many_queries = 6;  ///< of a block, where there are more than that
constexpr std::size_t panel_vectors = V::width == page_tokens ? 4 : 2;
constexpr std::size_t panel_tokens =
    panel_vectors * V::width;             ///< keys are widened as [panels][head_dim][panel_tokens]
constexpr std::uint32_t pages_ahead = 2;  ///< how far prefetching is ahead of reading
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

/// The lanes that a query does not see become the lowest.
inline void hide(const Visible& see, float* score) {
  for (std::uint32_t page = 0; page < stretch_pages; ++page) {
    if ((see.full >> page & 1) != 0) continue;
    for (std::uint32_t j = page * page_tokens; j < (page + 1) * page_tokens; j += V::width) {
      const V at = add(load(ordinal), set1(static_cast<float>(j)));
      const V s = (see.any >> page & 1) != 0 ? load(score + j) : set1(lowest);
      const V recent = where_less(at, set1(static_cast<float>(see.last)), s, set1(lowest));
      const V global = where_less(at, set1(static_cast<float>(see.global_end)), s, set1(lowest));
      store(score + j, where_less(at, set1(static_cast<float>(see.first)), global, recent));
    }
  }
}

/// m: the largest visible score, the others hidden.
inline float largest_score(const Visible& see, float* score) {
  if (see.full != all_pages) hide(see, score);
  V top[2] = {set1(lowest), set1(lowest)};
  for (std::size_t j = 0; j < stretch_tokens; j += 2 * V::width) {
    top[0] = max(load(score + j), top[0]);  // in this order a NaN is passed over
    top[1] = max(load(score + j + V::width), top[1]);
  }
  return largest_lane(max(top[0], top[1]));
}

/// Turns a query's scores into p (zero where hidden); gives l.
inline float shares(bool fp16_scores, float m, float* p) {
  constexpr std::size_t quarter = stretch_tokens / 4, half = stretch_tokens / 2, n = quarter / V::width;
  const auto share = [=](std::size_t j) {
    V e = sub(load(p + j), set1(m));
    if (fp16_scores) e = round_fp16(e);
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

template <std::size_t Q>
inline void block_shares(const AttendArgs& a, const QueryBlock& b, const AttendScratch& m) {
  const auto for_each = [&](const auto& f) {
    for (std::size_t i = 0; i < Q; ++i) {
      if (b.see[i].any != 0) f(i, m.score + i * stretch_tokens);
    }
  };
  for_each([&](std::size_t i, float* score) { m.m[i] = largest_score(b.see[i], score); });
  for_each([&](std::size_t i, float* score) { m.l[i] = shares(a.fp16_scores, m.m[i], score); });
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

/// What a stretch adds to a query's state.
struct Later {
  float* state;    ///< [2 + head_dim]: m, l, o
  const float* o;  ///< [head_dim]
  float m, l;
};

inline bool untouched(float m, float l) { return l == 0.0f && m == lowest; }

/// Takes a later stretch into each of up to most_queries states.
inline void take(const Later* later, std::size_t count, std::size_t head_dim) {
  alignas(64) float weight[2 * most_queries] = {};  // of the states, of the stretches
  for (std::size_t i = 0; i < count; ++i) {
    const float* s = later[i].state;
    const float larger = later[i].m > s[0] ? later[i].m : s[0];
    weight[i] = s[0] - larger;
    weight[most_queries + i] = later[i].m - larger;
  }
  for (std::size_t i = 0; i < 2 * most_queries; i += V::width) store(weight + i, exp(load(weight + i)));
  for (std::size_t i = 0; i < count; ++i) {
    const auto [s, o, m, l] = later[i];
    std::size_t d = 0;
    if (untouched(s[0], s[1])) {  // the first one, as it is
      s[0] = m;
      s[1] = l;
      for (; d + V::width <= head_dim; d += V::width) store(s + 2 + d, load(o + d));
      for (; d < head_dim; ++d) s[2 + d] = o[d];
      continue;
    }
    const float wa = weight[i], wb = weight[most_queries + i];
    s[0] = m > s[0] ? m : s[0];
    s[1] = __builtin_fmaf(s[1], wa, l * wb);
    for (; d + V::width <= head_dim; d += V::width) {
      store(s + 2 + d, fma(load(s + 2 + d), set1(wa), mul(load(o + d), set1(wb))));
    }
    for (; d < head_dim; ++d) s[2 + d] = __builtin_fmaf(s[2 + d], wa, o[d] * wb);
  }
}

void merge(float* state, const float* later, std::size_t head_dim) {
  if (untouched(later[0], later[1])) return;  // no position of that stretch is visible
  const Later one{state, later + 2, later[0], later[1]};
  take(&one, 1, head_dim);
}

/// The pages that a few queries read, in FP16 as they are.
struct Reading {
  const std::uint16_t* page[2 * stretch_pages + pages_ahead];  ///< in the order of reading, and what comes next
  std::uint32_t place[stretch_pages];                          ///< in the stretch
  std::uint32_t count;                                         ///< of keys, and of values

  Reading(const AttendArgs& a, std::uint32_t any) : count(0) {
    for (std::uint32_t i = 0; i < stretch_pages; ++i) {
      if ((any >> i & 1) == 0) continue;
      page[count] = static_cast<const std::uint16_t*>(a.keys[i]);
      place[count++] = i;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      page[count + i] = static_cast<const std::uint16_t*>(a.values[place[i]]);
    }
    for (std::uint32_t i = 0; i < pages_ahead; ++i) {
      page[2 * count + i] = a.next[i] != nullptr ? static_cast<const std::uint16_t*>(a.next[i]) : page[0];
    }
  }
};

template <std::size_t Q>
inline void score_direct(const AttendArgs& a, const QueryBlock& b, const AttendScratch& m, const Reading& reading) {
  constexpr std::size_t per_page = page_tokens / V::width;
  const auto score_pages = [&]<std::uint32_t N>(std::uint32_t i) {
    const std::uint16_t *keys[N], *ahead[N];
    for (std::uint32_t n = 0; n < N; ++n) {
      keys[n] = reading.page[i + n];
      ahead[n] = reading.page[i + n + pages_ahead];
    }
    const auto read = [&](std::size_t d, std::size_t v) {
      if (v % per_page == 0) __builtin_prefetch(ahead[v / per_page] + d * page_tokens, 0, 2);
      return load_fp16(keys[v / per_page] + d * page_tokens + v % per_page * V::width);
    };
    score_part<Q, N * per_page>(b.q, a.head_dim, a.scale, read, m.score + reading.place[i] * page_tokens);
  };
  for (std::uint32_t i = 0; i < reading.count;) {
    const bool pair = per_page == 1 && i + 1 < reading.count && reading.place[i + 1] == reading.place[i] + 1;
    if (pair)
      score_pages.template operator()<2>(i);
    else
      score_pages.template operator()<1>(i);
    i += pair ? 2 : 1;
  }
}

template <std::size_t Q>
inline void value_direct(const AttendArgs& a, const QueryBlock& b, const AttendScratch& m, const Reading& reading) {
  for (std::uint32_t i = 0; i < reading.count; ++i) {
    const std::uint32_t place = reading.place[i], begin = place * page_tokens;
    const std::uint16_t* values = reading.page[reading.count + i];
    const std::uint16_t* ahead = reading.page[reading.count + i + pages_ahead];
    const auto read = [=, dim = std::size_t{a.head_dim}](std::uint32_t j, std::size_t d) {
      if (d % 32 == 0) __builtin_prefetch(ahead + (j - begin) * dim + d, 0, 2);
      return load_fp16(values + (j - begin) * dim + d);
    };
    if ((b.full >> place & 1) != 0)
      value_run<Q>(m, 0, begin, begin + page_tokens, read);
    else
      value_edges(m, b, Q, place, read);
  }
}

template <std::size_t Q, bool Direct>
void attend_block(const AttendArgs& a, const QueryBlock& b, const AttendScratch& scratch) {
  if constexpr (Direct) {
    const Reading reading(a, b.any);
    score_direct<Q>(a, b, scratch, reading);
    block_shares<Q>(a, b, scratch);
    value_direct<Q>(a, b, scratch, reading);
  } else {
    score_widened<Q>(a, b, scratch);
    block_shares<Q>(a, b, scratch);
    const auto read = [&](std::uint32_t j, std::size_t d) { return load(scratch.values + j * scratch.padded + d); };
    value_all<Q>(scratch, b, read);
  }
  Later later[Q];
  std::size_t count = 0;
  for (std::size_t i = 0; i < Q; ++i) {
    if (b.see[i].any != 0) later[count++] = {b.state[i], scratch.out + i * scratch.padded, scratch.m[i], scratch.l[i]};
  }
  take(later, count, a.head_dim);
}

/// The pages that some query sees, as FP32: keys [panels][head_dim][panel_tokens], values [stretch_tokens][padded].
inline void widen(const AttendArgs& a, std::uint32_t any, const AttendScratch& m) {
  constexpr std::uint32_t panel_pages = panel_tokens / page_tokens;
  const auto ahead = [&](const void* page, std::size_t d) {
    if (page != nullptr)
      __builtin_prefetch(static_cast<const std::byte*>(page) + d * page_tokens * (a.fp16_kv ? 2 : 4));
  };
  const auto copy = [&](const void* from, std::size_t at, std::size_t count, std::size_t padded, float* out) {
    const std::size_t whole = count - count % V::width;
    if (a.fp16_kv) {
      const std::uint16_t* p = static_cast<const std::uint16_t*>(from) + at;
      for (std::size_t i = 0; i < whole; i += V::width) store(out + i, load_fp16(p + i));
      for (std::size_t i = whole; i < count; ++i) out[i] = core::fp16_to_float(p[i]);
    } else {
      const float* p = static_cast<const float*>(from) + at;
      for (std::size_t i = 0; i < count; ++i) out[i] = p[i];
    }
    for (std::size_t i = count; i < padded; ++i) out[i] = 0.0f;
  };
  for (std::uint32_t page = 0; page < stretch_pages; ++page) {
    const std::uint32_t panel = page / panel_pages, place = page % panel_pages;
    float* keys = m.keys + panel * panel_tokens * a.head_dim + place * page_tokens;
    if ((any >> page & 1) != 0) {
      const bool more = page + 1 < stretch_pages;
      const void* next[2] = {more ? a.keys[page + 1] : nullptr, more ? a.values[page + 1] : nullptr};
      for (std::size_t d = 0; d < a.head_dim; ++d) {
        for (const void* p : next) ahead(p, d);
        copy(a.keys[page], d * page_tokens, page_tokens, page_tokens, keys + d * panel_tokens);
      }
      for (std::size_t t = 0; t < page_tokens; ++t) {
        copy(a.values[page], t * a.head_dim, a.head_dim, m.padded, m.values + (page * page_tokens + t) * m.padded);
      }
    } else if ((any >> (panel * panel_pages) & pages_below(panel_pages)) != 0) {
      for (std::size_t d = 0; d < a.head_dim; ++d) {  // scored with its neighbours, and hidden
        for (std::size_t t = 0; t < page_tokens; ++t) keys[d * panel_tokens + t] = 0.0f;
      }
    }
  }
}

template <bool Direct>
inline void attend_queries(std::size_t count, const AttendArgs& a, const QueryBlock& b, const AttendScratch& m) {
  switch (count) {
    case 1: return attend_block<1, Direct>(a, b, m);
    case 2: return attend_block<2, Direct>(a, b, m);
    case 3: return attend_block<3, Direct>(a, b, m);
    case 4: return attend_block<4, Direct>(a, b, m);
    case 5: return attend_block<5, Direct>(a, b, m);
    case 6: return attend_block<6, Direct>(a, b, m);
    case 7: return attend_block<7, Direct>(a, b, m);
    default: return attend_block<8, Direct>(a, b, m);
  }
}

/// Queries and states lie far apart: a block's are asked for while the one before it is computed.
inline void prefetch_block(const AttendArgs& a, std::size_t first) {
  const std::size_t end = first + many_queries < a.queries ? first + many_queries : a.queries;
  for (std::size_t i = first; i < end; ++i) {
    for (std::size_t d = 0; d < a.head_dim; d += 16) {
      __builtin_prefetch(a.q[i] + d);
      __builtin_prefetch(a.state[i] + d, 1);
    }
    __builtin_prefetch(a.state[i] + a.head_dim, 1);
  }
}

void attend(const AttendArgs& a, float* scratch) {
  const std::size_t padded = attend_padded(a.head_dim);
  float* out = scratch + most_queries * stretch_tokens;
  float* keys = out + most_queries * padded;
  float m[most_queries], l[most_queries];
  const AttendScratch memory{scratch, out, keys, keys + stretch_tokens * padded, m, l, padded};
  Visible see[query_block];
  std::uint32_t any = 0;
  for (std::size_t i = 0; i < a.queries; ++i) {
    see[i] = i != 0 && a.position[i] == a.position[i - 1] ? see[i - 1] : visible(a, a.position[i]);
    any |= see[i].any;
  }
  const bool direct = a.queries <= most_queries && a.fp16_kv && a.head_dim % page_tokens == 0;
  prefetch_block(a, 0);
  if (!direct) widen(a, any, memory);
  for (std::size_t first = 0; first < a.queries;) {
    const std::size_t left = a.queries - first;
    const std::size_t count = left <= most_queries ? left : many_queries;
    prefetch_block(a, first + count);
    QueryBlock b{a.q + first, see + first, a.state + first, 0, all_pages};
    for (std::size_t i = first; i < first + count; ++i) {
      b.any |= see[i].any;
      b.full &= see[i].full;
    }
    if (b.any != 0) direct ? attend_queries<true>(count, a, b, memory) : attend_queries<false>(count, a, b, memory);
    first += count;
  }
}

void store_kv(const float* k, const float* v, std::size_t head_dim, std::size_t slot, bool fp16, void* keys,
              void* values) {
  if (!fp16) {
    float* key = static_cast<float*>(keys) + slot;
    float* value = static_cast<float*>(values) + slot * head_dim;
    for (std::size_t d = 0; d < head_dim; ++d) key[d * page_tokens] = k[d];
    for (std::size_t d = 0; d < head_dim; ++d) value[d] = v[d];
    return;
  }
  std::uint16_t* key = static_cast<std::uint16_t*>(keys) + slot;
  std::uint16_t* value = static_cast<std::uint16_t*>(values) + slot * head_dim;
  const std::size_t whole = head_dim - head_dim % V::width;
  for (std::size_t d = 0; d < whole; d += V::width) {
    std::uint16_t half[V::width];
    store_fp16(half, load(k + d));
    for (std::size_t i = 0; i < V::width; ++i) key[(d + i) * page_tokens] = half[i];
    store_fp16(value + d, load(v + d));
  }
  for (std::size_t d = whole; d < head_dim; ++d) {
    key[d * page_tokens] = core::float_to_fp16(k[d]);
    value[d] = core::float_to_fp16(v[d]);
  }
}

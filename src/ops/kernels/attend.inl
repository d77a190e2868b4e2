// ops/kernels/attend.inl: attention of docs/numbers.md over one stretch, for one instruction set's V
//
// Included after attend_sums.inl: pages as they are or widened, block after block of queries, and what a stretch adds
// to the states.

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

void merge(float* const* states, const float* const* later, std::size_t count, std::size_t head_dim) {
  Later some[most_queries];
  std::size_t n = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float* s = later[i];
    if (!untouched(s[0], s[1])) some[n++] = {states[i], s + 2, s[0], s[1]};  // some position of it is visible
    if (n == most_queries || (n != 0 && i + 1 == count)) {
      take(some, n, head_dim);
      n = 0;
    }
  }
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
  for (std::uint32_t i = 0; i < reading.count; ++i) {
    const std::uint16_t *keys = reading.page[i], *ahead = reading.page[i + pages_ahead];
    const auto read = [=](std::size_t d, std::size_t v) {
      if (d % 2 == 0 && v == 0) __builtin_prefetch(ahead + d * page_tokens, 0, 2);  // a line has two channels
      return load_fp16(keys + d * page_tokens + v * V::width);
    };
    score_part<Q, page_tokens / V::width>(b.q, a.head_dim, a.scale, read, m.score + reading.place[i] * page_tokens);
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
      for (std::size_t d = 0; d < a.head_dim; ++d) {  // scored with its neighbours, and never looked at
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

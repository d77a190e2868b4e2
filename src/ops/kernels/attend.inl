// ops/kernels/attend.inl: attention of docs/numbers.md over one stretch, for one instruction set's V
//
// Included inside a namespace and a target region, after kernels.inl. SIMD lanes are positions (scores) or channels
// (values): never parts of one sum.

/// The visible positions of a stretch for one query: [0, global_end) and [first, last), relative to its start.
struct Visible {
  std::uint32_t global_end, first, last;
};

inline Visible visible(const AttendArgs& a, std::uint32_t position) {
  const std::uint32_t seen = position + 1 <= a.start ? 0 : position + 1 - a.start;
  Visible v{0, 0, seen < stretch_tokens ? seen : stretch_tokens};
  if (a.window != 0 && position >= a.window) {
    const std::uint32_t oldest = position - a.window + 1;
    v.first = oldest <= a.start ? 0 : oldest - a.start;
    const std::uint32_t globals = a.globals <= a.start ? 0 : a.globals - a.start;
    v.global_end = globals < v.last ? globals : v.last;
    if (v.first < v.global_end) v.first = v.global_end;
    if (v.first > v.last) v.first = v.last;
  }
  return v;
}

/// One page of keys or values as FP32, `rows` rows of `columns`, at a stride; what is beyond the columns stays.
inline void widen(const void* page, bool fp16, std::size_t rows, std::size_t columns, std::size_t stride, float* out) {
  const std::size_t whole = columns - columns % V::width;
  for (std::size_t r = 0; r < rows; ++r) {
    if (fp16) {
      const std::uint16_t* p = static_cast<const std::uint16_t*>(page) + r * columns;
      for (std::size_t c = 0; c < whole; c += V::width) store(out + r * stride + c, load_fp16(p + c));
      for (std::size_t c = whole; c < columns; ++c) out[r * stride + c] = core::fp16_to_float(p[c]);
    } else {
      const float* p = static_cast<const float*>(page) + r * columns;
      for (std::size_t c = 0; c < columns; ++c) out[r * stride + c] = p[c];
    }
  }
}

constexpr std::size_t page_vectors = page_tokens / V::width;

/// score[query][16] for Q queries over one widened page of keys [head_dim][16].
template <std::size_t Q>
inline void score_page(const AttendArgs& a, std::size_t first, const float* keys, float* score) {
  V s[Q][page_vectors];
  for (std::size_t q = 0; q < Q; ++q) {
    for (std::size_t v = 0; v < page_vectors; ++v) s[q][v] = set1(0.0f);
  }
  for (std::size_t d = 0; d < a.head_dim; ++d) {
    for (std::size_t q = 0; q < Q; ++q) {
      const V x = set1(a.q[first + q][d]);
      for (std::size_t v = 0; v < page_vectors; ++v) {
        s[q][v] = fma(x, load(keys + d * page_tokens + v * V::width), s[q][v]);
      }
    }
  }
  for (std::size_t q = 0; q < Q; ++q) {
    for (std::size_t v = 0; v < page_vectors; ++v) {
      store(score + q * stretch_tokens + v * V::width, mul(s[q][v], set1(a.scale)));
    }
  }
}

/// Turns a query's scores into p (zero where not visible); gives m and l.
inline void soften(const AttendArgs& a, const Visible& see, float* p, float& m, float& l) {
  const float lowest = -__builtin_inff();
  float largest_score = lowest;
  for (std::uint32_t j = 0; j < stretch_tokens; ++j) {
    const bool in = j < see.global_end || (j >= see.first && j < see.last);
    p[j] = in ? p[j] : lowest;
    largest_score = p[j] > largest_score ? p[j] : largest_score;
  }
  m = largest_score;
  alignas(64) float lane[128] = {};
  for (std::size_t j = 0; j < stretch_tokens; j += V::width) {
    V e = sub(load(p + j), set1(m));
    if (a.fp16_scores) {
      alignas(64) std::uint16_t half[V::width];
      store_fp16(half, e);
      e = load_fp16(half);
    }
    e = exp(e);
    store(p + j, e);
    store(lane + j % 128, add(load(lane + j % 128), e));
  }
  l = fold(lane);
}

/// o[d] += p[j] * v[j][d] over the visible tokens of one widened page, for D vectors of channels.
template <std::size_t D>
inline void value_chunk(const float* p, const float* values, std::size_t stride, const Visible& see, std::uint32_t base,
                        float* o) {
  V sum[D];
  for (std::size_t d = 0; d < D; ++d) sum[d] = load(o + d * V::width);
  for (std::uint32_t t = 0; t < page_tokens; ++t) {
    const std::uint32_t j = base + t;
    if (!(j < see.global_end || (j >= see.first && j < see.last))) continue;
    const V x = set1(p[j]);
    for (std::size_t d = 0; d < D; ++d) sum[d] = fma(x, load(values + t * stride + d * V::width), sum[d]);
  }
  for (std::size_t d = 0; d < D; ++d) store(o + d * V::width, sum[d]);
}

/// Takes a later stretch (m, l, o) into a query's state.
inline void take(float* state, float m, float l, const float* o, std::size_t head_dim) {
  if (state[1] == 0.0f && state[0] == -__builtin_inff()) {  // the first one, as it is
    state[0] = m;
    state[1] = l;
    for (std::size_t d = 0; d < head_dim; ++d) state[2 + d] = o[d];
    return;
  }
  const float larger = m > state[0] ? m : state[0];
  const float wa = core::exp_f32(state[0] - larger);
  const float wb = core::exp_f32(m - larger);
  state[1] = __builtin_fmaf(state[1], wa, l * wb);
  for (std::size_t d = 0; d < head_dim; ++d) state[2 + d] = __builtin_fmaf(state[2 + d], wa, o[d] * wb);
  state[0] = larger;
}

void merge(float* state, const float* later, std::size_t head_dim) {
  if (later[1] == 0.0f && later[0] == -__builtin_inff()) return;  // no position of that stretch is visible
  take(state, later[0], later[1], later + 2, head_dim);
}

void attend(const AttendArgs& a, float* scratch) {
  const std::size_t padded = (a.head_dim + 15) / 16 * 16;
  float* page = scratch;
  float* out = page + 16 * padded;
  float* scores = out + query_block * padded;
  Visible see[query_block];
  std::uint32_t first = stretch_tokens, last = 0, global_end = 0;
  for (std::size_t q = 0; q < a.queries; ++q) {
    see[q] = visible(a, a.position[q]);
    if (see[q].first < first && see[q].first < see[q].last) first = see[q].first;
    if (see[q].last > last) last = see[q].last;
    if (see[q].global_end > global_end) global_end = see[q].global_end;
    for (std::size_t d = 0; d < padded; ++d) out[q * padded + d] = 0.0f;
  }
  const auto needed = [&](std::uint32_t base) {
    return base < last && (base < global_end || base + page_tokens > first);
  };
  for (std::uint32_t base = 0; base < stretch_tokens; base += page_tokens) {
    if (!needed(base)) continue;
    widen(a.keys[base / page_tokens], a.fp16_kv, a.head_dim, page_tokens, page_tokens, page);
    std::size_t q = 0;
    for (; q + 4 <= a.queries; q += 4) score_page<4>(a, q, page, scores + q * stretch_tokens + base);
    for (; q < a.queries; ++q) score_page<1>(a, q, page, scores + q * stretch_tokens + base);
  }
  float m[query_block], l[query_block];
  for (std::size_t q = 0; q < a.queries; ++q) soften(a, see[q], scores + q * stretch_tokens, m[q], l[q]);
  for (std::size_t i = 0; i < 16 * padded; ++i) page[i] = 0.0f;
  for (std::uint32_t base = 0; base < stretch_tokens; base += page_tokens) {
    if (!needed(base)) continue;
    widen(a.values[base / page_tokens], a.fp16_kv, page_tokens, a.head_dim, padded, page);
    for (std::size_t q = 0; q < a.queries; ++q) {
      std::size_t d = 0;
      constexpr std::size_t step = 4 * V::width;
      const float* p = scores + q * stretch_tokens;
      for (; d + step <= padded; d += step) value_chunk<4>(p, page + d, padded, see[q], base, out + q * padded + d);
      for (; d < padded; d += V::width) value_chunk<1>(p, page + d, padded, see[q], base, out + q * padded + d);
    }
  }
  for (std::size_t q = 0; q < a.queries; ++q) {
    if (see[q].global_end != 0 || see[q].first < see[q].last) {
      take(a.state[q], m[q], l[q], out + q * padded, a.head_dim);
    }
  }
}

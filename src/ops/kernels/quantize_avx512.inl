// ops/kernels/quantize_avx512.inl: sixteen groups of a panel at once

constexpr std::size_t groups_at_once = 16;

struct Larger {
  static __m512i of(__m512i a, __m512i b) { return _mm512_max_epi32(a, b); }
};
struct Added {
  static __m512i of(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
};

/// Each 128 bits of the result have Join of all lanes there of vector 0, 1, 2, 3.
template <class Join>
inline __m512i joined_blocks(const __m512i* v) {
  const __m512i a = Join::of(_mm512_unpacklo_epi64(v[0], v[1]), _mm512_unpackhi_epi64(v[0], v[1]));
  const __m512i b = Join::of(_mm512_unpacklo_epi64(v[2], v[3]), _mm512_unpackhi_epi64(v[2], v[3]));
  const __m512 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
  return Join::of(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                  _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
}

/// The largest magnitudes by their bits: lanes of x[0, 16) and x[16, 32) joined.
inline __m512i largest_lanes(const float* x) {
  const __m512i size = _mm512_set1_epi32(0x7fffffff);
  return Larger::of(_mm512_and_si512(_mm512_loadu_si512(x), size), _mm512_and_si512(_mm512_loadu_si512(x + 16), size));
}
/// Of two groups, 256 bits each.
inline __m512i largest_lanes(const float* x, const float* y) {
  const __m512i a = largest_lanes(x), b = largest_lanes(y);
  return Larger::of(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xee));
}
/// Lane i = that of group i.
inline __m512i largest_of_16(const float* const* from) {
  __m512i fours[4];
  for (std::size_t i = 0; i < 4; ++i) {  // groups i, i + 4, i + 8, i + 12
    const __m512i a = largest_lanes(from[i], from[i + 4]), b = largest_lanes(from[i + 8], from[i + 12]);
    fours[i] = Larger::of(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  }
  return joined_blocks<Larger>(fours);
}

/// q of two groups; @return lanes of 16 columns: 4 to a sum
inline __m512i round_two(const float* const* from, const float* inverse, std::int8_t* q) {
  __m512i n[4];
  for (std::size_t i = 0; i < 4; ++i) {
    const __m512 t = _mm512_mul_ps(_mm512_loadu_ps(from[i / 2] + 16 * (i % 2)), _mm512_set1_ps(inverse[i / 2]));
    n[i] = _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(t, t, _CMP_ORD_Q), t);
  }
  const __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(n[0], n[1]), _mm512_packs_epi32(n[2], n[3]));
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const __m512i columns = _mm512_permutexvar_epi32(order, bytes);
  _mm512_storeu_si512(q, columns);
  return _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), columns);
}

/// Groups [at, at + 16) of a panel, of numbers from[i][0, 32).
inline void quantize_many(const float* const* from, const Panel& p, std::size_t at) {
  const __m512 amax = _mm512_castsi512_ps(largest_of_16(from));
  const __mmask16 some = _mm512_cmp_ps_mask(amax, _mm512_set1_ps(0x1p-100f), _CMP_NLT_UQ);
  _mm512_storeu_ps(p.d + at, _mm512_maskz_div_ps(some, amax, _mm512_set1_ps(127.0f)));
  alignas(64) float inverse[16];
  _mm512_store_ps(inverse, _mm512_maskz_div_ps(some, _mm512_set1_ps(127.0f), amax));
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  __m512i halves[2];  // lane 2i + h: of group i's half h
  for (std::size_t e = 0; e < 2; ++e) {
    __m512i sums[4];
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t g = 8 * e + 2 * i;
      sums[i] = round_two(from + g, inverse + g, p.q + 32 * (at + g));
    }
    halves[e] = _mm512_permutexvar_epi32(order, joined_blocks<Added>(sums));
    const __m512i minus = _mm512_sub_epi32(_mm512_setzero_si512(), halves[e]);
    _mm512_storeu_si512(p.halves + 2 * (at + 8 * e), _mm512_slli_epi32(minus, 5));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.minus_sums + 2 * (at + 8 * e)), _mm512_cvtepi32_epi16(minus));
  }
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  const __m512i sum = _mm512_add_epi32(_mm512_permutex2var_epi32(halves[0], even, halves[1]),
                                       _mm512_permutex2var_epi32(halves[0], odd, halves[1]));
  _mm512_storeu_si512(p.zero + at, _mm512_slli_epi32(_mm512_sub_epi32(_mm512_setzero_si512(), sum), 3));
  _mm512_storeu_ps(p.sum + at, _mm512_cvtepi32_ps(sum));
}

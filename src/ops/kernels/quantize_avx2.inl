// ops/kernels/quantize_avx2.inl: eight groups of a panel at once

constexpr std::size_t groups_at_once = 8;

struct Larger {
  static __m256i of(__m256i a, __m256i b) { return _mm256_max_epi32(a, b); }
};
struct Added {
  static __m256i of(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
};

/// Each 128 bits of the result have Join of all lanes there of vector 0, 1, 2, 3.
template <class Join>
inline __m256i joined_blocks(const __m256i* v) {
  const __m256i a = Join::of(_mm256_unpacklo_epi64(v[0], v[1]), _mm256_unpackhi_epi64(v[0], v[1]));
  const __m256i b = Join::of(_mm256_unpacklo_epi64(v[2], v[3]), _mm256_unpackhi_epi64(v[2], v[3]));
  const __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
  return Join::of(_mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88)),
                  _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd)));
}

/// The largest magnitudes by their bits: lanes of x[0, 8), ..., x[24, 32) joined.
inline __m256i largest_lanes(const float* x) {
  __m256i v[4];
  for (std::size_t i = 0; i < 4; ++i) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 8 * i));
    v[i] = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  }
  return Larger::of(Larger::of(v[0], v[1]), Larger::of(v[2], v[3]));
}
/// Lane i = that of group i.
inline __m256i largest_of_8(const float* const* from) {
  __m256i fours[4];
  for (std::size_t i = 0; i < 4; ++i) {  // groups i, i + 4
    const __m256i a = largest_lanes(from[i]), b = largest_lanes(from[i + 4]);
    fours[i] = Larger::of(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
  }
  return joined_blocks<Larger>(fours);
}

/// q of one group; @return lanes of 16 columns: 4 to a sum
inline __m256i round_one(const float* from, float inverse, std::int8_t* q) {
  __m256i n[4];
  for (std::size_t i = 0; i < 4; ++i) n[i] = round8(from + 8 * i, _mm256_set1_ps(inverse));
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
  const __m256i columns = _mm256_permutevar8x32_epi32(bytes, _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), columns);
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), columns), _mm256_set1_epi16(1));
}

/// -2^shift times the sums.
template <int shift>
inline void store_zero(std::int32_t* p, __m256i sums) {
  const __m256i zero = _mm256_slli_epi32(_mm256_sub_epi32(_mm256_setzero_si256(), sums), shift);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), zero);
}

/// Groups [at, at + 8) of a panel, of numbers from[i][0, 32).
inline void quantize_many(const float* const* from, const Panel& p, std::size_t at) {
  const __m256 amax = _mm256_castsi256_ps(largest_of_8(from));
  const __m256 some = _mm256_cmp_ps(amax, _mm256_set1_ps(0x1p-100f), _CMP_NLT_UQ);
  _mm256_storeu_ps(p.d + at, _mm256_and_ps(some, _mm256_div_ps(amax, _mm256_set1_ps(127.0f))));
  alignas(32) float inverse[8];
  _mm256_store_ps(inverse, _mm256_and_ps(some, _mm256_div_ps(_mm256_set1_ps(127.0f), amax)));
  __m256i halves[2];  // lanes i and 4 + i: of the halves of group 4e + i
  for (std::size_t e = 0; e < 2; ++e) {
    __m256i sums[4];
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t g = 4 * e + i;
      sums[i] = round_one(from[g], inverse[g], p.q + 32 * (at + g));
    }
    halves[e] = joined_blocks<Added>(sums);
    const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
    const __m256i in_order = _mm256_permutevar8x32_epi32(halves[e], order);
    store_zero<5>(p.halves + 2 * (at + 4 * e), in_order);
    const __m256i minus = _mm256_sub_epi32(_mm256_setzero_si256(), in_order);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(minus), _mm256_extracti128_si256(minus, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p.minus_sums + 2 * (at + 4 * e)), words);
  }
  const __m256i sum = _mm256_add_epi32(_mm256_permute2x128_si256(halves[0], halves[1], 0x20),
                                       _mm256_permute2x128_si256(halves[0], halves[1], 0x31));
  store_zero<3>(p.zero + at, sum);
  _mm256_storeu_ps(p.sum + at, _mm256_cvtepi32_ps(sum));
}

// ops/kernels/bytes_avx2.inl: codes of weights, four columns by eight rows

struct B {
  __m256i v;
};

constexpr bool signed_bytes = true;
constexpr std::size_t rows_at_once = 4;

inline B load_b(const std::byte* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
inline B and_b(B a, std::uint8_t mask) { return {_mm256_and_si256(a.v, _mm256_set1_epi8(static_cast<char>(mask)))}; }
inline B or_masked(B a, B b, std::uint8_t mask) {
  return {_mm256_or_si256(a.v, _mm256_and_si256(b.v, _mm256_set1_epi8(static_cast<char>(mask))))};
}
template <int N>
inline B shift_left(B a) {
  return {_mm256_slli_epi16(a.v, N)};
}
template <int N>
inline B shift_right(B a) {
  return {_mm256_srli_epi16(a.v, N)};
}
inline B flip_b(B a) { return {_mm256_xor_si256(a.v, _mm256_set1_epi8(static_cast<char>(0x80)))}; }
inline B lookup_b(const std::uint8_t* table, B index) {
  const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), index.v)};
}

inline I set1_i(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
template <int N>
inline I shift_left_i(I a) {
  return {_mm256_slli_epi32(a.v, N)};
}
template <int N>
inline I shift_right_i(I a) {
  return {_mm256_srli_epi32(a.v, N)};
}
inline I and_i(I a, std::int32_t b) { return {_mm256_and_si256(a.v, _mm256_set1_epi32(b))}; }
inline I or_i(I a, I b) { return {_mm256_or_si256(a.v, b.v)}; }
inline I widen_u8(const std::byte* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline I widen_s8(const std::byte* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline I high_bits(const std::byte* p, std::size_t part) {
  return and_i({_mm256_srl_epi32(widen_u8(p).v, _mm_cvtsi32_si128(static_cast<int>(4 * part)))}, 15);
}

/// Sums of two products each in 16 bits: exact for codes of at most 7 bits.
inline __m256i dot2_of_bytes(B w, const std::int8_t* a) {
  std::int32_t four;
  __builtin_memcpy(&four, a, sizeof four);
  return _mm256_maddubs_epi16(w.v, _mm256_set1_epi32(four));
}
inline I add_words(I acc, __m256i words) {
  return {_mm256_add_epi32(acc.v, _mm256_madd_epi16(words, _mm256_set1_epi16(1)))};
}
// 63 * 127 * 4 = 32,004 fits 16 bits: two registers may be added before they are widened.
inline I dot16(I acc, const B* w, const std::int8_t* a) {
  for (std::size_t j = 0; j < 4; j += 2) {
    acc = add_words(acc, _mm256_add_epi16(dot2_of_bytes(w[j], a + 4 * j), dot2_of_bytes(w[j + 1], a + 4 * j + 4)));
  }
  return acc;
}
/// Bits = 8: signed codes; the sign moves to the activations, so that 128 * 127 * 2 fits.
template <std::uint32_t Bits>
inline I dot32(I acc, const B* w, const std::int8_t* a) {
  if constexpr (Bits == 8) {
    for (std::size_t j = 0; j < 8; ++j) {
      std::int32_t four;
      __builtin_memcpy(&four, a + 4 * j, sizeof four);
      acc = add_words(acc,
                      _mm256_maddubs_epi16(_mm256_abs_epi8(w[j].v), _mm256_sign_epi8(_mm256_set1_epi32(four), w[j].v)));
    }
  } else {
    static_assert(Bits <= 5);  // 31 * 127 * 8 = 31,496 fits 16 bits
    for (std::size_t j = 0; j < 8; j += 4) {
      __m256i words = dot2_of_bytes(w[j], a + 4 * j);
      for (std::size_t i = 1; i < 4; ++i) words = _mm256_add_epi16(words, dot2_of_bytes(w[j + i], a + 4 * (j + i)));
      acc = add_words(acc, words);
    }
  }
  return acc;
}

inline float largest32(const float* x) {
  const __m256i size = _mm256_set1_epi32(0x7fffffff);
  __m256i m = _mm256_setzero_si256();
  for (std::size_t i = 0; i < 32; i += 8) {
    m = _mm256_max_epi32(m, _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)), size));
  }
  __m128i n = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
  n = _mm_max_epi32(n, _mm_shuffle_epi32(n, 0x4e));
  n = _mm_max_epi32(n, _mm_shuffle_epi32(n, 0xb1));
  return core::bits_float(static_cast<std::uint32_t>(_mm_cvtsi128_si32(n)));
}
inline __m256i round8(const float* x, __m256 scale) {
  const __m256 t = _mm256_mul_ps(_mm256_loadu_ps(x), scale);
  return _mm256_and_si256(_mm256_cvtps_epi32(t), _mm256_castps_si256(_mm256_cmp_ps(t, t, _CMP_ORD_Q)));
}
inline std::int32_t round16(const float* x, float scale, std::int8_t* q) {
  const __m256i a = round8(x, _mm256_set1_ps(scale));
  const __m256i b = round8(x + 8, _mm256_set1_ps(scale));
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), bytes);
  const __m256i both = _mm256_add_epi32(a, b);
  __m128i n = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  n = _mm_add_epi32(n, _mm_shuffle_epi32(n, 0x4e));
  n = _mm_add_epi32(n, _mm_shuffle_epi32(n, 0xb1));
  return _mm_cvtsi128_si32(n);
}

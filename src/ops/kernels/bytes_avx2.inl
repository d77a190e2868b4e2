// ops/kernels/bytes_avx2.inl: codes of weights, four columns by eight rows

struct B {
  __m256i v;
};

/// A constant from memory (constants.hpp).
template <std::size_t Bytes, int Value>
inline __m256i constant() {
  const Bytes32* from = &words_1;
  if constexpr (Bytes == 1)
    from = Value == 0x0f ? &bytes_0f : Value == 0x10 ? &bytes_10 : Value == 0x30 ? &bytes_30 : &bytes_80;
  if constexpr (Bytes == 4) from = Value == 3 ? &longs_3 : Value == 12 ? &longs_12 : &longs_15;
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(from->v));
}

inline B load_b(const std::byte* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
template <std::uint8_t Mask>
inline B and_b(B a) {
  return {_mm256_and_si256(a.v, constant<1, Mask>())};
}
template <std::uint8_t Mask>
inline B or_masked(B a, B b) {
  return {_mm256_or_si256(a.v, _mm256_and_si256(b.v, constant<1, Mask>()))};
}
template <int N>
inline B shift_left(B a) {
  return {_mm256_slli_epi16(a.v, N)};
}
template <int N>
inline B shift_right(B a) {
  return {_mm256_srli_epi16(a.v, N)};
}
inline B flip_b(B a) { return {_mm256_xor_si256(a.v, constant<1, 0x80>())}; }
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
template <std::int32_t Mask>
inline I and_i(I a) {
  return {_mm256_and_si256(a.v, constant<4, Mask>())};
}
inline I or_i(I a, I b) { return {_mm256_or_si256(a.v, b.v)}; }
inline I widen_u8(const std::byte* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline I widen_s8(const std::byte* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
template <std::size_t Part>
inline I high_bits(const std::byte* p) {
  return Part == 0 ? and_i<15>(widen_u8(p)) : shift_right_i<4>(widen_u8(p));
}

inline __m256i four_of(const std::int8_t* a) {
  std::int32_t four;
  __builtin_memcpy(&four, a, sizeof four);
  return _mm256_set1_epi32(four);
}
/// Here a sum is complete: GCC would put off the additions until the products of all rows are made, which no registers
/// hold.
inline __m256i settle(__m256i x) {
  __asm__("" : "+x"(x));
  return x;
}
inline V settle(V x) {
  __asm__("" : "+x"(x.v));
  return x;
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

// ops/kernels/simd_avx2.inl: eight lanes with AVX2, FMA and F16C

struct V {
  static constexpr std::size_t width = 8;
  __m256 v;
};
struct I {
  __m256i v;
};
constexpr std::size_t registers = 16;  ///< for V

inline V load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, V a) { _mm256_storeu_ps(p, a.v); }
inline V set1(float x) { return {_mm256_set1_ps(x)}; }
inline V fma(V a, V b, V c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline V add(V a, V b) { return {_mm256_add_ps(a.v, b.v)}; }
inline V sub(V a, V b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline V mul(V a, V b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline V div(V a, V b) { return {_mm256_div_ps(a.v, b.v)}; }
inline V abs(V a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline V max(V a, V b) { return {_mm256_max_ps(a.v, b.v)}; }
inline V where_less(V x, V y, V a, V b) { return {_mm256_blendv_ps(b.v, a.v, _mm256_cmp_ps(x.v, y.v, _CMP_LT_OQ))}; }
inline V pow2_of_magic(V t) {
  const __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(t.v), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(127 << 23)))};
}
inline V load_fp16(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline void store_fp16(std::uint16_t* p, V a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline V round_fp16(V a) { return {_mm256_cvtph_ps(_mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT))}; }
inline float halving_sum(V a) {
  const __m128 y = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 z = _mm_add_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_add_ss(z, _mm_movehdup_ps(z)));
}
inline float largest_lane(V a) {
  const __m128 y = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 z = _mm_max_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_max_ss(z, _mm_movehdup_ps(z)));
}

inline I zero_i() { return {_mm256_setzero_si256()}; }
inline I load_i(const std::int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
inline I dot2(I acc, const std::int16_t* w, const std::int16_t* a) {
  std::int32_t pair;
  __builtin_memcpy(&pair, a, sizeof pair);
  const __m256i product =
      _mm256_madd_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)), _mm256_set1_epi32(pair));
  return {_mm256_add_epi32(acc.v, product)};
}
inline I mul_add_i(I acc, I a, std::int32_t b) {
  return {_mm256_add_epi32(acc.v, _mm256_mullo_epi32(a.v, _mm256_set1_epi32(b)))};
}
inline V to_float(I a) { return {_mm256_cvtepi32_ps(a.v)}; }
inline __m128 four_floats(__m128i high, __m128i low) {
  return _mm256_cvtpd_ps(_mm256_fmadd_pd(_mm256_cvtepi32_pd(high), _mm256_set1_pd(512.0), _mm256_cvtepi32_pd(low)));
}
inline V to_float(I high, I low) {
  const __m128 a = four_floats(_mm256_castsi256_si128(high.v), _mm256_castsi256_si128(low.v));
  const __m128 b = four_floats(_mm256_extracti128_si256(high.v, 1), _mm256_extracti128_si256(low.v, 1));
  return {_mm256_insertf128_ps(_mm256_castps128_ps256(a), b, 1)};
}

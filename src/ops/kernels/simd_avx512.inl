// ops/kernels/simd_avx512.inl: sixteen lanes with AVX-512 F and BW, dot products with VNNI

struct V {
  static constexpr std::size_t width = 16;
  __m512 v;
};
struct I {
  __m512i v;
};
constexpr std::size_t registers = 32;  ///< for V

inline V load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, V a) { _mm512_storeu_ps(p, a.v); }
inline V set1(float x) { return {_mm512_set1_ps(x)}; }
inline V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline V add(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
inline V sub(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline V mul(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline V div(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
inline V abs(V a) {
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x7fffffff)))};
}
inline V max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
inline V where_less(V x, V y, V a, V b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_LT_OQ), b.v, a.v)};
}
inline V pow2_of_magic(V t) {
  const __m512i bits = _mm512_slli_epi32(_mm512_castps_si512(t.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(127 << 23)))};
}
inline V load_fp16(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void store_fp16(std::uint16_t* p, V a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline V round_fp16(V a) { return {_mm512_cvtph_ps(_mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT))}; }
inline __m256 upper_half(V a) { return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1)); }
inline float halving_sum(V a) {
  const __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a.v), upper_half(a));
  const __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 z = _mm_add_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_add_ss(z, _mm_movehdup_ps(z)));
}
inline float largest_lane(V a) {
  const __m256 x = _mm256_max_ps(_mm512_castps512_ps256(a.v), upper_half(a));
  const __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 z = _mm_max_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_max_ss(z, _mm_movehdup_ps(z)));
}

inline I zero_i() { return {_mm512_setzero_si512()}; }
inline I load_i(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline I dot2(I acc, const std::int16_t* w, const std::int16_t* a) {
  std::int32_t pair;
  __builtin_memcpy(&pair, a, sizeof pair);
  return {_mm512_dpwssd_epi32(acc.v, _mm512_loadu_si512(w), _mm512_set1_epi32(pair))};
}
inline I mul_add_i(I acc, I a, std::int32_t b) {
  return {_mm512_add_epi32(acc.v, _mm512_mullo_epi32(a.v, _mm512_set1_epi32(b)))};
}
inline V to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline __m256 eight_floats(__m256i high, __m256i low) {
  return _mm512_cvtpd_ps(_mm512_fmadd_pd(_mm512_cvtepi32_pd(high), _mm512_set1_pd(512.0), _mm512_cvtepi32_pd(low)));
}
inline V to_float(I high, I low) {
  const __m256 a = eight_floats(_mm512_castsi512_si256(high.v), _mm512_castsi512_si256(low.v));
  const __m256 b = eight_floats(_mm512_extracti64x4_epi64(high.v, 1), _mm512_extracti64x4_epi64(low.v, 1));
  const __m512d both = _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_castps_pd(a)), _mm256_castps_pd(b), 1);
  return {_mm512_castpd_ps(both)};
}

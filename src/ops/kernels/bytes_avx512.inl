// ops/kernels/bytes_avx512.inl: codes of weights, four columns by sixteen rows, with VNNI

struct B {
  __m512i v;
};

/// Are codes of 8 bits taken as signed?
constexpr bool signed_bytes = false;
/// Rows of activations whose sums fit the registers.
constexpr std::size_t rows_at_once = 16;

inline B load_b(const std::byte* p) { return {_mm512_loadu_si512(p)}; }
template <std::uint8_t Mask>
inline B and_b(B a) {
  return {_mm512_and_si512(a.v, _mm512_set1_epi8(static_cast<char>(Mask)))};
}
/// a | (b & Mask)
template <std::uint8_t Mask>
inline B or_masked(B a, B b) {
  return {_mm512_ternarylogic_epi64(a.v, b.v, _mm512_set1_epi8(static_cast<char>(Mask)), 0xf8)};
}
/// Shifts of whole words: the caller masks what crosses bytes.
template <int N>
inline B shift_left(B a) {
  return {_mm512_slli_epi16(a.v, N)};
}
template <int N>
inline B shift_right(B a) {
  return {_mm512_srli_epi16(a.v, N)};
}
inline B flip_b(B a) { return {_mm512_xor_si512(a.v, _mm512_set1_epi8(static_cast<char>(0x80)))}; }
inline B lookup_b(const std::uint8_t* table, B index) {
  const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), index.v)};
}

inline I set1_i(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
template <int N>
inline I shift_left_i(I a) {
  return {_mm512_slli_epi32(a.v, N)};
}
template <int N>
inline I shift_right_i(I a) {
  return {_mm512_srli_epi32(a.v, N)};
}
template <std::int32_t Mask>
inline I and_i(I a) {
  return {_mm512_and_si512(a.v, _mm512_set1_epi32(Mask))};
}
inline I or_i(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
inline I widen_u8(const std::byte* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline I widen_s8(const std::byte* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
/// The four bits of each row: rows 0 to 7 in the low halves of 8 bytes, rows 8 to 15 in the high ones.
template <std::size_t Part>
inline I high_bits(const std::byte* p) {
  const __m128i twice = _mm_set1_epi64x(*reinterpret_cast<const long long __attribute__((aligned(1), may_alias))*>(p));
  const __m512i shift = _mm512_set_epi32(4, 4, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0);
  return {_mm512_and_si512(_mm512_srlv_epi32(_mm512_cvtepu8_epi32(twice), shift), _mm512_set1_epi32(15))};
}

inline I dot4(I acc, B w, const std::int8_t* a) {
#if defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // GCC 12 would broadcast by an instruction and a register of its own. Sanitizers do not see what assembly reads.
  using Four = std::int32_t __attribute__((aligned(1), may_alias));
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc.v) : "v"(w.v), "m"(*reinterpret_cast<const Four*>(a)));
  return acc;
#else
  std::int32_t four;
  __builtin_memcpy(&four, a, sizeof four);
  return {_mm512_dpbusd_epi32(acc.v, w.v, _mm512_set1_epi32(four))};
#endif
}

/// The largest magnitude of 32 numbers by its bits, so that a NaN is above all.
inline float largest32(const float* x) {
  const __m512i size = _mm512_set1_epi32(0x7fffffff);
  const __m512i a = _mm512_and_si512(_mm512_loadu_si512(x), size);
  const __m512i b = _mm512_and_si512(_mm512_loadu_si512(x + 16), size);
  return core::bits_float(static_cast<std::uint32_t>(_mm512_reduce_max_epi32(_mm512_max_epi32(a, b))));
}
/// q = x * scale rounded to nearest even, [16], a NaN to 0; |x * scale| <= 127.4.
/// @return the sum of q
inline std::int32_t round16(const float* x, float scale, std::int8_t* q) {
  const __m512 t = _mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(scale));
  const __m512i n = _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(t, t, _CMP_ORD_Q), t);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(n));
  return _mm512_reduce_add_epi32(n);
}

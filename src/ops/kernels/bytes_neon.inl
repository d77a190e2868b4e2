// ops/kernels/bytes_neon.inl: codes of weights, four columns by eight rows in two registers of AArch64

struct B {
  uint8x16_t a, b;
};

constexpr bool signed_bytes = true;

inline B load_b(const std::byte* p) {
  const auto* u = reinterpret_cast<const std::uint8_t*>(p);
  return {vld1q_u8(u), vld1q_u8(u + 16)};
}
template <std::uint8_t Mask>
inline B and_b(B x) {
  return {vandq_u8(x.a, vdupq_n_u8(Mask)), vandq_u8(x.b, vdupq_n_u8(Mask))};
}
template <std::uint8_t Mask>
inline B or_masked(B x, B y) {
  const B m = and_b<Mask>(y);
  return {vorrq_u8(x.a, m.a), vorrq_u8(x.b, m.b)};
}
template <int N>
inline B shift_left(B x) {
  return {vshlq_n_u8(x.a, N), vshlq_n_u8(x.b, N)};
}
template <int N>
inline B shift_right(B x) {
  return {vshrq_n_u8(x.a, N), vshrq_n_u8(x.b, N)};
}
inline B flip_b(B x) { return {veorq_u8(x.a, vdupq_n_u8(0x80)), veorq_u8(x.b, vdupq_n_u8(0x80))}; }
inline B lookup_b(const std::uint8_t* table, B index) {
  const uint8x16_t t = vld1q_u8(table);
  return {vqtbl1q_u8(t, index.a), vqtbl1q_u8(t, index.b)};
}

inline I set1_i(std::int32_t x) { return {vdupq_n_s32(x), vdupq_n_s32(x)}; }
template <int N>
inline I shift_left_i(I x) {
  return {vshlq_n_s32(x.a, N), vshlq_n_s32(x.b, N)};
}
template <int N>
inline I shift_right_i(I x) {
  return {vshrq_n_s32(x.a, N), vshrq_n_s32(x.b, N)};
}
template <std::int32_t Mask>
inline I and_i(I x) {
  return {vandq_s32(x.a, vdupq_n_s32(Mask)), vandq_s32(x.b, vdupq_n_s32(Mask))};
}
inline I or_i(I x, I y) { return {vorrq_s32(x.a, y.a), vorrq_s32(x.b, y.b)}; }
inline I widen_u8(const std::byte* p) {
  const uint16x8_t w = vmovl_u8(vld1_u8(reinterpret_cast<const std::uint8_t*>(p)));
  return {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(w))), vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(w)))};
}
inline I widen_s8(const std::byte* p) {
  const int16x8_t w = vmovl_s8(vld1_s8(reinterpret_cast<const std::int8_t*>(p)));
  return {vmovl_s16(vget_low_s16(w)), vmovl_s16(vget_high_s16(w))};
}
template <std::size_t Part>
inline I high_bits(const std::byte* p) {
  const I x = widen_u8(p);
  return and_i<15>(Part == 0 ? x : shift_right_i<4>(x));
}

constexpr std::size_t groups_at_once = 1;  // in quantizing
inline float largest32(const float* x) {
  uint32x4_t m = vdupq_n_u32(0);
  for (std::size_t i = 0; i < 32; i += 4) m = vmaxq_u32(m, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + i))));
  return core::bits_float(vmaxvq_u32(m));
}
inline std::int32_t round16(const float* x, float scale, std::int8_t* q) {
  int32x4_t n[4];
  for (std::size_t i = 0; i < 4; ++i) n[i] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), scale));
  const int16x8_t a = vcombine_s16(vmovn_s32(n[0]), vmovn_s32(n[1]));
  const int16x8_t b = vcombine_s16(vmovn_s32(n[2]), vmovn_s32(n[3]));
  vst1q_s8(q, vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
  return vaddlvq_s16(vaddq_s16(a, b));
}

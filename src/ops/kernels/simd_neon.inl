// ops/kernels/simd_neon.inl: eight lanes in two registers of AArch64

struct V {
  static constexpr std::size_t width = 8;
  float32x4_t a, b;
};
struct I {
  int32x4_t a, b;
};
constexpr std::size_t registers = 16;  ///< for V

inline V load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
inline void store(float* p, V x) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
}
inline V set1(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
inline V fma(V x, V y, V z) { return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b)}; }
inline V add(V x, V y) { return {vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b)}; }
inline V sub(V x, V y) { return {vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b)}; }
inline V mul(V x, V y) { return {vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b)}; }
inline V div(V x, V y) { return {vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b)}; }
inline V abs(V x) { return {vabsq_f32(x.a), vabsq_f32(x.b)}; }
inline V max(V x, V y) { return {vbslq_f32(vcgtq_f32(x.a, y.a), x.a, y.a), vbslq_f32(vcgtq_f32(x.b, y.b), x.b, y.b)}; }
inline V where_less(V x, V y, V p, V q) {
  return {vbslq_f32(vcltq_f32(x.a, y.a), p.a, q.a), vbslq_f32(vcltq_f32(x.b, y.b), p.b, q.b)};
}
inline V pow2_of_magic(V t) {
  const int32x4_t one = vdupq_n_s32(127 << 23);
  return {vreinterpretq_f32_s32(vaddq_s32(vshlq_n_s32(vreinterpretq_s32_f32(t.a), 23), one)),
          vreinterpretq_f32_s32(vaddq_s32(vshlq_n_s32(vreinterpretq_s32_f32(t.b), 23), one))};
}
inline V load_fp16(const std::uint16_t* p) {
  const float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(p));
  return {vcvt_f32_f16(vget_low_f16(h)), vcvt_f32_f16(vget_high_f16(h))};
}
inline void store_fp16(std::uint16_t* p, V x) {
  vst1q_u16(p, vreinterpretq_u16_f16(vcombine_f16(vcvt_f16_f32(x.a), vcvt_f16_f32(x.b))));
}
inline V round_fp16(V x) { return {vcvt_f32_f16(vcvt_f16_f32(x.a)), vcvt_f32_f16(vcvt_f16_f32(x.b))}; }
inline float halving_sum(V x) {
  const float32x4_t y = vaddq_f32(x.a, x.b);
  const float32x2_t z = vadd_f32(vget_low_f32(y), vget_high_f32(y));
  return vget_lane_f32(z, 0) + vget_lane_f32(z, 1);
}
inline float largest_lane(V x) {
  const float32x4_t y = vmaxq_f32(x.a, x.b);
  const float32x2_t z = vmax_f32(vget_low_f32(y), vget_high_f32(y));
  const float a = vget_lane_f32(z, 0), b = vget_lane_f32(z, 1);
  return a > b ? a : b;
}

inline I zero_i() { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
inline I load_i(const std::int32_t* p) { return {vld1q_s32(p), vld1q_s32(p + 4)}; }
inline I dot2(I acc, const std::int16_t* w, const std::int16_t* a) {
  const int16x8x2_t pairs = vld2q_s16(w);  // even and odd inputs of eight outputs
  acc.a = vmlal_n_s16(acc.a, vget_low_s16(pairs.val[0]), a[0]);
  acc.b = vmlal_n_s16(acc.b, vget_high_s16(pairs.val[0]), a[0]);
  acc.a = vmlal_n_s16(acc.a, vget_low_s16(pairs.val[1]), a[1]);
  acc.b = vmlal_n_s16(acc.b, vget_high_s16(pairs.val[1]), a[1]);
  return acc;
}
inline I mul_add_i(I acc, I x, std::int32_t y) { return {vmlaq_n_s32(acc.a, x.a, y), vmlaq_n_s32(acc.b, x.b, y)}; }
inline V to_float(I x) { return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b)}; }
inline float32x2_t two_floats(int32x2_t high, int32x2_t low) {
  return vcvt_f32_f64(vcvtq_f64_s64(vaddq_s64(vshll_n_s32(high, 9), vmovl_s32(low))));
}
inline float32x4_t four_floats(int32x4_t high, int32x4_t low) {
  return vcombine_f32(two_floats(vget_low_s32(high), vget_low_s32(low)),
                      two_floats(vget_high_s32(high), vget_high_s32(low)));
}
inline V to_float(I high, I low) { return {four_floats(high.a, low.a), four_floats(high.b, low.b)}; }

// ops/kernels/simd_scalar.inl: eight lanes in plain C++, for any machine

struct V {
  static constexpr std::size_t width = 8;
  float v[width];
};
struct I {
  std::int32_t v[V::width];
};

template <class F>
inline V lanes(F f) {
  V r;
  for (std::size_t i = 0; i < V::width; ++i) r.v[i] = f(i);
  return r;
}
constexpr std::size_t registers = 0;  ///< for V

inline V load(const float* p) {
  return lanes([&](std::size_t i) { return p[i]; });
}
inline void store(float* p, V a) {
  for (std::size_t i = 0; i < V::width; ++i) p[i] = a.v[i];
}
inline V set1(float x) {
  return lanes([&](std::size_t) { return x; });
}
inline V fma(V a, V b, V c) {
  return lanes([&](std::size_t i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline V add(V a, V b) {
  return lanes([&](std::size_t i) { return a.v[i] + b.v[i]; });
}
inline V sub(V a, V b) {
  return lanes([&](std::size_t i) { return a.v[i] - b.v[i]; });
}
inline V mul(V a, V b) {
  return lanes([&](std::size_t i) { return a.v[i] * b.v[i]; });
}
inline V div(V a, V b) {
  return lanes([&](std::size_t i) { return a.v[i] / b.v[i]; });
}
inline V abs(V a) {
  return lanes([&](std::size_t i) { return __builtin_fabsf(a.v[i]); });
}
inline V max(V a, V b) {
  return lanes([&](std::size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
/// Lanes of `a` where x < y, else of `b`.
inline V where_less(V x, V y, V a, V b) {
  return lanes([&](std::size_t i) { return x.v[i] < y.v[i] ? a.v[i] : b.v[i]; });
}
/// 2^n from t = 1.5 * 2^23 + n.
inline V pow2_of_magic(V t) {
  return lanes(
      [&](std::size_t i) { return std::bit_cast<float>((std::bit_cast<std::uint32_t>(t.v[i]) << 23) + (127u << 23)); });
}
inline V load_fp16(const std::uint16_t* p) {
  return lanes([&](std::size_t i) { return core::fp16_to_float(p[i]); });
}
inline void store_fp16(std::uint16_t* p, V a) {
  for (std::size_t i = 0; i < V::width; ++i) p[i] = core::float_to_fp16(a.v[i]);
}
inline V round_fp16(V a) {
  return lanes([&](std::size_t i) { return core::fp16_to_float(core::float_to_fp16(a.v[i])); });
}
/// lane[i] + lane[i + w], for w = half the width, ..., 1.
inline float halving_sum(V a) {
  for (std::size_t w = V::width / 2; w > 0; w /= 2) {
    for (std::size_t i = 0; i < w; ++i) a.v[i] = a.v[i] + a.v[i + w];
  }
  return a.v[0];
}
inline float largest_lane(V a) {
  float largest = a.v[0];
  for (const float x : a.v) largest = x > largest ? x : largest;
  return largest;
}

inline I zero_i() { return I{}; }
inline I load_i(const std::int32_t* p) {
  I r;
  for (std::size_t i = 0; i < V::width; ++i) r.v[i] = p[i];
  return r;
}
/// acc + w.low * a.low + w.high * a.high, on pairs of 16-bit numbers.
inline I dot2(I acc, const std::int16_t* w, const std::int16_t* a) {
  for (std::size_t i = 0; i < V::width; ++i) acc.v[i] += w[2 * i] * a[0] + w[2 * i + 1] * a[1];
  return acc;
}
/// acc + a * b
inline I mul_add_i(I acc, I a, std::int32_t b) {
  for (std::size_t i = 0; i < V::width; ++i) acc.v[i] += a.v[i] * b;
  return acc;
}
inline V to_float(I a) {
  return lanes([&](std::size_t i) { return static_cast<float>(a.v[i]); });
}
/// 512 * high + low, rounded once
inline V to_float(I high, I low) {
  return lanes([&](std::size_t i) { return static_cast<float>(512.0 * high.v[i] + low.v[i]); });
}

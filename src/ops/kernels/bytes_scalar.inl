// ops/kernels/bytes_scalar.inl: codes of weights, four columns by eight rows, in plain C++

struct B {
  std::uint8_t v[4 * V::width];
};

constexpr bool signed_bytes = false;
constexpr std::size_t rows_at_once = 4;

template <class F>
inline B each_byte(F f) {
  B r;
  for (std::size_t i = 0; i < sizeof(B); ++i) r.v[i] = static_cast<std::uint8_t>(f(i));
  return r;
}
template <class F>
inline I each_lane(F f) {
  I r;
  for (std::size_t i = 0; i < V::width; ++i) r.v[i] = f(i);
  return r;
}

inline B load_b(const std::byte* p) {
  return each_byte([&](std::size_t i) { return p[i]; });
}
template <std::uint8_t Mask>
inline B and_b(B a) {
  return each_byte([&](std::size_t i) { return a.v[i] & Mask; });
}
template <std::uint8_t Mask>
inline B or_masked(B a, B b) {
  return each_byte([&](std::size_t i) { return a.v[i] | (b.v[i] & Mask); });
}
template <int N>
inline B shift_left(B a) {
  return each_byte([&](std::size_t i) { return a.v[i] << N; });
}
template <int N>
inline B shift_right(B a) {
  return each_byte([&](std::size_t i) { return a.v[i] >> N; });
}
inline B flip_b(B a) {
  return each_byte([&](std::size_t i) { return a.v[i] ^ 0x80; });
}
inline B lookup_b(const std::uint8_t* table, B index) {
  return each_byte([&](std::size_t i) { return table[index.v[i]]; });
}

inline I set1_i(std::int32_t x) {
  return each_lane([&](std::size_t) { return x; });
}
template <int N>
inline I shift_left_i(I a) {
  return each_lane([&](std::size_t i) { return a.v[i] * (1 << N); });
}
template <int N>
inline I shift_right_i(I a) {
  return each_lane([&](std::size_t i) { return a.v[i] >> N; });
}
template <std::int32_t Mask>
inline I and_i(I a) {
  return each_lane([&](std::size_t i) { return a.v[i] & Mask; });
}
inline I or_i(I a, I b) {
  return each_lane([&](std::size_t i) { return a.v[i] | b.v[i]; });
}
inline I widen_u8(const std::byte* p) {
  return each_lane([&](std::size_t i) { return static_cast<std::int32_t>(p[i]); });
}
inline I widen_s8(const std::byte* p) {
  return each_lane([&](std::size_t i) { return static_cast<std::int32_t>(static_cast<std::int8_t>(p[i])); });
}
template <std::size_t Part>
inline I high_bits(const std::byte* p) {
  return each_lane([&](std::size_t i) { return (static_cast<std::int32_t>(p[i]) >> (4 * Part)) & 15; });
}

inline I dot4(I acc, const B& w, const std::int8_t* a) {
  return each_lane([&](std::size_t i) {
    const std::uint8_t* p = w.v + 4 * i;
    return acc.v[i] + p[0] * a[0] + p[1] * a[1] + p[2] * a[2] + p[3] * a[3];
  });
}

constexpr std::size_t groups_at_once = 1;  // in quantizing
inline float largest32(const float* x) { return largest(x, 32); }
inline std::int32_t round16(const float* x, float scale, std::int8_t* q) {
  constexpr float magic = 12582912.0f;
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    const float v = (x[i] * scale + magic) - magic;  // the sum rounds to an integer
    q[i] = static_cast<std::int8_t>(v == v ? v : 0.0f);
    sum += q[i];
  }
  return sum;
}

// sample/weights.inl: the one source of the loops over all logits, compiled once per instruction set (see weights.cpp)

constexpr std::size_t block = 16;
/// Several registers' worth, so that none waits for the one before.
constexpr std::size_t wide_block = 64;

Scan scan(const float* x, std::size_t n) noexcept {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  float max[wide_block];
  std::uint32_t bad[wide_block] = {};
  for (float& m : max) m = -infinity;
  const auto look = [&](std::size_t lane, float v) {
    max[lane] = v > max[lane] ? v : max[lane];
    bad[lane] |= v < infinity ? 0u : 1u;
  };
  std::size_t i = 0;
  for (; i + wide_block <= n; i += wide_block) {
    for (std::size_t lane = 0; lane < wide_block; ++lane) look(lane, x[i + lane]);
  }
  for (; i < n; ++i) look(0, x[i]);
  Scan result{-infinity, true};
  for (std::size_t lane = 0; lane < wide_block; ++lane) {
    result.max = std::max(result.max, max[lane]);
    result.finite = result.finite && bad[lane] == 0;
  }
  return result;
}

std::size_t first_of(const float* x, std::size_t n, float max) noexcept {
  std::size_t i = 0;
  for (; i + wide_block <= n; i += wide_block) {
    std::uint32_t here = 0;
    for (std::size_t k = 0; k < wide_block; ++k) here |= x[i + k] == max ? 1u : 0u;
    if (here != 0) break;
  }
  while (i + 1 < n && x[i] != max) ++i;
  return i;
}

/// core::exp_f32 for z in [-30, 0], without its branches, so that the compiler can use vectors.
inline float exp_in_range(float z) noexcept {
  constexpr float magic = 12582912.0f;
  const float shifted = std::fma(z, 1.44269504088896341f, magic);
  const float n = shifted - magic;
  float r = std::fma(n, -0.693359375f, z);
  r = std::fma(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  const float y = std::fma(p, r * r, r) + 1.0f;
  return y * std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) << 23) + (127u << 23));
}

/// @param plain  t is 1: the division, which would change nothing, is left out
template <bool plain>
inline void weights_block(const float* x, float m, float t, std::uint64_t* w) noexcept {
  float e[block];
  for (std::size_t i = 0; i < block; ++i) {
    // A mask, not a choice between numbers: GCC makes a branch of that, and no vectors. exp(-30) * 2^40 is 0 too.
    const float z = plain ? x[i] - m : (x[i] - m) / t;
    const std::uint32_t kept = z > -30.0f ? 0xffffffffu : 0u;
    const float y = exp_in_range(std::bit_cast<float>(std::bit_cast<std::uint32_t>(z) & kept));
    e[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) & kept);
  }
  for (std::size_t i = 0; i < block; ++i) {
    // The product is exact; at 2^52 the sum's last bit is 1, so that it rounds to an integer.
    w[i] = std::bit_cast<std::uint64_t>(static_cast<double>(e[i]) * 0x1p40 + 0x1p52) - 0x4330000000000000u;
  }
}

/// The weights of the last n < block numbers; zeros follow them.
inline void weights_rest(const float* x, std::size_t n, float m, float t, std::uint64_t* w) noexcept {
  float rest[block];
  for (std::size_t k = 0; k < block; ++k) rest[k] = k < n ? x[k] : -std::numeric_limits<float>::infinity();
  weights_block<false>(rest, m, t, w);
}

void weights(const float* x, std::size_t n, float m, float t, std::uint64_t* w) noexcept {
  std::size_t i = 0;
  for (; i + block <= n; i += block) weights_block<false>(x + i, m, t, w + i);
  std::uint64_t rest[block];
  weights_rest(x + i, n - i, m, t, rest);
  std::copy_n(rest, n - i, w + i);
}

template <bool plain>
inline std::uint64_t weight_sum(const float* x, std::size_t n, float m, float t) noexcept {
  std::uint64_t lanes[block], w[block];
  weights_rest(x + n / block * block, n % block, m, t, lanes);
  for (std::size_t i = 0; i + block <= n; i += block) {
    weights_block<plain>(x + i, m, t, w);
    for (std::size_t k = 0; k < block; ++k) lanes[k] += w[k];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum += lane;
  return sum;
}

std::uint64_t weight_sum(const float* x, std::size_t n, float m, float t) noexcept {
  return t == 1.0f ? weight_sum<true>(x, n, m, t) : weight_sum<false>(x, n, m, t);
}

constexpr Loops loops{scan, first_of, weights, weight_sum};

// tests/quant/random.hpp: which pseudo-random data do the tests share with make_fixtures.py?
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace kinglet::test {

class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}
  std::uint64_t operator()() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// In [0, 1), 24 bits.
  float unit() { return static_cast<float>((*this)() >> 40) * 0x1p-24f; }

 private:
  std::uint64_t state_;
};

inline std::vector<std::byte> random_bytes(std::uint64_t seed, std::size_t n) {
  std::vector<std::byte> bytes((n + 7) / 8 * 8);
  SplitMix64 next(seed);
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    const std::uint64_t word = next();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  bytes.resize(n);
  return bytes;
}

/// zlib's CRC-32.
inline std::uint32_t crc32(const void* data, std::size_t n) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int k = 0; k < 8; ++k) t[i] = (t[i] >> 1) ^ ((t[i] & 1u) != 0 ? 0xEDB88320u : 0u);
    }
    return t;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (std::size_t i = 0; i < n; ++i) {
    crc = (crc >> 8) ^ table[(crc ^ static_cast<const unsigned char*>(data)[i]) & 255u];
  }
  return ~crc;
}

/// Of FP32 values, every NaN taken as 0x7fc00000.
inline std::uint32_t crc_of_floats(std::span<const float> values) {
  std::vector<std::uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size_bytes());
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (values[i] != values[i]) bits[i] = 0x7fc00000u;
  }
  return crc32(bits.data(), bits.size() * 4);
}

}  // namespace kinglet::test

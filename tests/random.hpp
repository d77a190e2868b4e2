// tests/random.hpp: which numbers does a random test draw? (the same in every library and on every machine)
#pragma once
#include <cstdint>

namespace kinglet::test {

/// SplitMix64. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
struct Random {
  std::uint64_t state = 0;

  std::uint64_t bits() noexcept {
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// A number in [0, n).
  std::uint32_t below(std::uint32_t n) noexcept { return static_cast<std::uint32_t>(((bits() >> 32) * n) >> 32); }
  /// Uniform in [-1, 1).
  float uniform() noexcept {
    return static_cast<float>(static_cast<std::int32_t>(bits() >> 40) - (1 << 23)) * 0x1p-23f;
  }
  /// Mean 0, variance 1, bell-shaped (a sum of twelve uniforms).
  float normal() noexcept {
    float sum = 0.0f;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum * 0.5f;
  }
};

}  // namespace kinglet::test

// examples/cli/random.hpp: which made-up numbers does a synthetic model consist of?
#pragma once
#include <cstdint>

namespace kinglet::cli {

/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014), SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// In [0, n).
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(((bits() >> 32) * n) >> 32); }

  /// About normal, mean 0, variance 1: the sum of four 16-bit numbers.
  float normal() {
    const std::uint64_t b = bits();
    const std::int32_t sum =
        static_cast<std::int32_t>((b & 0xffff) + ((b >> 16) & 0xffff) + ((b >> 32) & 0xffff) + (b >> 48));
    return static_cast<float>(sum - 131070) * (1.0f / 37837.2f);  // sqrt(4 * 65536^2 / 12)
  }

 private:
  std::uint64_t state_;
};

}  // namespace kinglet::cli

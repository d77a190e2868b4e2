// examples/cli/random_weights.hpp: how does a row of made-up weights look in each format?
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include <kinglet/quant/format.hpp>

#include "random.hpp"

namespace kinglet::cli {

/// Writes blocks of about normally distributed weights, straight in their format.
class RandomWeights {
 public:
  /// @param format     f32, f16, bf16, q8_0, q4_0 or q6_k
  /// @param deviation  standard deviation of the weights
  RandomWeights(quant::Format format, float deviation, std::uint64_t seed);

  static bool knows(quant::Format format);

  /// @param n     weights, a multiple of the format's block
  /// @param data  out, [format_bytes(format, n)]
  void fill(std::size_t n, std::byte* data);

 private:
  void fill_plain(std::size_t n, std::byte* data);
  void fill_q4_0(std::byte* block);
  void fill_q8_0(std::byte* block);
  void fill_q6_k(std::byte* block);
  /// The scale of a block: `step_` times something in [0.75, 1.25].
  std::uint16_t scale();

  quant::Format format_;
  float deviation_;
  float step_ = 0.0f;                       ///< FP32 value of one integer step
  std::array<std::int8_t, 256> integer_{};  ///< a random byte to a normally distributed integer
  Random random_;
};

}  // namespace kinglet::cli

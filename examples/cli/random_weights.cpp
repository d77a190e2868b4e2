#include "random_weights.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <kinglet/core/number.hpp>

namespace kinglet::cli {
namespace {

/// The normal distribution's value below which a share p lies: a bisection of erfc, fast enough for 256 values.
double quantile(double p) {
  double low = -6;
  double high = 6;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return low;
}

/// Integer steps of one standard deviation: the format's range holds three of them.
double steps_of(quant::Format format) {
  return format == quant::Format::q8_0 ? 42.0 : format == quant::Format::q6_k ? 10.0 : 2.5;
}

constexpr int q6_scale = 64;  ///< of each sub-block of 16

}  // namespace

bool RandomWeights::knows(quant::Format format) {
  using quant::Format;
  return format == Format::f32 || format == Format::f16 || format == Format::bf16 || format == Format::q8_0 ||
         format == Format::q4_0 || format == Format::q6_k;
}

RandomWeights::RandomWeights(quant::Format format, float deviation, std::uint64_t seed)
    : format_(format), deviation_(deviation), random_(seed) {
  const double steps = steps_of(format);
  step_ = deviation / static_cast<float>(steps);
  const int limit = format == quant::Format::q8_0 ? 127 : format == quant::Format::q6_k ? 31 : 7;
  for (std::size_t i = 0; i < integer_.size(); ++i) {
    const double value = quantile((static_cast<double>(i) + 0.5) / 256.0) * steps;
    integer_[i] = static_cast<std::int8_t>(std::clamp(static_cast<int>(std::lround(value)), -limit, limit));
  }
}

std::uint16_t RandomWeights::scale() {
  const float spread = 0.75f + 0.5f * static_cast<float>(random_.bits() >> 40) * 0x1p-24f;
  return core::float_to_fp16(step_ * spread / (format_ == quant::Format::q6_k ? static_cast<float>(q6_scale) : 1.0f));
}

void RandomWeights::fill(std::size_t n, std::byte* data) {
  const quant::FormatInfo& format = quant::info(format_);
  if (format.block == 1) return fill_plain(n, data);
  for (std::size_t block = 0; block < n / format.block; ++block, data += format.block_bytes) {
    if (format_ == quant::Format::q4_0) fill_q4_0(data);
    if (format_ == quant::Format::q8_0) fill_q8_0(data);
    if (format_ == quant::Format::q6_k) fill_q6_k(data);
  }
}

void RandomWeights::fill_plain(std::size_t n, std::byte* data) {
  for (std::size_t i = 0; i < n; ++i) {
    const float value = deviation_ * random_.normal();
    const std::uint16_t half = format_ == quant::Format::f16 ? core::float_to_fp16(value) : core::float_to_bf16(value);
    if (format_ == quant::Format::f32)
      std::memcpy(data + 4 * i, &value, 4);
    else
      std::memcpy(data + 2 * i, &half, 2);
  }
}

void RandomWeights::fill_q4_0(std::byte* block) {
  const std::uint16_t d = scale();
  std::memcpy(block, &d, 2);
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < 16; ++i, bits >>= 16) {
    if (i % 4 == 0) bits = random_.bits();
    const unsigned low = static_cast<unsigned>(integer_[bits & 255] + 8);
    const unsigned high = static_cast<unsigned>(integer_[(bits >> 8) & 255] + 8);
    block[2 + i] = static_cast<std::byte>(low | (high << 4));
  }
}

void RandomWeights::fill_q8_0(std::byte* block) {
  const std::uint16_t d = scale();
  std::memcpy(block, &d, 2);
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < 32; ++i, bits >>= 8) {
    if (i % 8 == 0) bits = random_.bits();
    block[2 + i] = static_cast<std::byte>(integer_[bits & 255]);
  }
}

void RandomWeights::fill_q6_k(std::byte* block) {
  std::byte* low = block;         // [128] four bits of two weights, 64 apart
  std::byte* high = block + 128;  // [64] two bits of four weights, 32 apart
  std::memset(block, 0, 192);
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < 256; ++i, bits >>= 8) {
    if (i % 8 == 0) bits = random_.bits();
    const unsigned q = static_cast<unsigned>(integer_[bits & 255] + 32);
    const unsigned half = i / 128;
    const unsigned at = i % 128;
    low[64 * half + at % 64] |= static_cast<std::byte>((q & 15u) << (at / 64 * 4));
    high[32 * half + at % 32] |= static_cast<std::byte>((q >> 4) << (at / 32 * 2));
  }
  std::memset(block + 192, q6_scale, 16);
  const std::uint16_t d = scale();
  std::memcpy(block + 208, &d, 2);
}

}  // namespace kinglet::cli

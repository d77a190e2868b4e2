// kinglet/core/number.hpp: what number do these few bits stand for?
//
// Integer operations only, so that neither a rounding mode nor flush-to-zero of the host can change a result.
#pragma once
#include <cstdint>
#include <cstring>

#include <kinglet/core/config.hpp>

namespace kinglet::core {

KINGLET_HD inline std::uint32_t float_bits(float x) noexcept {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

KINGLET_HD inline float bits_float(std::uint32_t bits) noexcept {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// IEEE 754 binary16, exactly.
KINGLET_HD inline float fp16_to_float(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  std::uint32_t exponent = (half >> 10) & 31u;
  std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 31) return bits_float(sign | 0x7f800000u | (mantissa << 13) | (mantissa != 0 ? 0x400000u : 0u));
  if (exponent == 0) {
    if (mantissa == 0) return bits_float(sign);
    for (exponent = 1; (mantissa & 0x400u) == 0; --exponent) mantissa <<= 1;
    return bits_float(sign | ((exponent + 112u) << 23) | ((mantissa & 0x3ffu) << 13));
  }
  return bits_float(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

/// The mantissa (implicit bit set) of a number that becomes subnormal, shifted right and rounded to nearest even.
KINGLET_HD inline std::uint32_t shift_to_even(std::uint32_t mantissa, std::uint32_t shift) noexcept {
  if (shift > 25) return 0;
  const std::uint32_t kept = mantissa >> shift;
  const std::uint32_t lost = mantissa & ((1u << shift) - 1u);
  const std::uint32_t half = 1u << (shift - 1u);
  return kept + (lost > half || (lost == half && (kept & 1u) != 0) ? 1u : 0u);
}

/// Nearest binary16, ties to even; overflow gives infinity, a NaN stays one.
KINGLET_HD inline std::uint16_t float_to_fp16(float x) noexcept {
  const std::uint32_t bits = float_bits(x);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | ((size >> 13) & 0x3ffu));
  if (size >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (size < 0x38800000u) {
    const std::uint32_t mantissa = (size & 0x7fffffu) | 0x800000u;
    return static_cast<std::uint16_t>(sign | shift_to_even(mantissa, 126u - (size >> 23)));
  }
  return static_cast<std::uint16_t>(sign | ((size + 0xfffu + ((size >> 13) & 1u) - 0x38000000u) >> 13));
}

/// bfloat16: the upper half of an FP32.
KINGLET_HD inline float bf16_to_float(std::uint16_t half) noexcept {
  return bits_float(static_cast<std::uint32_t>(half) << 16);
}

/// Nearest bfloat16, ties to even.
KINGLET_HD inline std::uint16_t float_to_bf16(float x) noexcept {
  const std::uint32_t bits = float_bits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/// Nearest E4M3 (bias 7, no infinity, NaN = 0x7f), ties to even; saturates at 448.
/// Source: FP8 Formats for Deep Learning (arXiv 2209.05433).
KINGLET_HD inline std::uint8_t float_to_e4m3(float x) noexcept {
  const std::uint32_t bits = float_bits(x);
  const std::uint32_t sign = (bits >> 24) & 0x80u;
  const std::uint32_t size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return static_cast<std::uint8_t>(sign | 0x7fu);
  if (size >= 0x43e00000u) return static_cast<std::uint8_t>(sign | 0x7eu);
  if (size < 0x3c800000u) {
    const std::uint32_t mantissa = (size & 0x7fffffu) | 0x800000u;
    return static_cast<std::uint8_t>(sign | shift_to_even(mantissa, 141u - (size >> 23)));
  }
  return static_cast<std::uint8_t>(sign | ((size + 0x7ffffu + ((size >> 20) & 1u) - 0x3c000000u) >> 20));
}

/// The value of an E4M3 code times 2^9: an integer of at most 18 bits. A NaN code gives 480 * 512.
KINGLET_HD inline std::int32_t e4m3_to_int(std::uint8_t code) noexcept {
  const std::int32_t exponent = (code >> 3) & 15;
  const std::int32_t mantissa = code & 7;
  const std::int32_t size = exponent == 0 ? mantissa : (8 + mantissa) << (exponent - 1);
  return (code & 0x80) != 0 ? -size : size;
}

/// The E4M3 value, exactly; NaN for 0x7f and 0xff.
KINGLET_HD inline float e4m3_to_float(std::uint8_t code) noexcept {
  if ((code & 0x7f) == 0x7f) return bits_float(0x7fc00000u);
  if ((code & 0x7f) == 0) return bits_float(static_cast<std::uint32_t>(code) << 24);
  return static_cast<float>(e4m3_to_int(code)) * 0x1p-9f;
}

}  // namespace kinglet::core

// cuda/group.cuh: how does a thread read four codes of a block at once?
//
// The same groups of 32 weights as quant/group.hpp, w[i] = d * scale[i/16] * q[i] + dmin * min[i/16], as words of four
// signed codes for dp4a and mma. Tests hold both to each other, for every format.
#pragma once
#include <type_traits>

#include "core/functions.hpp"
#include "device.cuh"
#include "quant/group.hpp"

namespace kinglet::cuda {

using quant::Format;

/// What the codes of a group are multiplied with.
struct Scales {
  float d, dmin;
  std::int32_t scale[2], min[2];
};

/// Do the two halves of a group have scales of their own?
KINGLET_HD constexpr bool has_half_scales(Format f) noexcept {
  return f == Format::q2_k || f == Format::q3_k || f == Format::q6_k;
}

template <Format F>
inline constexpr unsigned block_groups = quant::format_info<F>.block / 32;
template <Format F>
inline constexpr unsigned block_bytes = quant::format_info<F>.block_bytes;

/// Four bytes; blocks of an even size lie at even addresses.
template <Format F, class Bytes>
KINGLET_DEVICE std::uint32_t four(const Bytes& bytes, std::size_t at) {
  if constexpr (std::is_pointer_v<Bytes> && block_bytes<F> % 2 == 0) {
    std::uint16_t half[2];
    memcpy(half, __builtin_assume_aligned(bytes + at, 2), 2);
    memcpy(half + 1, __builtin_assume_aligned(bytes + at + 2, 2), 2);
    return half[0] | static_cast<std::uint32_t>(half[1]) << 16;
  } else {
    std::uint32_t word = 0;
    for (unsigned i = 0; i < 4; ++i) word |= static_cast<std::uint32_t>(bytes[at + i]) << (8 * i);
    return word;
  }
}

template <Format F, class Bytes>
KINGLET_DEVICE std::uint16_t two(const Bytes& bytes, std::size_t at) {
  if constexpr (std::is_pointer_v<Bytes> && block_bytes<F> % 2 == 0) {
    std::uint16_t half;
    memcpy(&half, __builtin_assume_aligned(bytes + at, 2), 2);
    return half;
  } else {
    return static_cast<std::uint16_t>(bytes[at] | static_cast<std::uint32_t>(bytes[at + 1]) << 8);
  }
}

template <Format F, class Bytes>
KINGLET_DEVICE float half_float(const Bytes& bytes, std::size_t at) {
  return core::fp16_to_float(two<F>(bytes, at));
}

/// Each byte (below 128) less n (up to 128), as a signed byte.
KINGLET_DEVICE std::uint32_t bytes_minus(std::uint32_t bytes, std::uint32_t n) {
  return ((bytes | 0x80808080u) - n * 0x01010101u) ^ 0x80808080u;
}

/// Bits 0 to 3 become bit 4 of the bytes 0 to 3.
KINGLET_DEVICE std::uint32_t fifth_bits(std::uint32_t bits) {
  return ((bits & 1u) | (bits & 2u) << 7 | (bits & 4u) << 14 | (bits & 8u) << 21) << 4;
}

/// The nibbles of weights 4w to 4w + 3, of 16 bytes at `at` whose low nibbles come first.
template <Format F, class Bytes>
KINGLET_DEVICE std::uint32_t nibbles(const Bytes& block, std::size_t at, unsigned w) {
  return (four<F>(block, at + 4 * (w % 4)) >> (w < 4 ? 0 : 4)) & 0x0f0f0f0fu;
}

/// Byte i of the table where the index is four nibbles.
KINGLET_DEVICE std::uint32_t iq4_nl_word(std::uint32_t index) {
  static constexpr std::int8_t values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  std::uint32_t word = 0;
  for (unsigned i = 0; i < 4; ++i) {
    word |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(values[(index >> (8 * i)) & 15u])) << (8 * i);
  }
  return word;
}

/// Twice the E2M1 values: 0, 1, 2, 3, 4, 6, 8, 12 and their negatives.
KINGLET_DEVICE std::uint32_t e2m1_word(std::uint32_t index) {
  std::uint32_t word = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint32_t n = (index >> (8 * i)) & 15u;
    const std::uint32_t e = (n >> 1) & 3u, m = n & 1u;
    const std::uint32_t size = e == 0 ? m : (2u | m) << (e - 1);
    word |= (((n & 8u) != 0 ? 0u - size : size) & 255u) << (8 * i);
  }
  return word;
}

/// Codes 4w to 4w + 3 of group g of a block, as signed bytes.
/// @param block  of unsigned bytes
template <Format F, class Bytes>
KINGLET_DEVICE std::uint32_t codes(const Bytes& block, unsigned g, unsigned w) {
  if constexpr (F == Format::q4_0) {
    return bytes_minus(nibbles<F>(block, 2, w), 8);
  } else if constexpr (F == Format::q4_1) {
    return nibbles<F>(block, 4, w);
  } else if constexpr (F == Format::q5_0) {
    return bytes_minus(nibbles<F>(block, 6, w) | fifth_bits(four<F>(block, 2) >> (4 * w)), 16);
  } else if constexpr (F == Format::q5_1) {
    return nibbles<F>(block, 8, w) | fifth_bits(four<F>(block, 4) >> (4 * w));
  } else if constexpr (F == Format::q8_0) {
    return four<F>(block, 2 + 4 * w);
  } else if constexpr (F == Format::iq4_nl) {
    return iq4_nl_word(nibbles<F>(block, 2, w));
  } else if constexpr (F == Format::mxfp4) {
    return e2m1_word(nibbles<F>(block, 1, w));
  } else if constexpr (F == Format::int4_128) {
    return bytes_minus(nibbles<F>(block, 2 + 16 * g, w), 8);
  } else if constexpr (F == Format::q2_k) {
    return (four<F>(block, 16 + 32 * (g / 4) + 4 * w) >> (2 * (g % 4))) & 0x03030303u;
  } else if constexpr (F == Format::q3_k) {
    const std::uint32_t low = (four<F>(block, 32 + 32 * (g / 4) + 4 * w) >> (2 * (g % 4))) & 0x03030303u;
    return bytes_minus(low | ((four<F>(block, 4 * w) >> g) & 0x01010101u) << 2, 4);
  } else if constexpr (F == Format::q4_k) {
    return (four<F>(block, 16 + 32 * (g / 2) + 4 * w) >> (4 * (g % 2))) & 0x0f0f0f0fu;
  } else if constexpr (F == Format::q5_k) {
    const std::uint32_t low = (four<F>(block, 48 + 32 * (g / 2) + 4 * w) >> (4 * (g % 2))) & 0x0f0f0f0fu;
    return low | ((four<F>(block, 16 + 4 * w) >> g) & 0x01010101u) << 4;
  } else {
    static_assert(F == Format::q6_k);
    const std::uint32_t low = (four<F>(block, 64 * (g / 4) + 32 * (g % 2) + 4 * w) >> (4 * (g % 4 / 2))) & 0x0f0f0f0fu;
    const std::uint32_t high = (four<F>(block, 128 + 32 * (g / 4) + 4 * w) >> (2 * (g % 4))) & 0x03030303u;
    return bytes_minus(low | high << 4, 32);
  }
}

/// The scales of group g of a block.
template <Format F, class Bytes>
KINGLET_DEVICE Scales scales(const Bytes& block, unsigned g) {
  Scales s{0.0f, 0.0f, {1, 1}, {0, 0}};
  if constexpr (F == Format::q4_0 || F == Format::q5_0 || F == Format::q8_0 || F == Format::iq4_nl ||
                F == Format::int4_128) {
    s.d = half_float<F>(block, 0);
  } else if constexpr (F == Format::q4_1 || F == Format::q5_1) {
    s.d = half_float<F>(block, 0);
    s.dmin = half_float<F>(block, 2);
    s.min[0] = s.min[1] = 1;
  } else if constexpr (F == Format::mxfp4) {
    s.d = quant::detail::e8m0_half(block[0]);
  } else if constexpr (F == Format::q2_k) {
    s.d = half_float<F>(block, 80);
    s.dmin = -half_float<F>(block, 82);
    for (unsigned h = 0; h < 2; ++h) {
      const std::uint32_t both = block[2 * g + h];
      s.scale[h] = static_cast<std::int32_t>(both & 15u);
      s.min[h] = static_cast<std::int32_t>(both >> 4);
    }
  } else if constexpr (F == Format::q3_k) {
    s.d = half_float<F>(block, 108);
    for (unsigned h = 0; h < 2; ++h) {
      const unsigned i = 2 * g + h;
      const std::uint32_t low = (static_cast<std::uint32_t>(block[96 + i % 8]) >> (4 * (i / 8))) & 15u;
      const std::uint32_t high = (static_cast<std::uint32_t>(block[104 + i % 4]) >> (2 * (i / 4))) & 3u;
      s.scale[h] = static_cast<std::int32_t>(low | high << 4) - 32;
    }
  } else if constexpr (F == Format::q4_k || F == Format::q5_k) {
    s.d = half_float<F>(block, 0);
    s.dmin = -half_float<F>(block, 2);
    const unsigned i = g % 4;
    const std::uint32_t first = block[4 + i], second = block[8 + i];
    std::uint32_t scale = first & 63u, min = second & 63u;
    if (g >= 4) {
      const std::uint32_t both = block[12 + i];
      scale = (both & 15u) | (first >> 6) << 4;
      min = (both >> 4) | (second >> 6) << 4;
    }
    s.scale[0] = s.scale[1] = static_cast<std::int32_t>(scale);
    s.min[0] = s.min[1] = static_cast<std::int32_t>(min);
  } else {
    static_assert(F == Format::q6_k);
    s.d = half_float<F>(block, 208);
    for (unsigned h = 0; h < 2; ++h)
      s.scale[h] = static_cast<std::int8_t>(static_cast<std::uint8_t>(block[192 + 2 * g + h]));
  }
  return s;
}

/// Signed byte i of a word.
KINGLET_DEVICE std::int32_t signed_byte(std::uint32_t word, unsigned i) {
  return static_cast<std::int8_t>(static_cast<std::uint8_t>(word >> (8 * i)));
}

/// One de-quantized weight of a group, from its code.
template <Format F>
KINGLET_DEVICE float weight_of(const Scales& s, unsigned half, std::int32_t code) {
  // A choice, not an index that the compiler does not know: that would put the arrays into local memory.
  const std::int32_t scale = half == 0 ? s.scale[0] : s.scale[1];
  const float w = (s.d * static_cast<float>(scale)) * static_cast<float>(code);
  if constexpr (quant::has_min(F)) return w + s.dmin * static_cast<float>(half == 0 ? s.min[0] : s.min[1]);
  return w;
}

/// Weight i of a row in F32, F16 or BF16.
template <Format F, class Bytes>
KINGLET_DEVICE float float_weight(const Bytes& row, std::size_t i) {
  if constexpr (F == Format::f32) {
    return core::bits_float(four<F>(row, 4 * i));
  } else if constexpr (F == Format::f16) {
    return core::fp16_to_float(two<F>(row, 2 * i));
  } else {
    static_assert(F == Format::bf16);
    return core::bf16_to_float(two<F>(row, 2 * i));
  }
}

/// De-quantized weights [4w, 4w + 4) of a row of `cols`, with 0 past its end.
template <Format F, class Bytes>
KINGLET_DEVICE void four_weights(const Bytes& row, std::size_t w, std::size_t cols, float (&out)[4]) {
  if constexpr (quant::is_float(F)) {
    for (unsigned i = 0; i < 4; ++i) out[i] = 4 * w + i < cols ? float_weight<F>(row, 4 * w + i) : 0.0f;
  } else {
    const std::size_t group = w / 8;
    if (4 * w >= cols) {
      for (unsigned i = 0; i < 4; ++i) out[i] = 0.0f;
      return;
    }
    const Bytes block = row + group / block_groups<F> * block_bytes<F>;
    const auto g = static_cast<unsigned>(group % block_groups<F>);
    const Scales s = scales<F>(block, g);
    const std::uint32_t word = codes<F>(block, g, static_cast<unsigned>(w % 8));
    for (unsigned i = 0; i < 4; ++i) out[i] = weight_of<F>(s, static_cast<unsigned>(w % 8 / 4), signed_byte(word, i));
  }
}

}  // namespace kinglet::cuda

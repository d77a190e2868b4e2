// kinglet/quant/format.hpp: which weight formats are there, and how many bytes do they take?
//
// Blocks are exactly GGUF's (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md); weights stay in them in
// memory. INT4_128 is our own: an FP16 d, then 64 bytes of nibbles, which are those of four blocks of Q4_0 one after
// the other.
#pragma once
#include <cstddef>
#include <cstdint>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>

namespace kinglet::quant {

enum class Format : std::uint8_t {
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  mxfp4,
  int4_128
};
inline constexpr std::size_t format_count = 16;

struct FormatInfo {
  Format format;
  const char* name;         ///< as GGUF spells it: "Q4_K"; our own: "INT4_128"
  std::uint32_t gguf_type;  ///< the type number in a file
  std::uint32_t block;      ///< weights of a block
  std::uint32_t block_bytes;
};

KINGLET_API const FormatInfo& info(Format format) noexcept;

/// INT4_128's type number: "KQ" and the size of its group. GGUF counts from 0 and will not come here.
inline constexpr std::uint32_t int4_128_type = 0x4b510080;

/// A tensor type that GGUF has given a number, whether handled here or not, or one of our own.
struct GgufType {
  const char* name;
  std::uint32_t block;        ///< weights of a block
  std::uint32_t block_bytes;  ///< 0 for a type that was withdrawn: its size is not known
};

/// Null: no such type.
KINGLET_API const GgufType* gguf_type(std::uint32_t type) noexcept;

/// The format of a GGUF type number. unsupported: a type that exists but is not handled (the message names it);
/// bad_format: no such type.
KINGLET_API Result<Format> from_gguf_type(std::uint32_t type) noexcept;

/// Bytes of `n` weights; n is a multiple of the block.
inline std::size_t format_bytes(Format format, std::size_t n) noexcept {
  const FormatInfo& f = info(format);
  return n / f.block * f.block_bytes;
}

/// De-quantizes n weights (a multiple of the block) to FP32, every step rounded to FP32 (docs/numbers.md), whatever the
/// host's floating-point settings.
/// @param data  [format_bytes(format, n)], any alignment
/// @param out   [n]
KINGLET_API void dequantize(Format format, const std::byte* data, std::size_t n, float* out) noexcept;

}  // namespace kinglet::quant

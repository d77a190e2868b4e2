// ops/kernels/pack.cpp: how do rows of GGUF blocks become a strip?
#include "ops/kernels/packed.hpp"

#include <algorithm>
#include <cstring>

#include "quant/group.hpp"

namespace kinglet::ops {
namespace {

using quant::Format;

/// What a code must have added to it so that it is not negative.
constexpr int zero_point(Format f) noexcept {
  switch (f) {
    case Format::q4_0: return 8;
    case Format::q5_0: return 16;
    case Format::q6_k: return 32;
    case Format::q8_0: return 128;
    default: return 0;
  }
}

/// Writes one row's 32 codes (each below 2^bits) into a group's chunks.
template <std::uint32_t Bits>
void put_codes(const std::uint8_t* code, std::uint32_t row, std::uint8_t* out) noexcept {
  for (std::uint32_t i = 0; i < 32; ++i) {
    const std::uint32_t j = i / 4, at = 4 * row + i % 4;
    if constexpr (Bits == 8) {
      out[64 * j + at] = code[i];
    } else {
      std::uint8_t& nibble = out[64 * (j % 4) + at];
      nibble = static_cast<std::uint8_t>(nibble | (code[i] & 15) << (j < 4 ? 0 : 4));
      if constexpr (Bits == 5) {
        out[256 + at] = static_cast<std::uint8_t>(out[256 + at] | (code[i] >> 4) << j);
      } else if constexpr (Bits == 6) {
        std::uint8_t& pair = out[256 + 64 * (j / 4) + at];
        pair = static_cast<std::uint8_t>(pair | (code[i] >> 4) << (2 * (j % 4)));
      }
    }
  }
}

void put_half(std::uint8_t* out, std::uint32_t row, const std::uint8_t* half) noexcept {
  out[2 * row] = half[0];
  out[2 * row + 1] = half[1];
}

template <Format F>
void put_scales(const quant::Group& group, const std::uint8_t* block, std::uint32_t row, std::uint8_t* meta) noexcept {
  if constexpr (F == Format::q4_k || F == Format::q5_k) {
    const auto scale = static_cast<unsigned>(group.scale[0]), min = static_cast<unsigned>(group.min[0]);
    meta[row] = static_cast<std::uint8_t>((scale & 15) | (min & 15) << 4);
    const unsigned high = (scale >> 4) | (min >> 4) << 2;
    std::uint8_t& both = meta[16 + row % 8];
    both = static_cast<std::uint8_t>(both | high << (row < 8 ? 0 : 4));
  } else if constexpr (F == Format::q6_k) {
    for (std::uint32_t h = 0; h < 2; ++h) meta[16 * h + row] = static_cast<std::uint8_t>(group.scale[h]);
  } else {
    put_half(meta, row, block);
    if constexpr (quant::has_min(F)) put_half(meta + 32, row, block + 2);
  }
}

template <Format F>
void pack_row(const std::uint8_t* data, std::uint32_t cols, std::uint32_t row, std::uint8_t* out) noexcept {
  constexpr StripLayout layout = strip_layout(F);
  constexpr quant::FormatInfo format = quant::format_info<F>;
  constexpr std::uint32_t bits = layout.codes / 64;
  std::uint32_t left = 0;  // groups of the strip's block
  std::uint8_t *codes = nullptr, *meta = nullptr, *super = nullptr, *next = out;
  for (std::uint32_t g = 0; g < cols / 32; ++g, --left, codes += layout.codes, meta += layout.meta) {
    if (left == 0) {
      left = std::min(strip_groups, cols / 32 - g);
      codes = next;
      meta = codes + left * layout.codes;
      super = meta + left * layout.meta;
      next = super + layout.super;
    }
    const std::uint8_t* block = data + std::size_t{32 * g / format.block} * format.block_bytes;
    quant::Group group;
    quant::unpack<F>(block, g % (format.block / 32), group);
    std::uint8_t code[32];
    for (std::uint32_t i = 0; i < 32; ++i) {
      if constexpr (F == Format::iq4_nl) {
        code[i] = static_cast<std::uint8_t>(i < 16 ? block[2 + i] & 15 : block[2 + i - 16] >> 4);
      } else {
        code[i] = static_cast<std::uint8_t>(group.q[i] + zero_point(F));
      }
    }
    put_codes<bits>(code, row, codes);
    put_scales<F>(group, block, row, meta);
    if (layout.super != 0 && g % strip_groups == 0) {
      put_half(super, row, F == Format::q6_k ? block + 208 : block);
      if constexpr (quant::has_min(F)) put_half(super + 32, row, block + 2);
    }
  }
}

}  // namespace

void pack_strip(Format format, const std::byte* data, std::size_t row_bytes, std::uint32_t rows, std::uint32_t cols,
                std::byte* out) noexcept {
  std::memset(out, 0, strip_bytes(format, cols));
  quant::with_quantized(format, [&]<Format F>() {
    if constexpr (strip_layout(F).codes != 0) {
      const auto* from = reinterpret_cast<const std::uint8_t*>(data);
      for (std::uint32_t r = 0; r < rows; ++r) {
        pack_row<F>(from + r * row_bytes, cols, r, reinterpret_cast<std::uint8_t*>(out));
      }
    }
  });
}

Panel make_panel(std::uint32_t rows, std::size_t cols, std::byte* memory) noexcept {
  const std::size_t groups = cols / 32;
  const auto take = [&]<class T>(T*, std::size_t count) {
    std::byte* at = memory;
    memory += (count * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  };
  Panel p{};
  p.rows = rows;
  p.q = take(p.q, rows * cols);
  p.d = take(p.d, rows * groups);
  p.zero = take(p.zero, rows * groups);
  p.halves = take(p.halves, rows * groups * 2);
  p.sum = take(p.sum, rows * groups);
  return p;
}

}  // namespace kinglet::ops

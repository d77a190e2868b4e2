// ops/kernels/pack.cpp: how do rows of GGUF blocks become a strip, and come out of it again?
//
// Four columns of a row are one 32-bit word on both sides, so all is moved in words: a matrix is packed at the speed at
// which it is read.
#include <algorithm>
#include <bit>
#include <cstring>

#include "ops/kernels/packed.hpp"
#include "quant/group.hpp"

namespace kinglet::ops {
namespace {

using quant::Format;

static_assert(std::endian::native == std::endian::little);

constexpr std::uint32_t every_nibble = 0x0f0f0f0fu, every_pair = 0x03030303u, every_bit = 0x01010101u;

std::uint32_t word(const std::uint8_t* p) noexcept {
  std::uint32_t w;
  std::memcpy(&w, p, sizeof w);
  return w;
}

void put_word(std::uint8_t* p, std::uint32_t w) noexcept { std::memcpy(p, &w, sizeof w); }
void join_word(std::uint8_t* p, std::uint32_t w) noexcept { put_word(p, word(p) | w); }

/// Bit 4j + c becomes bit j of byte c.
std::uint32_t bits_to_bytes(std::uint32_t bits) noexcept {
  std::uint32_t out = 0;
  for (unsigned c = 0; c < 4; ++c) {
    std::uint32_t x = (bits >> c) & 0x11111111u;
    x = (x | x >> 3) & 0x03030303u;
    x = (x | x >> 6) & 0x000f000fu;
    x = (x | x >> 12) & 0xffu;
    out |= x << (8 * c);
  }
  return out;
}

std::uint32_t bytes_to_bits(std::uint32_t bytes) noexcept {
  std::uint32_t out = 0;
  for (unsigned c = 0; c < 4; ++c) {
    std::uint32_t x = (bytes >> (8 * c)) & 0xffu;
    x = (x | x << 12) & 0x000f000fu;
    x = (x | x << 6) & 0x03030303u;
    x = (x | x << 3) & 0x11111111u;
    out |= x << c;
  }
  return out;
}

/// A row's words of one group: word i of the codes goes to the strip's chunk i.
template <Format F>
inline constexpr std::uint32_t words = strip_layout(F).codes / 64;

/// Where a format's nibbles stand in a block.
template <Format F>
inline constexpr std::uint32_t nibbles_at = F == Format::q4_1   ? 4
                                            : F == Format::q5_0 ? 6
                                            : F == Format::q5_1 ? 8
                                                                : 2;

/// Reads a row's codes of group g.
template <Format F>
void read_codes(const std::uint8_t* block, std::uint32_t g, std::uint32_t* w) noexcept {
  if constexpr (F == Format::q8_0) {
    for (std::uint32_t i = 0; i < 8; ++i) w[i] = word(block + 2 + 4 * i) ^ 0x80808080u;
  } else if constexpr (F == Format::q4_k || F == Format::q5_k || F == Format::q6_k) {
    const bool high = F == Format::q6_k ? g % 4 / 2 != 0 : g % 2 != 0;
    const std::uint8_t* low = F == Format::q6_k   ? block + 64 * (g / 4) + 32 * (g % 2)
                              : F == Format::q5_k ? block + 48 + 32 * (g / 2)
                                                  : block + 16 + 32 * (g / 2);
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t a = word(low + 4 * i), b = word(low + 16 + 4 * i);
      w[i] = high ? (a >> 4 & every_nibble) | (b & ~every_nibble) : (a & every_nibble) | (b & every_nibble) << 4;
    }
    if constexpr (F == Format::q5_k) {
      w[4] = 0;
      for (std::uint32_t j = 0; j < 8; ++j) w[4] |= (word(block + 16 + 4 * j) >> g & every_bit) << j;
    }
    if constexpr (F == Format::q6_k) {
      const std::uint8_t* pairs = block + 128 + 32 * (g / 4);
      for (std::uint32_t h = 0; h < 2; ++h) {
        w[4 + h] = 0;
        for (std::uint32_t j = 0; j < 4; ++j) {
          w[4 + h] |= (word(pairs + 16 * h + 4 * j) >> (2 * (g % 4)) & every_pair) << (2 * j);
        }
      }
    }
  } else {
    for (std::uint32_t i = 0; i < 4; ++i) w[i] = word(block + nibbles_at<F> + 4 * i);
    if constexpr (words<F> == 5) w[4] = bits_to_bytes(word(block + nibbles_at<F> - 4));
  }
}

/// The inverse, into a block that was all zeros.
template <Format F>
void write_codes(const std::uint32_t* w, std::uint8_t* block, std::uint32_t g) noexcept {
  if constexpr (F == Format::q8_0) {
    for (std::uint32_t i = 0; i < 8; ++i) put_word(block + 2 + 4 * i, w[i] ^ 0x80808080u);
  } else if constexpr (F == Format::q4_k || F == Format::q5_k || F == Format::q6_k) {
    const bool high = F == Format::q6_k ? g % 4 / 2 != 0 : g % 2 != 0;
    std::uint8_t* low = F == Format::q6_k   ? block + 64 * (g / 4) + 32 * (g % 2)
                        : F == Format::q5_k ? block + 48 + 32 * (g / 2)
                                            : block + 16 + 32 * (g / 2);
    for (std::uint32_t i = 0; i < 4; ++i) {
      join_word(low + 4 * i, high ? (w[i] & every_nibble) << 4 : w[i] & every_nibble);
      join_word(low + 16 + 4 * i, high ? w[i] & ~every_nibble : w[i] >> 4 & every_nibble);
    }
    if constexpr (F == Format::q5_k) {
      for (std::uint32_t j = 0; j < 8; ++j) join_word(block + 16 + 4 * j, (w[4] >> j & every_bit) << g);
    }
    if constexpr (F == Format::q6_k) {
      std::uint8_t* pairs = block + 128 + 32 * (g / 4);
      for (std::uint32_t h = 0; h < 2; ++h) {
        for (std::uint32_t j = 0; j < 4; ++j) {
          join_word(pairs + 16 * h + 4 * j, (w[4 + h] >> (2 * j) & every_pair) << (2 * (g % 4)));
        }
      }
    }
  } else {
    for (std::uint32_t i = 0; i < 4; ++i) put_word(block + nibbles_at<F> + 4 * i, w[i]);
    if constexpr (words<F> == 5) put_word(block + nibbles_at<F> - 4, bytes_to_bits(w[4]));
  }
}

void move_half(std::uint8_t* to, const std::uint8_t* from) noexcept { std::memcpy(to, from, 2); }

/// Writes a row's scales of group g into the group's meta.
template <Format F>
void put_scales(const std::uint8_t* block, std::uint32_t g, std::uint32_t row, std::uint8_t* meta) noexcept {
  if constexpr (F == Format::q4_k || F == Format::q5_k) {
    quant::Group group;
    quant::detail::scale_and_min(block + 4, g, group);
    const auto scale = static_cast<unsigned>(group.scale[0]), min = static_cast<unsigned>(group.min[0]);
    meta[row] = static_cast<std::uint8_t>((scale & 15) | (min & 15) << 4);
    const unsigned high = (scale >> 4) | (min >> 4) << 2;
    std::uint8_t& both = meta[16 + row % 8];
    both = static_cast<std::uint8_t>(both | high << (row < 8 ? 0 : 4));
  } else if constexpr (F == Format::q6_k) {
    for (std::uint32_t h = 0; h < 2; ++h) meta[16 * h + row] = block[192 + 2 * g + h];
  } else {
    move_half(meta + 2 * row, block);
    if constexpr (quant::has_min(F)) move_half(meta + 32 + 2 * row, block + 2);
  }
}

/// The inverse, into a block that was all zeros.
template <Format F>
void take_scales(const std::uint8_t* meta, std::uint32_t row, std::uint8_t* block, std::uint32_t g) noexcept {
  if constexpr (F == Format::q4_k || F == Format::q5_k) {
    const unsigned low = meta[row], high = meta[16 + row % 8] >> (row < 8 ? 0 : 4) & 15u;
    const unsigned scale = (low & 15) | (high & 3) << 4, min = low >> 4 | (high >> 2) << 4;
    std::uint8_t* p = block + 4;
    const auto join = [p](std::uint32_t i, unsigned bits) { p[i] = static_cast<std::uint8_t>(p[i] | bits); };
    const std::uint32_t i = g % 4;
    join(i, g < 4 ? scale : (scale >> 4) << 6);
    join(4 + i, g < 4 ? min : (min >> 4) << 6);
    if (g >= 4) join(8 + i, (scale & 15) | (min & 15) << 4);
  } else if constexpr (F == Format::q6_k) {
    for (std::uint32_t h = 0; h < 2; ++h) block[192 + 2 * g + h] = meta[16 * h + row];
  } else {
    move_half(block, meta + 2 * row);
    if constexpr (quant::has_min(F)) move_half(block + 2, meta + 32 + 2 * row);
  }
}

template <Format F>
void pack_block(const std::uint8_t* data, std::size_t row_bytes, std::uint32_t rows, std::uint32_t groups,
                std::uint8_t* out) noexcept {
  constexpr StripLayout layout = strip_layout(F);
  constexpr quant::FormatInfo format = quant::format_info<F>;
  std::uint8_t* const super = out;
  std::uint8_t* const metas = super + layout.super;
  std::uint8_t* const codes = out + layout.head(groups);
  std::memset(out, 0, rows < strip_rows ? layout.block(groups) : layout.head(groups));
  for (std::uint32_t r = 0; r < rows; ++r) {
    const std::uint8_t* const row = data + r * row_bytes;
    for (std::uint32_t g = 0; g < groups; ++g) {
      const std::uint8_t* const block = row + std::size_t{32 * g / format.block} * format.block_bytes;
      std::uint32_t w[words<F>];
      read_codes<F>(block, g % (format.block / 32), w);
      for (std::uint32_t i = 0; i < words<F>; ++i) put_word(codes + g * layout.codes + 64 * i + 4 * r, w[i]);
      put_scales<F>(block, g, r, metas + g * layout.meta);
    }
    if constexpr (layout.super != 0) {
      move_half(super + 2 * r, F == Format::q6_k ? row + 208 : row);
      if constexpr (quant::has_min(F)) move_half(super + 32 + 2 * r, row + 2);
    }
  }
}

template <Format F>
void unpack_block(const std::uint8_t* strip, std::uint32_t row, std::uint32_t groups, std::uint8_t* out) noexcept {
  constexpr StripLayout layout = strip_layout(F);
  constexpr quant::FormatInfo format = quant::format_info<F>;
  const std::uint8_t* const super = strip;
  const std::uint8_t* const metas = super + layout.super;
  const std::uint8_t* const codes = strip + layout.head(groups);
  std::memset(out, 0, groups * 32 / format.block * format.block_bytes);
  for (std::uint32_t g = 0; g < groups; ++g) {
    std::uint8_t* const block = out + std::size_t{32 * g / format.block} * format.block_bytes;
    std::uint32_t w[words<F>];
    for (std::uint32_t i = 0; i < words<F>; ++i) w[i] = word(codes + g * layout.codes + 64 * i + 4 * row);
    write_codes<F>(w, block, g % (format.block / 32));
    take_scales<F>(metas + g * layout.meta, row, block, g);
  }
  if constexpr (layout.super != 0) {
    move_half(F == Format::q6_k ? out + 208 : out, super + 2 * row);
    if constexpr (quant::has_min(F)) move_half(out + 2, super + 32 + 2 * row);
  }
}

/// visit<F>() for a format that has strips.
template <class Visit>
void with_strips(Format format, Visit&& visit) {
  quant::with_quantized(format, [&]<Format F>() {
    if constexpr (strip_layout(F).codes != 0) visit.template operator()<F>();
  });
}

}  // namespace

void pack_strip(Format format, const std::byte* data, std::size_t row_bytes, std::uint32_t rows, std::uint32_t cols,
                std::byte* out) noexcept {
  const quant::FormatInfo& info = quant::info(format);
  const auto* from = reinterpret_cast<const std::uint8_t*>(data);
  auto* to = reinterpret_cast<std::uint8_t*>(out);
  with_strips(format, [&]<Format F>() {
    for (std::uint32_t left = cols / 32; left != 0;) {
      const std::uint32_t groups = std::min(strip_groups, left);
      pack_block<F>(from, row_bytes, rows, groups, to);
      from += groups * 32 / info.block * info.block_bytes;
      to += strip_layout(F).block(groups);
      left -= groups;
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
  p.minus_sums = take(p.minus_sums, rows * groups * 2);
  p.sum = take(p.sum, rows * groups);
  return p;
}

void unpack_columns(Format format, const std::byte* strip, std::uint32_t row, std::uint32_t first, std::uint32_t cols,
                    std::byte* out) noexcept {
  const auto* from = reinterpret_cast<const std::uint8_t*>(strip);
  with_strips(format, [&]<Format F>() {
    unpack_block<F>(from + first / 256 * strip_layout(F).block(strip_groups), row, cols / 32,
                    reinterpret_cast<std::uint8_t*>(out));
  });
}

void dequantize_row(const WeightView& weight, std::uint32_t row, float* out) noexcept {
  if (weight.layout == WeightLayout::rows) {
    quant::dequantize(weight.format, weight.data + row * weight.row_bytes, weight.cols, out);
    return;
  }
  const std::byte* const strip = weight.data + row / strip_rows * weight.row_bytes;
  for (std::uint32_t k = 0; k < weight.cols; k += 256) {
    std::byte block[most_block_bytes];
    const std::uint32_t n = std::min(256u, weight.cols - k);
    unpack_columns(weight.format, strip, row % strip_rows, k, n, block);
    quant::dequantize(weight.format, block, n, out + k);
  }
}

}  // namespace kinglet::ops

// ops/kernels/tile.cpp: how do the blocks of a GGUF file become the tiles that the kernels read?
#include "ops/kernels/kernels.hpp"
#include "quant/group.hpp"

namespace kinglet::ops {
namespace {

/// Fills output o of a tile from one row's groups.
template <quant::Format F>
void load_row(const std::uint8_t* row, std::uint32_t k, std::uint32_t n, std::uint32_t o, GroupTile& tile) noexcept {
  constexpr std::uint32_t groups = quant::format_info<F>.block / 32;
  quant::Group group;
  for (std::uint32_t g = 0; g < n / 32; ++g) {
    const std::uint32_t at = k / 32 + g;
    quant::unpack<F>(row + std::size_t{at / groups} * quant::format_info<F>.block_bytes, at % groups, group);
    tile.d[g][o] = group.d;
    if constexpr (quant::has_min(F)) {
      tile.dmin[g][o] = group.dmin;
      for (std::uint32_t h = 0; h < 2; ++h) tile.min[g][h][o] = group.min[h];
    }
    for (std::uint32_t i = 0; i < 32; i += 2) {
      const std::int32_t scale = group.scale[i / 16];
      std::int16_t* w = tile.w[16 * g + i / 2][o];
      w[0] = static_cast<std::int16_t>(scale * group.q[i]);
      w[1] = static_cast<std::int16_t>(scale * group.q[i + 1]);
    }
  }
}

void clear_output(std::uint32_t n, std::uint32_t o, GroupTile& tile) noexcept {
  for (std::uint32_t g = 0; g < n / 32; ++g) {
    tile.d[g][o] = tile.dmin[g][o] = 0.0f;
    tile.min[g][0][o] = tile.min[g][1][o] = 0;
    for (std::uint32_t i = 16 * g; i < 16 * g + 16; ++i) tile.w[i][o][0] = tile.w[i][o][1] = 0;
  }
}

}  // namespace

void load_tile(quant::Format format, const std::byte* data, std::size_t row_bytes, std::uint32_t first,
               std::uint32_t outputs, std::uint32_t k, std::uint32_t n, Scratch& scratch, FloatTile& tile) noexcept {
  const quant::FormatInfo& f = quant::info(format);
  for (std::uint32_t o = 0; o < tile_outputs; ++o) {
    if (o < outputs) {
      const std::byte* row = data + (std::size_t{first} + o) * row_bytes + std::size_t{k / f.block} * f.block_bytes;
      quant::dequantize(format, row, n, scratch.row);
      for (std::uint32_t i = 0; i < n; ++i) tile.w[i][o] = scratch.row[i];
    } else {
      for (std::uint32_t i = 0; i < n; ++i) tile.w[i][o] = 0.0f;
    }
  }
}

void load_tile(quant::Format format, const std::byte* data, std::size_t row_bytes, std::uint32_t first,
               std::uint32_t outputs, std::uint32_t k, std::uint32_t n, GroupTile& tile) noexcept {
  tile.has_min = quant::has_min(format);
  quant::with_quantized(format, [&]<quant::Format F>() {
    const std::uint8_t* rows = reinterpret_cast<const std::uint8_t*>(data) + std::size_t{first} * row_bytes;
    for (std::uint32_t o = 0; o < outputs; ++o) load_row<F>(rows + o * row_bytes, k, n, o, tile);
    for (std::uint32_t o = outputs; o < tile_outputs; ++o) clear_output(n, o, tile);
  });
}

}  // namespace kinglet::ops

// ops/cpu_products.cpp: which outputs does a tile of an op compute, and where do they go?
#include <algorithm>

#include "ops/cpu_backend.hpp"
#include "quant/group.hpp"

namespace kinglet::ops {

/// Where few rows go over two strips in turn (packed.hpp), a tile from each half of those to run is made at once: if
/// there are so many that it pays, and no thread is left without.
bool CpuBackend::goes_in_pairs(const Op& op, std::uint32_t phase, std::uint32_t tiles) const noexcept {
  if (phase != 1 || op.kind == OpKind::attention || input(op).rows > strips_.pairs.rows) return false;
  if (op.weight[0].cols < strips_.pairs.cols || tiles < strips_.pairs.tiles * shape_.threads) return false;
  return std::ranges::all_of(
      op.weight, [&](const WeightView& w) { return !w || (reads_panels(w) && w.format == op.weight[0].format); });
}

/// One tile, or two of an op that goes_in_pairs(): all its matrices are strips of one format. Strips are given in the
/// order in which they lie.
void CpuBackend::product(std::span<const ProductTile> tiles, ThreadScratch& scratch) const noexcept {
  const ProductTile& tile = tiles[0];
  for (std::size_t m = 0, end = 0; m < tile.weights.size(); m = end) {
    const WeightView& weight = tile.weights[m];
    end = m + 1;
    if (!reads_panels(weight)) {
      product_of_rows(tile, m, scratch);
      continue;
    }
    while (end < tile.weights.size() && reads_panels(tile.weights[end]) && tile.weights[end].format == weight.format) {
      ++end;
    }
    StripRun runs[most_runs];
    std::size_t strips = 0;
    for (const ProductTile& t : tiles) {
      for (std::uint32_t o = 0; o < tile_outputs && t.first + o < t.weights[m].rows; o += strip_rows) {
        for (std::size_t i = m; i < end; ++i) {
          runs[strips++] = {t.weights[i].data + (t.first + o) / strip_rows * t.weights[i].row_bytes,
                            reinterpret_cast<float(*)[out_stride]>(scratch.acc[i] + t.to + o)};
        }
      }
    }
    const Panel* x = panels(tile.kind) + tile.row / panel_rows;
    const std::uint32_t count = (tile.rows + panel_rows - 1) / panel_rows;
    const auto& product = tiles.size() == 2 ? strips_.paired : strips_.product;
    product[static_cast<std::size_t>(weight.format)](runs, strips, weight.cols, x, count);
  }
}

/// The tile's product with matrix m from the file's blocks, or from strips where the activations are not INT8, unpacked
/// a tile at a time.
void CpuBackend::product_of_rows(const ProductTile& tile, std::size_t m, ThreadScratch& scratch) const noexcept {
  const WeightView& weight = tile.weights[m];
  Scratch& unpacked = scratch.tile;
  float* const acc = scratch.acc[m] + tile.to;
  const std::uint32_t first = tile.first, rows = tile.rows;
  const bool floats = quant::is_float(weight.format) || shape_.activations == Activations::fp32;
  const bool fp8 = !floats && shape_.activations == Activations::fp8;
  const std::uint32_t width = fp8 ? 2 * tile_outputs : tile_outputs;
  const std::uint32_t count = std::min(tile_outputs, weight.rows - first);
  const ActivationRow* x = at<ActivationRow>(layout_.inputs) + tile.row;
  std::fill_n(acc, std::size_t{rows} * width, 0.0f);
  for (std::uint32_t k = 0; k < weight.cols; k += tile_inputs) {
    const std::uint32_t n = std::min(tile_inputs, weight.cols - k);
    struct Rows {
      const std::byte* data;
      std::size_t row_bytes;
      std::uint32_t first, k;
    } from{weight.data, weight.row_bytes, first, k};
    if (weight.layout == WeightLayout::packed) {
      for (std::uint32_t o = 0; o < count; ++o) {
        const std::byte* strip = weight.data + (first + o) / strip_rows * weight.row_bytes;
        unpack_columns(weight.format, strip, (first + o) % strip_rows, k, n, unpacked.blocks[o]);
      }
      from = {unpacked.blocks[0], sizeof unpacked.blocks[0], 0, 0};
    }
    if (floats) {
      load_tile(weight.format, from.data, from.row_bytes, from.first, count, from.k, n, unpacked, unpacked.tile.floats);
      kernels_.product_fp32(unpacked.tile.floats, x, rows, k, n, acc);
      continue;
    }
    load_tile(weight.format, from.data, from.row_bytes, from.first, count, from.k, n, unpacked.tile.groups);
    (fp8 ? kernels_.product_fp8 : kernels_.product_int8)(unpacked.tile.groups, x, rows, k, n, acc);
  }
  if (!fp8) return;
  for (std::uint32_t r = 1; r < rows; ++r) {  // the compensations have done their work
    std::copy_n(acc + std::size_t{r} * width, tile_outputs, acc + std::size_t{r} * tile_outputs);
  }
}

/// Where a tile of a product lies. The tiles of a share (shares.hpp) have rows of their own as far as those go, two
/// blocks for each read of the weights: lines that another core has read cost 28 ns to write again (two Zen 4 cores).
CpuBackend::TilePlace CpuBackend::place_of(const Op& op, std::uint32_t tile) const noexcept {
  const std::uint32_t row_blocks = (input(op).rows + row_block - 1) / row_block;
  if (row_blocks == 1) return {0, tile};
  const std::uint32_t output_tiles = (outputs(op) + tile_outputs - 1) / tile_outputs;
  const std::uint32_t parts = std::clamp(row_blocks / 2, 1u, shape_.threads);
  const std::uint32_t part = ((tile / output_tiles + 1) * parts - 1) / row_blocks;
  const std::uint32_t begin = row_blocks * part / parts, size = row_blocks * (part + 1) / parts - begin;
  const std::uint32_t within = tile - begin * output_tiles;
  return {(begin + within % size) * row_block, within / size};
}

/// Few rows' tiles of gate and up share what follows their products: one tile's would stop the stream of weights for
/// longer than it takes.
void CpuBackend::gate_up_tiles(const Op& op, const TileRange& tiles, ThreadScratch& scratch) noexcept {
  const std::uint32_t streams = tiles.beside != 0 ? 2 : 1;
  const std::uint32_t at_once = std::max(1u, std::min(shared_tiles, row_block / input(op).rows) / streams);
  for (std::uint32_t tile = tiles.first, end = tile; tile < tiles.last; tile = end) {
    end = std::min(tile + at_once, tiles.last);
    const std::uint32_t count = std::min(row_block, input(op).rows - place_of(op, tile).row);
    const std::uint32_t size = count * tile_outputs, beside = at_once * size;
    const auto part = [&](std::uint32_t t, std::uint32_t to) -> ProductTile {
      const auto [row, output_tile] = place_of(op, t);
      return {op.kind, {op.weight, 2}, output_tile * tile_outputs, row, count, to};
    };
    for (std::uint32_t t = tile; t < end; ++t) {
      const std::uint32_t to = (t - tile) * size;
      const bool both = tiles.has_beside(t);
      const ProductTile parts[2] = {part(t, to), both ? part(t + tiles.beside, beside + to) : ProductTile{}};
      product({parts, both ? 2u : 1u}, scratch);
    }
    finish_gate_up(op, tile, end, 0, scratch);
    if (tiles.has_beside(tile)) {
      finish_gate_up(op, tile + tiles.beside, std::min(end + tiles.beside, tiles.end), beside, scratch);
    }
  }
}

/// The rows of tiles [first_tile, last_tile) out of acc + to.
void CpuBackend::finish_gate_up(const Op& op, std::uint32_t first_tile, std::uint32_t last_tile, std::uint32_t to,
                                ThreadScratch& scratch) noexcept {
  const auto [row, output_tile] = place_of(op, first_tile);
  const std::uint32_t count = std::min(row_block, input(op).rows - row), tiles = last_tile - first_tile;
  const std::uint32_t first = output_tile * tile_outputs;
  const std::uint32_t n = std::min(tiles * tile_outputs, op.weight[0].rows - first);
  float* const h = scratch.acc[0] + to;
  for (std::size_t m = 0; m < 2; ++m) {
    if (op.bias[m] == nullptr) continue;
    for (std::uint32_t t = 0; t < tiles * count; ++t) {
      const std::uint32_t from = t / count * tile_outputs;
      float* y = scratch.acc[m] + to + t * tile_outputs;
      for (std::uint32_t i = 0; i < std::min(tile_outputs, n - from); ++i) y[i] = y[i] + op.bias[m][first + from + i];
    }
  }
  kernels_.swiglu(h, scratch.acc[1] + to, std::size_t{tiles} * count * tile_outputs, h);
  const bool quantizes = quantizes_ffn();
  for (std::uint32_t r = 0; r < count && quantizes; r += panel_rows) {
    static_assert(tile_outputs == 32, "a tile's outputs are a group");
    const Panel& panel = panels(OpKind::down)[(row + r) / panel_rows];
    const float* x[panel_rows];
    for (std::uint32_t i = 0; i < panel.rows; ++i) x[i] = h + (r + i) * tile_outputs;
    strips_.quantize(x, std::size_t{count} * tile_outputs, first / 32, n / 32, panel);
  }
  if (quantizes && op.packed_reader) return;
  for (std::uint32_t r = 0; r < count; ++r) {
    for (std::uint32_t i = 0; i < n; i += tile_outputs) {
      std::copy_n(h + (i / tile_outputs * count + r) * tile_outputs, std::min(tile_outputs, n - i),
                  wide_row(row + r) + first + i);
    }
  }
}

void CpuBackend::product_tiles(const Op& op, const TileRange& tiles, ThreadScratch& scratch) noexcept {
  for (std::uint32_t tile = tiles.first; tile < tiles.last; ++tile) {
    const ProductTile first = product_tile(op, tile, 0);
    const bool both = tiles.has_beside(tile);
    const ProductTile parts[2] = {
        first, both ? product_tile(op, tile + tiles.beside, first.rows * tile_outputs) : ProductTile{}};
    product({parts, both ? 2u : 1u}, scratch);
    finish_product(op, parts[0], scratch);
    if (both) finish_product(op, parts[1], scratch);
  }
}

/// A tile of an op whose matrices' outputs stand one after the other, each's from a tile of its own on.
CpuBackend::ProductTile CpuBackend::product_tile(const Op& op, std::uint32_t tile, std::uint32_t to) const noexcept {
  const auto [row, output_tile] = place_of(op, tile);
  std::uint32_t t = output_tile;
  std::size_t m = 0;
  const auto tiles_of = [](const WeightView& w) { return (w.rows + tile_outputs - 1) / tile_outputs; };
  for (; m < 2 && op.weight[m + 1] && t >= tiles_of(op.weight[m]); ++m) t -= tiles_of(op.weight[m]);
  return {op.kind, {&op.weight[m], 1}, t * tile_outputs, row, std::min(row_block, input(op).rows - row), to};
}

void CpuBackend::finish_product(const Op& op, const ProductTile& tile, ThreadScratch& scratch) noexcept {
  const auto m = static_cast<std::size_t>(&tile.weights[0] - &op.weight[0]);
  std::size_t offset = tile.first;  // in a row of all outputs
  for (std::size_t i = 0; i < m; ++i) offset += op.weight[i].rows;
  const std::uint32_t n = std::min(tile_outputs, op.weight[m].rows - tile.first);
  for (std::uint32_t r = 0; r < tile.rows; ++r) {
    float* y = scratch.acc[0] + tile.to + r * tile_outputs;
    if (op.bias[m] != nullptr) {
      for (std::uint32_t i = 0; i < n; ++i) y[i] = y[i] + op.bias[m][tile.first + i];
    }
    if (op.kind == OpKind::project || op.kind == OpKind::down) {
      float* x = x_row(tile.row + r) + offset;
      for (std::uint32_t i = 0; i < n; ++i) x[i] = x[i] + y[i];
    } else {
      float* out = op.kind == OpKind::output ? at<float>(layout_.logits) + std::size_t{tile.row + r} * shape_.vocab
                                             : qkv_row(tile.row + r);
      std::copy_n(y, n, out + offset);
    }
  }
}

}  // namespace kinglet::ops

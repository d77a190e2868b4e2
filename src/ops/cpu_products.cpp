// ops/cpu_products.cpp: which outputs does a tile of an op compute, and where do they go?
#include <algorithm>

#include "ops/cpu_backend.hpp"
#include "quant/group.hpp"

namespace kinglet::ops {

/// From acc[m] + to: [r][tile_outputs] = the tile's outputs of matrices of one shape. Strips are given in the order in
/// which they lie.
void CpuBackend::product(const ProductTile& tile, std::span<const WeightView> weights, ThreadScratch& scratch,
                         std::uint32_t to) const noexcept {
  for (std::size_t m = 0, end = 0; m < weights.size(); m = end) {
    const WeightView& weight = weights[m];
    end = m + 1;
    if (!reads_panels(weight)) {
      product_of_rows(weight, tile, scratch.tile, scratch.acc[m] + to);
      continue;
    }
    while (end < weights.size() && reads_panels(weights[end]) && weights[end].format == weight.format) ++end;
    StripRun runs[most_runs];
    std::size_t strips = 0;
    for (std::uint32_t o = 0; o < tile_outputs && tile.first + o < weight.rows; o += strip_rows) {
      for (std::size_t i = m; i < end; ++i) {
        runs[strips++] = {weights[i].data + (tile.first + o) / strip_rows * weights[i].row_bytes,
                          reinterpret_cast<float(*)[out_stride]>(scratch.acc[i] + to + o)};
      }
    }
    const Panel* x = panels(tile.kind) + tile.row / panel_rows;
    const std::uint32_t count = (tile.rows + panel_rows - 1) / panel_rows;
    strips_.product[static_cast<std::size_t>(weight.format)](runs, strips, weight.cols, x, count);
  }
}

/// The same from the file's blocks, or from strips where the activations are not INT8, unpacked a tile at a time.
void CpuBackend::product_of_rows(const WeightView& weight, const ProductTile& tile, Scratch& scratch,
                                 float* acc) const noexcept {
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
        unpack_columns(weight.format, strip, (first + o) % strip_rows, k, n, scratch.blocks[o]);
      }
      from = {scratch.blocks[0], sizeof scratch.blocks[0], 0, 0};
    }
    if (floats) {
      load_tile(weight.format, from.data, from.row_bytes, from.first, count, from.k, n, scratch, scratch.tile.floats);
      kernels_.product_fp32(scratch.tile.floats, x, rows, k, n, acc);
      continue;
    }
    load_tile(weight.format, from.data, from.row_bytes, from.first, count, from.k, n, scratch.tile.groups);
    (fp8 ? kernels_.product_fp8 : kernels_.product_int8)(scratch.tile.groups, x, rows, k, n, acc);
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

/// Tiles [first_tile, last_tile) of gate and up. Few rows' tiles share what follows their products: one tile's would
/// stop the stream of weights for longer than it takes.
void CpuBackend::gate_up_tiles(const Op& op, std::uint32_t first_tile, std::uint32_t last_tile,
                               ThreadScratch& scratch) noexcept {
  const std::uint32_t at_once = std::max(1u, std::min(shared_tiles, row_block / input(op).rows));
  for (std::uint32_t tile = first_tile, end = tile; tile < last_tile; tile = end) {
    end = std::min(tile + at_once, last_tile);
    const auto [row, output_tile] = place_of(op, tile);
    const std::uint32_t count = std::min(row_block, input(op).rows - row);
    for (std::uint32_t t = 0; t < end - tile; ++t) {
      const std::uint32_t first = (output_tile + t) * tile_outputs;
      product({op.kind, first, row, count}, {op.weight, 2}, scratch, t * count * tile_outputs);
      const std::uint32_t n = std::min(tile_outputs, op.weight[0].rows - first);
      for (std::size_t m = 0; m < 2; ++m) {
        if (op.bias[m] == nullptr) continue;
        for (std::uint32_t r = 0; r < count; ++r) {
          float* y = scratch.acc[m] + (t * count + r) * tile_outputs;
          for (std::uint32_t i = 0; i < n; ++i) y[i] = y[i] + op.bias[m][first + i];
        }
      }
    }
    float* const h = scratch.acc[0];
    kernels_.swiglu(h, scratch.acc[1], std::size_t{end - tile} * count * tile_outputs, h);
    const std::uint32_t first = output_tile * tile_outputs;
    const std::uint32_t n = std::min((end - tile) * tile_outputs, op.weight[0].rows - first);
    for (std::uint32_t r = 0; r < count; ++r) {
      for (std::uint32_t i = 0; i < n; i += tile_outputs) {
        std::copy_n(h + (i / tile_outputs * count + r) * tile_outputs, std::min(tile_outputs, n - i),
                    wide_row(row + r) + first + i);
      }
    }
    for (std::uint32_t r = 0; r < count && quantizes_ffn(); r += panel_rows) {
      const Panel& panel = panels(OpKind::down)[(row + r) / panel_rows];
      const float* x[panel_rows];
      for (std::uint32_t i = 0; i < panel.rows; ++i) x[i] = wide_row(row + r + i) + first;
      strips_.quantize(x, first / 32, n / 32, panel);
    }
  }
}

void CpuBackend::product_tile(const Op& op, std::uint32_t tile, ThreadScratch& scratch) noexcept {
  const auto [row, output_tile] = place_of(op, tile);
  const std::uint32_t count = std::min(row_block, input(op).rows - row);
  std::uint32_t first = output_tile * tile_outputs;
  std::size_t offset = 0;  // of the matrix's outputs in a row
  std::size_t m = 0;
  for (; m < 2 && op.weight[m + 1] && first >= (op.weight[m].rows + tile_outputs - 1) / tile_outputs * tile_outputs;
       ++m) {
    first -= (op.weight[m].rows + tile_outputs - 1) / tile_outputs * tile_outputs;
    offset += op.weight[m].rows;
  }
  const WeightView& weight = op.weight[m];
  product({op.kind, first, row, count}, {&weight, 1}, scratch, 0);
  const std::uint32_t n = std::min(tile_outputs, weight.rows - first);
  for (std::uint32_t r = 0; r < count; ++r) {
    float* y = scratch.acc[0] + r * tile_outputs;
    if (op.bias[m] != nullptr) {
      for (std::uint32_t i = 0; i < n; ++i) y[i] = y[i] + op.bias[m][first + i];
    }
    if (op.kind == OpKind::project || op.kind == OpKind::down) {
      float* x = x_row(row + r) + first;
      for (std::uint32_t i = 0; i < n; ++i) x[i] = x[i] + y[i];
    } else {
      float* out = op.kind == OpKind::output ? at<float>(layout_.logits) + std::size_t{row + r} * shape_.vocab
                                             : qkv_row(row + r);
      std::copy_n(y, n, out + offset + first);
    }
  }
}

}  // namespace kinglet::ops

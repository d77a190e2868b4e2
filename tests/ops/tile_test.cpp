#include <cmath>
#include <memory>
#include <vector>

#include "ops/kernels/kernels.hpp"
#include "tests/catch.hpp"
#include "tests/quant/random.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using quant::Format;

namespace {

struct Matrix {
  Format format;
  std::uint32_t rows, cols;
  std::size_t row_bytes;
  std::vector<std::byte> data;
  std::vector<float> values;
};

Matrix random_matrix(Format format, std::uint32_t rows, std::uint32_t cols) {
  Matrix m{format, rows, cols, quant::format_bytes(format, cols), {}, {}};
  m.data = test::random_bytes(static_cast<std::uint64_t>(format) + 300, rows * m.row_bytes);
  m.values.resize(std::size_t{rows} * cols);
  quant::dequantize(format, m.data.data(), m.values.size(), m.values.data());
  return m;
}

bool same(float a, float b) { return a == b || (a != a && b != b); }

}  // namespace

TEST_CASE("a float tile holds the de-quantized weights, input by input") {
  const auto scratch = std::make_unique<Scratch>();
  const auto tile = std::make_unique<FloatTile>();
  for (std::uint8_t f = 0; f < quant::format_count; ++f) {
    const Matrix m = random_matrix(static_cast<Format>(f), 40, 768);
    const std::uint32_t n = quant::info(m.format).block == 256 ? 256 : quant::info(m.format).block == 32 ? 96 : 77;
    load_tile(m.format, m.data.data(), m.row_bytes, 33, 7, 512, n, *scratch, *tile);
    bool all = true;
    for (std::uint32_t i = 0; i < n; ++i) {
      for (std::uint32_t o = 0; o < tile_outputs; ++o) {
        all = all && same(tile->w[i][o], o < 7 ? m.values[(33 + o) * 768 + 512 + i] : 0.0f);
      }
    }
    INFO(quant::info(m.format).name);
    CHECK(all);
  }
}

TEST_CASE("a group tile holds integers and scales that give the same weights") {
  const auto tile = std::make_unique<GroupTile>();
  for (std::uint8_t f = static_cast<std::uint8_t>(Format::q4_0); f < quant::format_count; ++f) {
    const Matrix m = random_matrix(static_cast<Format>(f), 40, 768);
    load_tile(m.format, m.data.data(), m.row_bytes, 9, 31, 256, 256, *tile);
    INFO(quant::info(m.format).name);
    std::size_t wrong = 0;
    for (std::uint32_t i = 0; i < 256; ++i) {
      for (std::uint32_t o = 0; o < tile_outputs; ++o) {
        const double scaled = tile->w[i / 2][o][i % 2];
        double w = tile->d[i / 32][o] * scaled;
        double size = std::fabs(w);
        if (tile->has_min) {
          const double least = static_cast<double>(tile->dmin[i / 32][o]) * tile->min[i / 32][i % 32 / 16][o];
          w += least;
          size += std::fabs(least);
        }
        const double expected = o < 31 ? m.values[(9 + o) * 768 + 256 + i] : 0.0;
        if (std::isfinite(size) && std::isfinite(expected)) {
          // Three roundings to FP32 (subnormal ones included) apart from the exact value.
          if (std::fabs(w - expected) > 0x1p-22 * size + 0x1p-140) ++wrong;
        } else if ((std::fabs(w) < 3.4e38) != std::isfinite(expected)) {  // FP32 overflows before double does
          ++wrong;
        }
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("a group tile may start inside a block of 256") {
  const auto whole = std::make_unique<GroupTile>();
  const auto part = std::make_unique<GroupTile>();
  for (const Format format : {Format::q2_k, Format::q3_k, Format::q4_k, Format::q5_k, Format::q6_k}) {
    const Matrix m = random_matrix(format, 32, 512);
    load_tile(format, m.data.data(), m.row_bytes, 0, 32, 256, 256, *whole);
    load_tile(format, m.data.data(), m.row_bytes, 0, 32, 256 + 96, 64, *part);
    for (std::uint32_t i = 0; i < 32; ++i) {
      for (std::uint32_t o = 0; o < tile_outputs; ++o) {
        REQUIRE(part->w[i][o][0] == whole->w[48 + i][o][0]);
        REQUIRE(part->w[i][o][1] == whole->w[48 + i][o][1]);
      }
    }
    CHECK(same(part->d[1][5], whole->d[4][5]));
  }
}

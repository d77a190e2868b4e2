#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "ops/cpu_features.hpp"
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/packed.hpp"
#include "tests/catch.hpp"
#include "tests/ops/strip_sets.hpp"

using namespace kinglet;
using namespace kinglet::ops;

#if defined(__x86_64__)
namespace kinglet::ops::evex_vnni {
const StripKernels& strip_kernels() noexcept;  // packed_vnni_test.cpp
}
#endif

namespace {

/// The machine's, and one that packed_vnni_test.cpp makes.
std::vector<test::StripSet> sets() {
  std::vector<test::StripSet> all = test::strip_sets();
#if defined(__x86_64__)
  if (cpu_features().avx512) all.push_back({"avx2 with AVX-512's VNNI", evex_vnni::strip_kernels});
#endif
  return all;
}

/// An empty panel in memory that is aligned as it must be.
Panel aligned_panel(std::uint32_t rows, std::size_t cols, std::vector<std::byte>& memory) {
  memory.resize(panel_bytes(cols) + 64);
  void* at = memory.data();
  std::size_t space = memory.size();
  return make_panel(rows, cols, static_cast<std::byte*>(std::align(64, panel_bytes(cols), at, space)));
}

/// The same chains from the tiles that the plain products read.
std::vector<float> expected(quant::Format format, const std::vector<std::byte>& data, std::size_t rows,
                            std::size_t cols, std::vector<std::vector<float>>& x) {
  static GroupTile tile;
  const Kernels& plain = scalar::kernels();
  std::vector<float> out(x.size() * tile_outputs);
  for (std::size_t r = 0; r < x.size(); ++r) {
    std::vector<std::int16_t> q(cols);
    std::vector<float> d(cols / 32);
    std::vector<std::int32_t> sums(cols / 16);
    const ActivationRow row{x[r].data(), q.data(), nullptr, d.data(), sums.data()};
    plain.quantize_int8(row, cols);
    for (std::size_t k = 0; k < cols; k += tile_inputs) {
      const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(tile_inputs, cols - k));
      load_tile(format, data.data(), quant::format_bytes(format, cols), 0, static_cast<std::uint32_t>(rows),
                static_cast<std::uint32_t>(k), n, tile);
      plain.product_int8(tile, &row, 1, k, n, out.data() + r * tile_outputs);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("strips give the bits of the plain products, whatever the format, the rows and the instruction set") {
  using quant::Format;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (const Format format : {Format::q4_0, Format::q4_1, Format::q5_0, Format::q5_1, Format::q8_0, Format::q4_k,
                              Format::q5_k, Format::q6_k, Format::iq4_nl}) {
    const std::size_t block = quant::info(format).block;
    for (const std::size_t blocks : {1u, 3u, 8u, 9u, 21u}) {
      if (block == 256 && blocks > 3) continue;
      const std::size_t cols = block * blocks;
      for (const std::size_t rows : {1u, 7u, 16u}) {
        const std::size_t strips = 1 + (blocks + rows) % most_runs;
        const std::size_t bytes = strip_bytes(format, cols);
        std::vector<std::vector<std::byte>> data;
        std::vector<std::byte> packed(strips * bytes + 64);  // side by side, as in a matrix
        for (std::size_t s = 0; s < strips; ++s) {
          data.push_back(test::random_rows(format, rows, cols, random));
          pack_strip(format, data[s].data(), quant::format_bytes(format, cols), static_cast<std::uint32_t>(rows),
                     static_cast<std::uint32_t>(cols), packed.data() + s * bytes);
        }
        for (const std::uint32_t n : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 11u, 15u, 16u, 17u, 33u, 64u}) {
          std::vector<std::vector<float>> x(n, std::vector<float>(cols));
          std::vector<float*> pointers;
          for (auto& row : x) {
            for (float& v : row) v = normal(random);
            pointers.push_back(row.data());
          }
          std::vector<std::vector<float>> want;
          for (const auto& d : data) want.push_back(expected(format, d, rows, cols, x));
          for (const test::StripSet& set : sets()) {
            std::vector<std::vector<std::byte>> memory;
            std::vector<Panel> panels;
            for (std::uint32_t r = 0; r < n; r += panel_rows) {
              panels.push_back(aligned_panel(std::min(panel_rows, n - r), cols, memory.emplace_back()));
              set.strips().quantize(pointers.data() + r, 32, 0, cols / 32, panels.back());
            }
            for (const auto& products : {std::span(set.strips().product), std::span(set.strips().paired)}) {
              const StripKernels::Product product = products[static_cast<std::size_t>(format)];
              if (product == nullptr) continue;  // the set has no pairs
              float out[most_runs][64][out_stride];
              StripRun runs[most_runs];
              for (std::size_t s = 0; s < strips; ++s) runs[s] = {packed.data() + s * bytes, out[s]};
              product(runs, strips, cols, panels.data(), panels.size());
              for (std::size_t at = 0; at < strips * n; ++at) {
                const std::size_t s = at / n, r = at % n;
                INFO(set.name << " " << quant::info(format).name << " cols " << cols << " rows " << rows << " strip "
                              << s << " row " << r);
                REQUIRE(std::memcmp(out[s][r], want[s].data() + r * tile_outputs, rows * sizeof(float)) == 0);
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE("strips of Q6_K give the bits of the plain products where its sums are largest") {
  using quant::Format;
  constexpr std::size_t cols = 512, rows = 16, block = 210;  // ql[128], qh[64], int8 scale[16], FP16 d
  for (const int code : {0x00, 0xff}) {
    for (const int scale : {-128, 127}) {
      std::vector<std::byte> data(rows * cols / 256 * block);
      for (std::size_t at = 0; at < data.size(); at += block) {
        std::fill_n(data.begin() + static_cast<std::ptrdiff_t>(at), 192, static_cast<std::byte>(code));
        std::fill_n(data.begin() + static_cast<std::ptrdiff_t>(at) + 192, 16, static_cast<std::byte>(scale));
        data[at + 209] = std::byte{0x3c};
      }
      std::vector<std::byte> packed(strip_bytes(Format::q6_k, cols));
      pack_strip(Format::q6_k, data.data(), cols / 256 * block, rows, cols, packed.data());
      for (const std::uint32_t n : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 16u}) {
        std::vector<std::vector<float>> x(n, std::vector<float>(cols));
        std::vector<const float*> pointers;
        for (std::size_t r = 0; r < n; ++r) {
          for (std::size_t i = 0; i < cols; ++i) x[r][i] = r % 3 == 0 || (r % 3 == 1 && i % 32 < 16) ? 1.0f : -1.0f;
          pointers.push_back(x[r].data());
        }
        const std::vector<float> want = expected(Format::q6_k, data, rows, cols, x);
        for (const test::StripSet& set : sets()) {
          INFO(set.name << ", codes " << code << ", scales " << scale << ", " << n << " rows");
          std::vector<std::byte> memory;
          const Panel panel = aligned_panel(n, cols, memory);
          set.strips().quantize(pointers.data(), 32, 0, cols / 32, panel);
          float out[2][panel_rows][out_stride];
          const StripRun runs[2] = {{packed.data(), out[0]}, {packed.data(), out[1]}};
          set.strips().product[static_cast<std::size_t>(Format::q6_k)](runs, 2, cols, &panel, 1);
          for (std::size_t at = 0; at < 2 * n; ++at) {
            const float* got = out[at / n][at % n];
            REQUIRE(std::memcmp(got, want.data() + at % n * tile_outputs, rows * sizeof(float)) == 0);
          }
        }
      }
    }
  }
}

TEST_CASE("unpacking gives back the blocks that were packed, whatever the format and the rows") {
  std::mt19937 random(19);
  for (std::size_t f = 0; f < quant::format_count; ++f) {
    const auto format = static_cast<quant::Format>(f);
    if (strip_layout(format).codes == 0) continue;
    const quant::FormatInfo& info = quant::info(format);
    for (const std::size_t blocks : {1u, 3u, 8u, 9u, 21u}) {
      const auto cols = static_cast<std::uint32_t>(info.block * blocks);
      const std::size_t row_bytes = quant::format_bytes(format, cols);
      for (const std::uint32_t rows : {1u, 7u, 16u}) {
        INFO(info.name << " cols " << cols << " rows " << rows);
        std::vector<std::byte> data(rows * row_bytes);
        for (std::byte& b : data) b = static_cast<std::byte>(random());
        std::vector<std::byte> strip(strip_bytes(format, cols), std::byte{0xa5});
        pack_strip(format, data.data(), row_bytes, rows, cols, strip.data());
        for (std::uint32_t r = 0; r < strip_rows; ++r) {
          std::vector<std::byte> back;
          for (std::uint32_t k = 0; k < cols; k += 256) {
            const std::uint32_t n = std::min(256u, cols - k);
            std::byte block[most_block_bytes];
            unpack_columns(format, strip.data(), r, k, n, block);
            back.insert(back.end(), block, block + quant::format_bytes(format, n));
          }
          if (r < rows) REQUIRE(std::memcmp(back.data(), data.data() + r * row_bytes, row_bytes) == 0);
        }
      }
    }
  }
}

TEST_CASE("a row comes out of a matrix of strips with the bits that it has in the file") {
  std::mt19937 random(23);
  const quant::Format format = quant::Format::q4_k;
  constexpr std::uint32_t rows = 33, cols = 768;
  const auto data = test::random_rows(format, rows, cols, random);
  const std::size_t row_bytes = quant::format_bytes(format, cols), strip = strip_bytes(format, cols);
  std::vector<std::byte> strips(3 * 2 * strip);  // those of two matrices take turns
  for (std::uint32_t i = 0; i < 3; ++i) {
    pack_strip(format, data.data() + 16 * i * row_bytes, row_bytes, std::min(16u, rows - 16 * i), cols,
               strips.data() + (2 * i + 1) * strip);
  }
  const WeightView plain{format, rows, cols, row_bytes, data.data(), WeightLayout::rows};
  const WeightView packed{format, rows, cols, 2 * strip, strips.data() + strip, WeightLayout::packed};
  for (std::uint32_t r = 0; r < rows; ++r) {
    std::vector<float> want(cols), got(cols);
    dequantize_row(plain, r, want.data());
    dequantize_row(packed, r, got.data());
    CHECK(std::memcmp(want.data(), got.data(), cols * sizeof(float)) == 0);
  }
}

TEST_CASE("a strip takes the bytes of its rows in the file") {
  for (std::size_t f = 0; f < quant::format_count; ++f) {
    const auto format = static_cast<quant::Format>(f);
    if (strip_layout(format).codes == 0) continue;
    CHECK(strip_bytes(format, 512) == strip_rows * quant::format_bytes(format, 512));
  }
}

TEST_CASE("a panel holds each row as the plain form has it, also where a number is not one") {
  constexpr std::size_t cols = 96;
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> x(panel_rows, std::vector<float>(cols));
  for (auto& row : x) {
    for (float& v : row) v = normal(random) * std::ldexp(1.0f, static_cast<int>(random() % 60) - 30);
  }
  std::fill_n(x[1].begin(), 32, 0.0f);
  std::fill_n(x[2].begin(), 32, -1e-39f);
  x[3][5] = nan, x[4][40] = -nan, x[5][17] = inf, x[6][70] = -inf, x[7][0] = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < 32; ++i) x[8][i] = static_cast<float>(i) - 15.5f;  // ties, once scaled by 1
  x[8][31] = 127.0f;
  for (const test::StripSet& set : sets()) {
    INFO(set.name);
    for (std::uint32_t n = 1; n <= panel_rows; ++n) {
      float* rows[panel_rows];
      for (std::uint32_t r = 0; r < n; ++r) rows[r] = x[r].data();
      std::vector<std::byte> memory;
      const Panel panel = aligned_panel(n, cols, memory);
      set.strips().quantize(rows, 32, 0, 1, panel);
      std::vector<float> apart(std::size_t{cols} * n);  // the other groups as tiles of outputs have them: [group][row]
      for (std::uint32_t r = 0; r < n; ++r) {
        for (std::size_t k = 32; k < cols; ++k) apart[(k / 32 * n + r) * 32 + k % 32] = x[r][k];
        rows[r] = apart.data() + (n + r) * 32;
      }
      set.strips().quantize(rows, 32 * n, 1, cols / 32 - 1, panel);
      REQUIRE(panel.rows == n);
      for (std::uint32_t r = 0; r < n; ++r) {
        std::int16_t q[cols];
        float d[cols / 32];
        std::int32_t sums[cols / 16];
        scalar::kernels().quantize_int8({x[r].data(), q, nullptr, d, sums}, cols);
        for (std::size_t g = 0; g < cols / 32; ++g) {
          const std::size_t i = g * n + r;
          CHECK(std::memcmp(panel.d + i, d + g, sizeof(float)) == 0);
          CHECK(std::equal(q + 32 * g, q + 32 * g + 32, panel.q + 32 * i));
          CHECK(panel.zero[i] == -8 * (sums[2 * g] + sums[2 * g + 1]));
          CHECK(panel.halves[2 * i] == -32 * sums[2 * g]);
          CHECK(panel.halves[2 * i + 1] == -32 * sums[2 * g + 1]);
          CHECK(panel.minus_sums[2 * i] == -sums[2 * g]);
          CHECK(panel.minus_sums[2 * i + 1] == -sums[2 * g + 1]);
          CHECK(panel.sum[i] == static_cast<float>(sums[2 * g] + sums[2 * g + 1]));
        }
      }
    }
  }
}

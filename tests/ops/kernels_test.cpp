#include "ops/kernels/kernels.hpp"

#include <cmath>

#include <kinglet/core/math.hpp>

#include "tests/catch.hpp"
#include "tests/ops/kernel_inputs.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using test::Random;

namespace {

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

quant::Format format_of(std::size_t i) { return static_cast<quant::Format>(i); }

}  // namespace

TEST_CASE("every instruction set gives the scalar loops' bits: norms, quantization, swiglu, rotations") {
  const auto sets = test::kernel_sets();
  const auto expected = test::run_small(*sets[0].kernels);
  for (const auto& set : sets) {
    const auto got = test::run_small(*set.kernels);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      INFO(set.name << " " << expected[i].name);
      CHECK(same_bits(got[i].bytes, expected[i].bytes));
    }
  }
}

TEST_CASE("every instruction set gives the scalar loops' bits: products of all formats") {
  const auto sets = test::kernel_sets();
  for (std::size_t f = 0; f < quant::format_count; ++f) {
    const auto expected = test::run_products(*sets[0].kernels, format_of(f));
    for (const auto& set : sets) {
      const auto got = test::run_products(*set.kernels, format_of(f));
      for (std::size_t i = 0; i < expected.size(); ++i) {
        INFO(set.name << " " << expected[i].name);
        CHECK(same_bits(got[i].acc, expected[i].acc));
      }
    }
  }
}

TEST_CASE("every instruction set gives the scalar loops' bits: attention") {
  const auto sets = test::kernel_sets();
  for (const test::AttentionCase& c : test::attention_cases()) {
    const auto data = test::make_attention(c);
    const auto expected = test::run_attention(*sets[0].kernels, c, data);
    for (const auto& set : sets) {
      INFO(set.name << " head_dim " << c.head_dim << " from " << c.first_position << " queries " << c.queries
                    << " window " << c.window << " globals " << c.globals);
      CHECK(same_bits(test::run_attention(*set.kernels, c, data), expected));
    }
  }
}

TEST_CASE("norm, swiglu and rotations against FP64") {
  const Kernels& k = scalar::kernels();
  Random random{11};
  for (const std::size_t n : {1u, 7u, 33u, 576u, 2000u}) {
    const auto x = test::normals(random, n, 5.0f), w = test::normals(random, n), g = test::normals(random, n, 10.0f);
    std::vector<float> y(n), h(n);
    CHECK(k.norm(x.data(), w.data(), 1e-5f, n, y.data()));
    k.swiglu(g.data(), x.data(), n, h.data());
    double squares = 0.0;
    for (const float v : x) squares += static_cast<double>(v) * v;
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(1e-5f));
    double worst = 0.0, worst_silu = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const double exact = static_cast<double>(x[i]) * r * w[i];
      worst = std::max(worst, std::fabs(y[i] - exact) / (std::fabs(exact) + 1e-30));
      const double silu = g[i] / (1.0 + std::exp(-static_cast<double>(g[i]))) * x[i];
      worst_silu = std::max(worst_silu, std::fabs(h[i] - silu) / (std::fabs(silu) + 1e-30));
    }
    CHECK(worst < 5e-7);
    CHECK(worst_silu < 5e-7);
  }
  float head[] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
  const float cos[] = {0.0f, 1.0f}, sin[] = {1.0f, 0.0f};
  k.rotate_interleaved(head, cos, sin, 2);  // the first pair by a quarter, the fifth channel not at all
  CHECK(std::vector<float>(head, head + 5) == std::vector<float>{-2.0f, 1.0f, 3.0f, 4.0f, 5.0f});
  k.rotate_halves(head, cos, sin, 2);  // pairs (0, 2) and (1, 3)
  CHECK(std::vector<float>(head, head + 5) == std::vector<float>{-3.0f, 1.0f, -2.0f, 4.0f, 5.0f});
}

TEST_CASE("norm says when the sum of squares is not finite") {
  for (const auto& set : test::kernel_sets()) {
    std::vector<float> x(40, 1.0f), w(40, 1.0f), y(40);
    CHECK(set.kernels->norm(x.data(), w.data(), 0.0f, 40, y.data()));
    for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e20f}) {
      for (const std::size_t at : {0u, 17u, 39u}) {
        x.assign(40, 1.0f);
        x[at] = bad;
        CHECK_FALSE(set.kernels->norm(x.data(), w.data(), 0.0f, 40, y.data()));
      }
    }
  }
}

TEST_CASE("INT8 activations are within half a step, FP8 within a sixteenth") {
  const Kernels& k = scalar::kernels();
  Random random{12};
  test::OwnedRow row(test::normals(random, 576, 7.0f));
  k.quantize_int8(row.view(), 576);
  for (std::size_t i = 0; i < 576; ++i) {
    REQUIRE(std::abs(row.q[i]) <= 127);
    REQUIRE(std::fabs(row.values[i] - row.q[i] * row.d[i / 32]) <= 0.5001f * row.d[i / 32]);
  }
  for (std::size_t h = 0; h < 36; ++h) {
    int sum = 0;
    for (std::size_t i = 0; i < 16; ++i) sum += row.q[16 * h + i];
    REQUIRE(row.sums[h] == sum);
  }
  k.quantize_fp8(row.view(), 576);
  for (std::size_t i = 0; i < 576; ++i) {
    const float scale = row.d[i / 128];
    const float step = std::max(std::fabs(row.values[i]) / 16.0f, scale * 0.5f);
    REQUIRE(std::fabs(row.values[i] - static_cast<float>(row.code(i)) * scale) <= step * 1.001f);
  }
}

TEST_CASE("a NaN or an infinity in a row of activations is still one after the product") {
  for (const auto& set : test::kernel_sets()) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Random random{13};
      const auto data = test::random_blocks(quant::Format::q4_0, 32 * 64, random);
      const auto tile = std::make_unique<GroupTile>();
      load_tile(quant::Format::q4_0, data.data(), 36, 0, 32, 0, 64, *tile);
      test::OwnedRow row(test::normals(random, 64));
      row.values[40] = bad;
      const ActivationRow x = row.view();
      std::vector<float> acc(tile_outputs), kahan(2 * tile_outputs);
      set.kernels->quantize_int8(x, 64);
      set.kernels->product_int8(*tile, &x, 1, 0, 64, acc.data());
      set.kernels->quantize_fp8(x, 64);
      set.kernels->product_fp8(*tile, &x, 1, 0, 64, kahan.data());
      for (std::size_t o = 0; o < tile_outputs; ++o) {
        INFO(set.name);
        REQUIRE_FALSE(std::isfinite(acc[o]));
        REQUIRE_FALSE(std::isfinite(kahan[o]));
      }
    }
  }
}

TEST_CASE("products against FP64") {
  const Kernels& k = scalar::kernels();
  const auto tile = std::make_unique<GroupTile>();
  const auto floats = std::make_unique<FloatTile>();
  const auto scratch = std::make_unique<Scratch>();
  for (std::size_t f = 0; f < quant::format_count; ++f) {
    const quant::Format format = format_of(f);
    const std::size_t cols = 512;
    Random random{f + 40};
    const auto data = test::random_blocks(format, tile_outputs * cols, random);
    std::vector<float> w(tile_outputs * cols);
    quant::dequantize(format, data.data(), w.size(), w.data());
    test::OwnedRow row(test::normals(random, cols));
    const ActivationRow x = row.view();
    std::vector<float> fp32(tile_outputs), int8(tile_outputs), fp8(2 * tile_outputs), kept(row.values);
    const bool plain = f < static_cast<std::size_t>(quant::Format::q4_0);
    const auto each = [&](auto run) {
      for (std::uint32_t at = 0; at < cols; at += tile_inputs) run(at);
    };
    const std::size_t bytes = quant::format_bytes(format, cols);
    each([&](std::uint32_t at) {
      load_tile(format, data.data(), bytes, 0, tile_outputs, at, tile_inputs, *scratch, *floats);
      k.product_fp32(*floats, &x, 1, at, tile_inputs, fp32.data());
    });
    std::vector<double> rounded8(cols), rounded_fp8(cols);
    if (!plain) {
      k.quantize_int8(x, cols);
      for (std::size_t i = 0; i < cols; ++i) rounded8[i] = static_cast<double>(row.q[i]) * row.d[i / 32];
      each([&](std::uint32_t at) {
        load_tile(format, data.data(), bytes, 0, tile_outputs, at, tile_inputs, *tile);
        k.product_int8(*tile, &x, 1, at, tile_inputs, int8.data());
      });
      k.quantize_fp8(x, cols);
      for (std::size_t i = 0; i < cols; ++i) rounded_fp8[i] = static_cast<double>(row.code(i)) * row.d[i / 128];
      each([&](std::uint32_t at) {
        load_tile(format, data.data(), bytes, 0, tile_outputs, at, tile_inputs, *tile);
        k.product_fp8(*tile, &x, 1, at, tile_inputs, fp8.data());
      });
    }
    double worst = 0.0;
    for (std::size_t o = 0; o < tile_outputs; ++o) {
      double exact = 0.0, exact8 = 0.0, exact_fp8 = 0.0, size = 0.0;
      for (std::size_t i = 0; i < cols; ++i) {
        const double weight = w[o * cols + i];
        exact += weight * static_cast<double>(kept[i]);
        exact8 += weight * rounded8[i];
        exact_fp8 += weight * rounded_fp8[i];
        size += std::fabs(weight * static_cast<double>(kept[i]));
      }
      worst = std::max(worst, std::fabs(fp32[o] - exact) / size);
      if (plain) continue;
      worst = std::max(worst, std::fabs(int8[o] - exact8) / size);
      worst = std::max(worst, std::fabs(fp8[o] - exact_fp8) / size);
    }
    INFO(quant::info(format).name);
    CHECK(worst < 1e-6);
  }
}

TEST_CASE("products of the largest FP8 codes and weights are exact in every instruction set") {
  constexpr std::size_t cols = 256, most_rows = 7;
  const auto tile = std::make_unique<GroupTile>();
  for (std::size_t g = 0; g < cols / 32; ++g) {
    for (std::size_t o = 0; o < tile_outputs; ++o) {
      tile->d[g][o] = 0x1p-12f;
      tile->dmin[g][o] = -0x1p-12f;
      tile->min[g][0][o] = tile->min[g][1][o] = 63;
      for (std::size_t i = 16 * g; i < 16 * g + 16; ++i) {
        tile->w[i][o][0] = tile->w[i][o][1] = static_cast<std::int16_t>(o % 2 != 0 ? -4096 : 4064);
      }
    }
  }
  tile->has_min = true;
  std::vector<test::OwnedRow> rows;
  for (std::size_t r = 0; r < most_rows; ++r) {
    std::vector<float> values(cols, r % 2 != 0 ? -448.0f : 448.0f);
    for (std::size_t i = r; i < cols; i += most_rows) values[i] = 0.46875f;  // a code of lower parts alone: 240
    rows.emplace_back(std::move(values));
  }
  for (const auto& set : test::kernel_sets()) {
    INFO(set.name);
    std::vector<ActivationRow> x;
    for (test::OwnedRow& row : rows) {
      x.push_back(row.view());
      set.kernels->quantize_fp8(x.back(), cols);
    }
    for (const std::size_t count : {std::size_t{1}, std::size_t{4}, most_rows}) {
      std::vector<float> acc(2 * most_rows * tile_outputs);
      set.kernels->product_fp8(*tile, x.data(), count, 0, cols, acc.data());
      for (std::size_t r = 0; r < count; ++r) {
        for (std::size_t o = 0; o < tile_outputs; ++o) {
          float sum = 0.0f, lost = 0.0f;  // as docs/numbers.md has it
          for (std::size_t b = 0; b < cols / 128; ++b) {
            float chain = 0.0f;
            for (std::size_t g = 4 * b; g < 4 * b + 4; ++g) {
              std::int64_t all = 0;
              for (std::size_t i = 32 * g; i < 32 * g + 32; ++i) all += rows[r].code(i);
              const double products = static_cast<double>(all) * tile->w[16 * g][o][0];
              chain = std::fma(static_cast<float>(products), 0x1p-12f, chain);
              chain = std::fma(static_cast<float>(63.0 * static_cast<double>(all)), -0x1p-12f, chain);
            }
            const float y = chain * rows[r].d[b] - lost, u = sum + y;
            lost = (u - sum) - y;
            sum = u;
          }
          REQUIRE(acc[2 * r * tile_outputs + o] == sum);
          REQUIRE(acc[(2 * r + 1) * tile_outputs + o] == lost);
        }
      }
    }
  }
}

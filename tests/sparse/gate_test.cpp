#include <algorithm>
#include <cmath>
#include <kinglet/sparse/gate.hpp>
#include <limits>
#include <numeric>
#include <vector>

#include "tests/catch.hpp"
#include "tests/random.hpp"

using namespace kinglet::sparse;
using kinglet::test::Random;

TEST_CASE("a row keeps the channels that matter", "[sparse][gate]") {
  const std::vector<float> weights{1, -2, 0, 4,  //
                                   3, 2,  0, -4};
  std::vector<float> importance(4);
  column_importance(weights, 2, importance);
  CHECK(importance == std::vector<float>{2, 2, 0, 4});

  std::vector<float> x{1, -3, 9, 0.25f};  // scores 2, 6, 0, 1
  CHECK(gate_row(x, importance, 0.5f) == 2);
  CHECK(x == std::vector<float>{1, -3, 0, 0});

  std::vector<std::uint16_t> kept(4);
  CHECK(select_channels(std::vector<float>{1, -3, 9, 0.25f}, importance, 1.5f, kept) == 2);
  CHECK(kept[0] == 0);
  CHECK(kept[1] == 1);

  auto scores = importance;
  const float threshold = calibrate_threshold(scores, 0.75f);
  CHECK(threshold == 2.0f);
  std::vector<std::uint64_t> mask(1);
  CHECK(neuron_mask(importance, threshold, mask) == 1);
  CHECK(mask[0] == 0b1000);
}

TEST_CASE("gate_row drops what a stable sort puts first", "[sparse][gate]") {
  for (std::size_t n : {1u, 7u, 31u, 33u, 576u, 1536u}) {
    for (std::uint64_t trial = 0; trial < 60; ++trial) {
      Random random{trial * 77 + n};
      std::vector<float> x(n), importance(n);
      for (std::size_t k = 0; k < n; ++k) {
        // Small integers make ties; others span the whole range of FP32, subnormals and signed zeros included.
        x[k] = trial % 3 == 0
                   ? static_cast<float>(random.below(4)) - 1.5f
                   : std::ldexp(random.uniform(), static_cast<int>(random.below(trial % 3 == 1 ? 4 : 250)) - 140);
        if (random.below(9) == 0) x[k] = -0.0f;
        importance[k] = trial % 3 == 0 ? 1.0f : std::fabs(random.normal());
      }
      const float share = static_cast<float>(random.below(101)) / 100.0f;
      std::vector<std::size_t> order(n);
      std::iota(order.begin(), order.end(), 0u);
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::fabs(x[a]) * importance[a] < std::fabs(x[b]) * importance[b];
      });
      const auto drop = static_cast<std::size_t>(std::floor(share * static_cast<float>(n)));
      auto expected = x;
      for (std::size_t i = 0; i < drop; ++i) expected[order[i]] = 0.0f;
      CHECK(gate_row(x, importance, share) == drop);
      bool same = true;
      for (std::size_t k = 0; k < n; ++k)
        same = same && x[k] == expected[k] && std::signbit(x[k]) == std::signbit(expected[k]);
      CHECK(same);
    }
  }
}

TEST_CASE("shares at and past the ends, empty rows and numbers that are none", "[sparse][gate]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> ones(5, 1.0f);
  std::vector<float> x{1, nan, -1, 2, std::numeric_limits<float>::infinity()};
  for (float share : {0.0f, -1.0f, nan, 0.19f}) CHECK(gate_row(x, ones, share) == 0);
  CHECK(gate_row(x, ones, 0.8f) == 4);  // the NaN is the one that stays: a broken row must not look whole
  CHECK(std::isnan(x[1]));
  CHECK(x[4] == 0.0f);
  CHECK(gate_row(x, ones, 1.0f) == 5);
  CHECK(gate_row(x, ones, 7.0f) == 5);
  CHECK(x == std::vector<float>(5, 0.0f));
  CHECK(gate_row({}, {}, 0.5f) == 0);
  CHECK(calibrate_threshold({}, 0.5f) == 0.0f);
}

TEST_CASE("importance equals an FP64 mean", "[sparse][gate]") {
  for (std::size_t columns : {1u, 7u, 31u, 33u}) {
    const std::size_t rows = 300;
    Random random{columns};
    std::vector<float> w(rows * columns), importance(columns);
    for (float& v : w) v = random.normal();
    column_importance(w, rows, importance);
    for (std::size_t k = 0; k < columns; ++k) {
      double sum = 0;
      for (std::size_t r = 0; r < rows; ++r) sum += std::fabs(static_cast<double>(w[r * columns + k]));
      CHECK(importance[k] == Approx(sum / static_cast<double>(rows)).epsilon(1e-5));
    }
  }
}

TEST_CASE("a calibrated threshold drops the wanted share, per row and as a mask", "[sparse][gate]") {
  for (std::size_t n : {7u, 31u, 33u, 640u}) {
    for (float share : {0.0f, 0.25f, 0.5f, 0.9f, 1.0f}) {
      Random random{n};
      std::vector<float> x(n), importance(n), scores(n);
      for (std::size_t k = 0; k < n; ++k) {
        x[k] = random.normal();
        importance[k] = std::fabs(random.normal());
        scores[k] = std::fabs(x[k]) * importance[k];
      }
      const auto drop = static_cast<std::size_t>(share * static_cast<float>(n));
      const float threshold = calibrate_threshold(scores, share);
      std::vector<std::uint16_t> kept(n);
      const std::size_t count = select_channels(x, importance, threshold, kept);
      CHECK(count == n - drop);
      CHECK(std::is_sorted(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(count)));
      // The same rule as gate_row's, where no two scores are equal.
      auto row = x;
      CHECK(gate_row(row, importance, share) == drop);
      for (std::size_t i = 0; i < count; ++i) CHECK(row[kept[i]] == x[kept[i]]);

      auto copy = importance;
      std::vector<std::uint64_t> mask((n + 63) / 64, ~std::uint64_t{0});
      CHECK(neuron_mask(importance, calibrate_threshold(copy, share), mask) == n - drop);
      std::size_t bits = 0;
      for (std::uint64_t word : mask) bits += static_cast<std::size_t>(__builtin_popcountll(word));
      CHECK(bits == n - drop);
    }
  }
}

#include <cmath>
#include <kinglet/core/memory.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/sparse/csr.hpp>
#include <limits>
#include <vector>

#include "tests/catch.hpp"
#include "tests/random.hpp"

using kinglet::Errc;
using kinglet::sparse::CsrFormat;
using kinglet::sparse::CsrMatrix;
using kinglet::test::Random;

namespace {

std::vector<float> random_matrix(std::size_t n, double sparsity, std::uint64_t seed) {
  Random random{seed};
  std::vector<float> w(n);
  for (float& v : w) {
    v = random.normal();
    if (random.below(1000000) < sparsity * 1000000) v = 0.0f;
  }
  return w;
}

}  // namespace

TEST_CASE("a sparse matrix, stored and multiplied", "[sparse][csr]") {
  const std::vector<float> w{0, 2, 0, 0,  //
                             1, 0, 0, -3};
  auto csr = CsrMatrix::from_dense(w, 2, 4, CsrFormat::fp16, std::pmr::get_default_resource());
  REQUIRE(csr);
  CHECK(csr->nonzeros() == 3);
  std::vector<float> back(8), y(2);
  REQUIRE(csr->to_dense(back));
  CHECK(back == w);
  REQUIRE(csr->multiply(std::vector<float>{1, 10, 100, 1000}, 1, y));
  CHECK(y == std::vector<float>{20, -2999});
}

TEST_CASE("products agree with FP64, one row and many, and every row with itself", "[sparse][csr]") {
  for (CsrFormat format : {CsrFormat::fp16, CsrFormat::int4}) {
    for (std::size_t rows : {1u, 7u, 33u}) {
      for (std::size_t cols : {1u, 7u, 31u, 33u, 576u}) {
        for (double sparsity : {0.0, 0.5, 0.9, 1.0}) {
          const auto w = random_matrix(rows * cols, sparsity, rows * 1000 + cols);
          auto csr = CsrMatrix::from_dense(w, rows, cols, format, std::pmr::get_default_resource());
          REQUIRE(csr);
          if (sparsity == 1.0) CHECK(csr->nonzeros() == 0);
          std::vector<float> stored(rows * cols);
          REQUIRE(csr->to_dense(stored));
          constexpr std::size_t n = 11;
          const auto x = random_matrix(n * cols, 0.0, 5);
          std::vector<float> y(n * rows), alone(rows);
          REQUIRE(csr->multiply(x, n, y));
          double error = 0, size = 0;
          for (std::size_t j = 0; j < n; ++j) {
            for (std::size_t r = 0; r < rows; ++r) {
              double sum = 0;
              for (std::size_t k = 0; k < cols; ++k) {
                sum += static_cast<double>(stored[r * cols + k]) * static_cast<double>(x[j * cols + k]);
              }
              error = std::max(error, std::fabs(static_cast<double>(y[j * rows + r]) - sum));
              size = std::max(size, std::fabs(sum));
            }
            REQUIRE(csr->multiply(std::span(x).subspan(j * cols, cols), 1, alone));
            for (std::size_t r = 0; r < rows; ++r) REQUIRE(alone[r] == y[j * rows + r]);
          }
          CHECK(error <= 2e-6 * size * std::sqrt(static_cast<double>(cols)));
        }
      }
    }
  }
}

TEST_CASE("what is stored is what the format can say, and zeros stay zeros", "[sparse][csr]") {
  for (double sparsity : {0.0, 0.5, 0.9}) {
    const std::size_t rows = 9, cols = 333;
    const auto w = random_matrix(rows * cols, sparsity, 3);
    std::vector<float> back(w.size());
    auto fp16 = CsrMatrix::from_dense(w, rows, cols, CsrFormat::fp16, std::pmr::get_default_resource());
    REQUIRE(fp16->to_dense(back));
    for (std::size_t i = 0; i < w.size(); ++i) {
      REQUIRE(back[i] == kinglet::core::fp16_to_float(kinglet::core::float_to_fp16(w[i])));
    }
    auto int4 = CsrMatrix::from_dense(w, rows, cols, CsrFormat::int4, std::pmr::get_default_resource());
    REQUIRE(int4->to_dense(back));
    for (std::size_t r = 0; r < rows;
         ++r) {  // groups of 32 non-zeros of a row: half a step of error, a whole one at +8
      std::vector<std::size_t> at;
      for (std::size_t k = 0; k < cols; ++k) {
        if (w[r * cols + k] != 0.0f) {
          at.push_back(r * cols + k);
        } else {
          REQUIRE(back[r * cols + k] == 0.0f);
        }
      }
      for (std::size_t g = 0; g < at.size(); g += 32) {
        float largest = 0;
        for (std::size_t i = g; i < std::min(g + 32, at.size()); ++i) {
          if (std::fabs(w[at[i]]) > std::fabs(largest)) largest = w[at[i]];
        }
        const float step = std::fabs(largest) / 8.0f;
        for (std::size_t i = g; i < std::min(g + 32, at.size()); ++i) {
          const bool other_side = (w[at[i]] < 0) != (largest < 0);
          REQUIRE(std::fabs(back[at[i]] - w[at[i]]) <= step * (other_side ? 1.0f : 0.5f) * 1.01f + 1e-3f * step);
        }
      }
    }
  }
}

TEST_CASE("bytes are exact, and fewer than dense where the header says so", "[sparse][csr]") {
  kinglet::core::Memory memory;
  const auto bytes = [&](CsrFormat format, double sparsity) {
    const auto w = random_matrix(64 * 1024, sparsity, 8);
    auto csr = CsrMatrix::from_dense(w, 64, 1024, format, &memory);
    REQUIRE(csr);
    CHECK(memory.used() == csr->bytes());
    return static_cast<double>(csr->bytes()) / static_cast<double>(csr->dense_bytes());
  };
  CHECK(bytes(CsrFormat::fp16, 0.45) > 1.0);
  CHECK(bytes(CsrFormat::fp16, 0.55) < 1.0);
  CHECK(bytes(CsrFormat::int4, 0.75) > 1.0);
  CHECK(bytes(CsrFormat::int4, 0.82) < 1.0);
  CHECK(bytes(CsrFormat::int4, 0.95) < 0.25);
  CHECK(memory.used() == 0);
}

TEST_CASE("the widest matrix, tiny numbers, and what is refused", "[sparse][csr]") {
  auto memory = std::pmr::get_default_resource();
  std::vector<float> wide(65536, 0.0f), y(1);
  wide[65535] = 1.0f;
  for (CsrFormat format : {CsrFormat::fp16, CsrFormat::int4}) {
    auto csr = CsrMatrix::from_dense(wide, 1, 65536, format, memory);
    REQUIRE(csr);
    REQUIRE(csr->multiply(wide, 1, y));
    CHECK(y[0] == 1.0f);
    CHECK(CsrMatrix::from_dense(std::vector<float>(65537), 1, 65537, format, memory).error().code ==
          Errc::invalid_argument);

    const std::vector<float> tiny{1e-30f, -1e-40f, 0.0f};  // below FP16: stored, as zeros
    csr = CsrMatrix::from_dense(tiny, 1, 3, format, memory);
    std::vector<float> back(3, 1.0f);
    REQUIRE(csr->to_dense(back));
    for (float v : back) CHECK(v == 0.0f);

    for (float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e6f}) {
      const auto refused = CsrMatrix::from_dense(std::vector<float>{1, 2, 3, bad}, 2, 2, format, memory);
      CHECK(refused.error().code == Errc::invalid_argument);
      CHECK(std::string(refused.error().message).find("row 1, column 1") != std::string::npos);
    }
    const std::vector<float> w(6, 1.0f);
    CHECK_FALSE(CsrMatrix::from_dense(w, 2, 2, format, memory));
    CHECK_FALSE(CsrMatrix::from_dense(w, 0, 6, format, memory));
    CHECK_FALSE(CsrMatrix::from_dense(w, 6, 0, format, memory));
    CHECK_FALSE(CsrMatrix::from_dense(w, std::size_t{1} << 63, 2, format, memory));
    auto small = CsrMatrix::from_dense(w, 2, 3, format, memory);
    CHECK(small->to_dense(back).error().code == Errc::invalid_argument);
    CHECK(small->multiply(w, 1, y).error().code == Errc::invalid_argument);
    CHECK(small->multiply({}, std::size_t{1} << 63, y).error().code == Errc::invalid_argument);
    for (std::size_t limit = 1; limit < small->bytes(); limit += 5) {
      kinglet::core::Memory tight({}, limit);
      CHECK(CsrMatrix::from_dense(w, 2, 3, format, &tight).error().code == Errc::out_of_memory);
      CHECK(tight.used() == 0);
    }
    CsrMatrix moved = std::move(*small);
    CHECK(small->rows() == 0);
    CHECK(small->multiply({}, 0, {}).ok());
    CHECK(moved.rows() == 2);
  }
}

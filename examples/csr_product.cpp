// examples/csr_product.cpp: from which sparsity on does the CSR store pay?
//
// A random matrix is pruned by magnitude, stored as CSR in FP16 and INT4, and multiplied with four rows at once.
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include <kinglet/sparse/csr.hpp>
#include <kinglet/sparse/gate.hpp>

int main() {
  using kinglet::sparse::CsrFormat;
  using kinglet::sparse::CsrMatrix;
  constexpr std::size_t rows = 256, cols = 512, n = 4;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> w(rows * cols), x(n * cols), y(n * rows);
  for (float& v : w) v = normal(random);
  for (float& v : x) v = normal(random);

  std::printf("%u x %u, %u rows of activations; error against the pruned matrix in FP64\n\n",
              static_cast<unsigned>(rows), static_cast<unsigned>(cols), static_cast<unsigned>(n));
  std::printf("sparsity  values  CSR bytes  of dense  error\n");
  for (float sparsity : {0.0f, 0.5f, 0.8f, 0.95f}) {
    std::vector<float> pruned = w, sizes(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) sizes[i] = std::fabs(w[i]);
    const float threshold = kinglet::sparse::calibrate_threshold(sizes, sparsity);
    for (float& v : pruned) v = std::fabs(v) > threshold ? v : 0.0f;

    for (CsrFormat format : {CsrFormat::fp16, CsrFormat::int4}) {
      auto csr = CsrMatrix::from_dense(pruned, rows, cols, format, std::pmr::get_default_resource());
      if (!csr) {
        std::fprintf(stderr, "csr_product: %s\n", csr.error().message);
        return 1;
      }
      if (const auto status = csr->multiply(x, n, y); !status) {
        std::fprintf(stderr, "csr_product: %s\n", status.error().message);
        return 1;
      }
      double difference = 0.0, size = 0.0;
      for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t r = 0; r < rows; ++r) {
          double right = 0.0;
          for (std::size_t k = 0; k < cols; ++k) {
            right += static_cast<double>(pruned[r * cols + k]) * static_cast<double>(x[j * cols + k]);
          }
          difference += std::pow(static_cast<double>(y[j * rows + r]) - right, 2);
          size += right * right;
        }
      }
      std::printf("%6.0f %%  %6s  %9u  %6.0f %%  %.2f %%\n", static_cast<double>(sparsity) * 100.0,
                  format == CsrFormat::fp16 ? "FP16" : "INT4", static_cast<unsigned>(csr->bytes()),
                  100.0 * static_cast<double>(csr->bytes()) / static_cast<double>(csr->dense_bytes()),
                  100.0 * std::sqrt(difference / size));
    }
  }
  return 0;
}

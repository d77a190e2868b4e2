// tests/bench/products_bench.cpp: what do the products over strips reach by themselves, on one core?
//
//   products_bench [FORMAT] [MIB] [COLUMNS]     FORMAT: Q4_0 ...; MIB: of weights, more than the caches hold by default
//
// Every set of kernels of this machine in turn (plain C++ where there is no other), for 1 to 64 rows; the best of seven
// rounds of each, and the limits of `kinglet bench` between them. A round reads at least 32 MiB, the same ones again
// where they fit a cache. Kernels that go over two strips in turn get them from both halves of the weights.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "core/huge_pages.hpp"
#include "examples/cli/limits.hpp"
#include "tests/ops/strip_sets.hpp"

namespace {

using namespace kinglet;
using Clock = std::chrono::steady_clock;

struct Freed {
  void operator()(std::byte* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<std::byte, Freed>;

constexpr std::uint32_t most_rows = 64;
constexpr std::size_t large_page = std::size_t{1} << 21;
Buffer make_buffer(std::size_t bytes) {
  const std::size_t whole = (bytes + large_page - 1) / large_page * large_page;
  Buffer buffer(static_cast<std::byte*>(std::aligned_alloc(large_page, whole)));
  if (!buffer) std::exit(1);
  core::prefer_huge_pages(buffer.get(), whole);
  std::memset(buffer.get(), 0, whole);
  return buffer;
}

/// One matrix in strips, and rows of activations in panels.
class Work {
 public:
  Work(quant::Format format, std::size_t bytes, std::uint32_t cols)
      : format_(format),
        cols_(cols),
        strip_(ops::strip_bytes(format, cols)),
        strips_(std::max<std::size_t>(bytes / strip_, ops::most_runs) / ops::most_runs * ops::most_runs),
        passes_(std::max<std::size_t>((std::size_t{32} << 20) / (strips_ * strip_), 1)),
        weights_(make_buffer(strips_ * strip_)),
        panels_(make_buffer(most_rows / ops::panel_rows * ops::panel_bytes(cols))) {
    std::mt19937 random(1);
    const std::vector<std::byte> rows = test::random_rows(format, ops::strip_rows, cols, random);
    ops::pack_strip(format, rows.data(), quant::format_bytes(format, cols), ops::strip_rows, cols, weights_.get());
    for (std::size_t s = 1; s < strips_; ++s) std::memcpy(weights_.get() + s * strip_, weights_.get(), strip_);
  }

  double bytes() const { return static_cast<double>(strips_ * strip_); }
  double operations(std::uint32_t rows) const {
    return 2.0 * rows * static_cast<double>(strips_) * ops::strip_rows * cols_;
  }

  /// @param rows  up to most_rows
  /// @return seconds of a product of all strips and `rows` rows
  double run(const ops::StripKernels& kernels, std::uint32_t rows) {
    std::vector<ops::Panel> panels;
    std::vector<float> x(cols_);
    for (std::size_t i = 0; i < cols_; ++i) x[i] = static_cast<float>(i % 61) / 30.0f - 1.0f;
    const std::vector<const float*> same(ops::panel_rows, x.data());
    for (std::uint32_t r = 0; r < rows; r += ops::panel_rows) {
      panels.push_back(ops::make_panel(std::min(ops::panel_rows, rows - r), cols_,
                                       panels_.get() + panels.size() * ops::panel_bytes(cols_)));
      kernels.quantize(same.data(), 32, 0, cols_ / 32, panels.back());
    }
    const bool paired = rows <= kernels.pairs.rows && cols_ >= kernels.pairs.cols;
    const auto product = (paired ? kernels.paired : kernels.product)[static_cast<std::size_t>(format_)];
    const auto start = Clock::now();
    for (std::size_t pass = 0; pass < passes_; ++pass) {
      for (std::size_t s = 0; s < strips_; s += ops::most_runs) {
        ops::StripRun runs[ops::most_runs];
        for (std::size_t i = 0; i < ops::most_runs; ++i) {
          const std::size_t half = ops::most_runs / 2;
          const std::size_t at = paired ? s / 2 + i % half + i / half * (strips_ / 2) : s + i;
          runs[i] = {weights_.get() + at * strip_, out_[i]};
        }
        product(runs, ops::most_runs, cols_, panels.data(), panels.size());
      }
    }
    return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(passes_);
  }

 private:
  quant::Format format_;
  std::uint32_t cols_;
  std::size_t strip_, strips_, passes_;
  Buffer weights_, panels_;
  alignas(64) float out_[ops::most_runs][most_rows][ops::out_stride] = {};
};

quant::Format find_format(std::string_view name) {
  for (std::size_t i = 0; i < quant::format_count; ++i) {
    const auto format = static_cast<quant::Format>(i);
    if (ops::strip_layout(format).codes != 0 && name == quant::info(format).name) return format;
  }
  std::fprintf(stderr, "products_bench: no strips of '%.*s'\n", static_cast<int>(name.size()), name.data());
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  const quant::Format format = find_format(argc > 1 ? argv[1] : "Q4_0");
  const long mib = argc > 2 ? std::atol(argv[2]) : 128, cols = argc > 3 ? std::atol(argv[3]) : 2048;
  if (mib < 1 || mib > 16384 || cols < 256 || cols > 65536 || cols % 256 != 0) {
    std::fprintf(stderr, "products_bench [FORMAT] [MIB, 1 to 16384] [COLUMNS, a multiple of 256 up to 65536]\n");
    return 2;
  }
  const auto work =
      std::make_unique<Work>(format, static_cast<std::size_t>(mib) << 20, static_cast<std::uint32_t>(cols));
  std::vector<test::StripSet> sets = test::strip_sets();
  if (sets.size() > 1) sets.erase(sets.begin());
  const auto best_backend = ops::find_backend("");
  cli::LimitGauge gauge(best_backend ? (*best_backend)->name : "scalar", 1, static_cast<std::size_t>(work->bytes()));
  cli::Limits limits = gauge.measure();
  std::printf("%s, %.0f MiB, %ld columns\n%-32s %5s %8s %8s\n", quant::info(format).name, work->bytes() / 1048576, cols,
              "kernels", "rows", "GB/s", "GOP/s");
  for (const std::uint32_t rows : {1u, 2u, 4u, 8u, 16u, most_rows}) {
    std::vector<double> best(sets.size(), 1e30);
    for (int round = 0; round < 7; ++round) {
      for (std::size_t i = 0; i < sets.size(); ++i) best[i] = std::min(best[i], work->run(sets[i].strips(), rows));
    }
    limits = cli::best_of(limits, gauge.measure());
    for (std::size_t i = 0; i < sets.size(); ++i) {
      std::printf("%-32s %5u %8.2f %8.0f\n", sets[i].name, rows, work->bytes() / best[i] * 1e-9,
                  work->operations(rows) / best[i] * 1e-9);
    }
  }
  std::printf("limits: read %.1f GB/s, dot products %.0f GOP/s (%s), in groups of 32 %.0f\n", limits.read_gb_per_s,
              limits.vnni_gops, gauge.instruction(), limits.vnni_group32_gops);
  return 0;
}

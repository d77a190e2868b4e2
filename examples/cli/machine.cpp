#include "machine.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

namespace kinglet::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// Four sums, so that additions wait for memory and not for each other.
std::uint64_t sum(const std::uint64_t* words, std::size_t n) {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
  std::uint64_t d = 0;
  for (std::size_t i = 0; i + 4 <= n; i += 4) {
    a += words[i];
    b += words[i + 1];
    c += words[i + 2];
    d += words[i + 3];
  }
  return a + b + c + d;
}

}  // namespace

double read_gb_per_s(unsigned threads, std::size_t bytes) {
  constexpr int passes = 5;
  const std::size_t words = bytes / sizeof(std::uint64_t);
  const std::size_t part = words / threads;
  std::vector<std::uint64_t> buffer(words, 1);
  std::atomic<std::uint64_t> keep{0};
  double best = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const Clock::time_point start = Clock::now();
    std::vector<std::thread> readers;
    for (unsigned t = 1; t < threads; ++t)
      readers.emplace_back([&, t] { keep += sum(buffer.data() + t * part, part); });
    keep += sum(buffer.data(), part);
    for (std::thread& reader : readers) reader.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(part * threads * sizeof(std::uint64_t)) / seconds * 1e-9);
  }
  return keep.load() != 0 ? best : 0.0;
}

std::uint64_t peak_rss_bytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = std::ceil(share * static_cast<double>(values.size())) - 1;
  return values[static_cast<std::size_t>(std::clamp(at, 0.0, static_cast<double>(values.size() - 1)))];
}

std::vector<double> spin_times(std::chrono::nanoseconds budget, std::size_t times) {
  std::vector<double> seen(times);
  for (double& time : seen) {
    const Clock::time_point start = Clock::now();
    Clock::time_point now = start;
    while (now - start < budget) now = Clock::now();
    time = std::chrono::duration<double, std::milli>(now - start).count();
  }
  return seen;
}

}  // namespace kinglet::cli

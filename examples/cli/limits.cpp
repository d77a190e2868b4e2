// examples/cli/limits.cpp: what can this machine give at most, measured now?
#include "limits.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <new>
#include <thread>
#include <vector>

#include "limit_loops.hpp"

namespace kinglet::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int passes = 5;
constexpr std::size_t slack = 8192;  ///< behind the buffer, for what is fetched ahead
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr double pass_seconds = 0.01;
constexpr std::size_t least_bytes = std::size_t{32} << 20;  ///< that each thread reads in a pass

/// From when the first of the threads begins until the last one is done, in seconds; the threads begin together.
/// @param body  called with the thread's number; gives a value that is kept
double timed(unsigned threads, const std::function<std::uint64_t(unsigned)>& body) {
  std::atomic<unsigned> ready{0};
  std::atomic<std::uint64_t> keep{0};
  std::vector<Clock::time_point> begin(threads);
  std::vector<Clock::time_point> end(threads);
  const auto work = [&](unsigned thread) {
    ready.fetch_add(1);
    while (ready.load() < threads) {
      if (threads > std::thread::hardware_concurrency()) std::this_thread::yield();
    }
    begin[thread] = Clock::now();
    keep.fetch_xor(body(thread));
    end[thread] = Clock::now();
  };
  std::vector<std::thread> others;
  for (unsigned t = 1; t < threads; ++t) others.emplace_back(work, t);
  work(0);
  for (std::thread& other : others) other.join();
  const auto first = *std::min_element(begin.begin(), begin.end());
  const auto last = *std::max_element(end.begin(), end.end());
  return std::chrono::duration<double>(last - first).count();
}

/// Billions of operations a second of all threads together, in the best of some passes.
double rate_of(unsigned threads, const ComputeLoop& loop, int count) {
  constexpr std::uint64_t few = 20000;
  const double once = timed(1, [&](unsigned) { return loop.run(few); });
  const auto rounds = static_cast<std::uint64_t>(std::max(1.0, few * pass_seconds / std::max(once, 1e-7)));
  double best = 0;
  for (int pass = 0; pass < count; ++pass) {
    const double seconds = timed(threads, [&](unsigned) { return loop.run(rounds); });
    best = std::max(best, static_cast<double>(rounds) * loop.operations * threads / seconds * 1e-9);
  }
  return best;
}

/// The same of the fastest loop, whose number goes to `fastest`.
double best_rate(unsigned threads, std::span<const ComputeLoop> loops, std::size_t& fastest) {
  double best = 0;
  for (std::size_t i = 0; i < loops.size(); ++i) {
    const double rate = rate_of(threads, loops[i], passes);
    if (rate > best) fastest = i;
    best = std::max(best, rate);
  }
  return best;
}

}  // namespace

Limits best_of(const Limits& a, const Limits& b) {
  return {std::max(a.read_gb_per_s, b.read_gb_per_s), std::max(a.vnni_gops, b.vnni_gops),
          std::max(a.vnni_group32_gops, b.vnni_group32_gops), std::max(a.fp32_gflops, b.fp32_gflops)};
}

void LimitGauge::Unmap::operator()(std::byte* memory) const { munmap(memory, bytes); }

LimitGauge::LimitGauge(std::string backend, unsigned threads, std::size_t bytes)
    : backend_(std::move(backend)),
      threads_(threads),
      part_(std::max(bytes / threads / read_step, std::size_t{1}) * read_step),
      mapping_(nullptr, Unmap{0}) {}

LimitGauge::~LimitGauge() = default;

const char* LimitGauge::instruction() const { return limit_loops(backend_).instruction; }

double LimitGauge::read_pass(std::size_t loop, std::size_t times) {
  const ReadLoop read = limit_loops(backend_).read[loop];
  const double seconds = timed(threads_, [&](unsigned t) {
    std::uint64_t keep = 0;
    for (std::size_t i = 0; i < times; ++i) keep += read(buffer_ + t * part_, part_);
    return keep;
  });
  return static_cast<double>(part_) * static_cast<double>(times) * threads_ / seconds * 1e-9;
}

void LimitGauge::make_buffer() {
  const std::size_t bytes = (part_ * threads_ + slack + huge_page - 1) / huge_page * huge_page;
  void* memory = mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mapping_ = {static_cast<std::byte*>(memory), Unmap{bytes + huge_page}};
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  buffer_ = mapping_.get() + (huge_page - address % huge_page) % huge_page;
#if defined(MADV_HUGEPAGE)
  madvise(buffer_, bytes, MADV_HUGEPAGE);  // a wish: where it is refused, reading is a little slower
#endif
  // Written by those who will read it: pages that were never written are all the same one.
  timed(threads_, [&](unsigned t) {
    std::fill_n(buffer_ + t * part_, part_, std::byte{1});
    return 1;
  });
}

Limits LimitGauge::measure() {
  if (backend_ == "cuda") return {};
  const LimitLoops loops = limit_loops(backend_);
  if (buffer_ == nullptr) make_buffer();
  Limits limits;
  // A buffer that takes no time is read over and over: the start of a pass must not count.
  const std::size_t times = std::max(std::size_t{1}, least_bytes / part_);
  for (int pass = 0; pass < passes; ++pass) {  // loops in turn, as the bandwidth may change meanwhile
    for (std::size_t loop = 0; loop < loops.read.size(); ++loop) {
      const double rate = read_pass(loop, times);
      if (rate > limits.read_gb_per_s) fastest_read_ = loop;
      limits.read_gb_per_s = std::max(limits.read_gb_per_s, rate);
    }
  }
  limits.vnni_gops = best_rate(threads_, loops.dot, fastest_dot_);
  limits.vnni_group32_gops = std::min(best_rate(threads_, loops.group32, fastest_group32_), limits.vnni_gops);
  std::size_t fastest = 0;
  limits.fp32_gflops = best_rate(threads_, loops.fp32, fastest);
  return limits;
}

double LimitGauge::read_now(std::size_t times) {
  if (buffer_ == nullptr) make_buffer();
  return read_pass(fastest_read_, std::max(std::size_t{1}, times));
}

Limits LimitGauge::integers_now() {
  const LimitLoops loops = limit_loops(backend_);
  Limits limits;
  limits.vnni_gops = rate_of(threads_, loops.dot[fastest_dot_], 1);
  limits.vnni_group32_gops = std::min(rate_of(threads_, loops.group32[fastest_group32_], 1), limits.vnni_gops);
  return limits;
}

}  // namespace kinglet::cli

// The words of cuda/device.cuh that make threads wait for parts of a block, for copies and for matrices.
#include <numeric>
#include <vector>

#include "tests/catch.hpp"
#include "tests/emulator/device.hpp"

using namespace kinglet;
using cuda::View;

namespace {

struct Numbers {
  View<const std::uint32_t> in;
  View<std::uint32_t> out;
};

/// Two pairs of warps, each with a named barrier: the halves of a pair turn each other's part around. By number, with a
/// fault.
template <int Fault>
struct Pairs {
  using Args = Numbers;
  static constexpr unsigned max_threads = 128;
  template <class Thread>
  static void run(const Thread& t, const Args& a) {
    const auto in = t.global(a.in);
    const auto out = t.global(a.out);
    const auto part = t.template shared<std::uint32_t>(0, 128);
    const unsigned i = t.thread(), pair = i / 64;
    part[i] = in[i];
    if constexpr (Fault == 1) {  // a barrier for each warp alone
      t.sync_group(1 + i / 32, 32);
    } else if constexpr (Fault != 2) {
      t.sync_group(1 + pair, 64);
    }
    const unsigned from = Fault == 3 ? 127 - i : 64 * pair + 63 - i % 64;  // 3: of the other pair
    out[i] = part[from];
    if constexpr (Fault != 4) t.sync_group(1 + pair, 64);
    part[i] = 7;  // 4: which may still be read
    t.sync();
    if constexpr (Fault == 5) t.sync_group(i < 64 ? 1 : 2, 128);  // each waits for the other half
    if constexpr (Fault == 6) t.sync_group(16, 64);
    if constexpr (Fault == 0) t.sync_group(2 - pair, 64);  // after a barrier of the block, in any other group
  }
};

/// Copies of 16 bytes in two groups. By number, with a fault.
template <int Fault>
struct Copies {
  using Args = Numbers;
  static constexpr unsigned max_threads = 32;
  template <class Thread>
  static void run(const Thread& t, const Args& a) {
    const auto in = t.global(a.in);
    const auto out = t.global(a.out);
    const auto part = t.template shared<std::uint32_t>(0, 256);
    const unsigned i = t.thread();
    const unsigned at = Fault == 1 ? 4 * i + 2 : 4 * i;  // 1: no multiple of 16 bytes
    t.template copy_async<4>(part, at, in, 4 * i);
    t.commit_copies();
    t.template copy_async<4>(part, 128 + at, in, 128 + 4 * i);
    if constexpr (Fault != 2) t.commit_copies();  // 2: a group that is not closed is not waited for
    if constexpr (Fault != 3) t.template wait_copies<1>();
    for (unsigned k = 0; k < 4; ++k) out[4 * i + k] = part[at + k];
    if constexpr (Fault != 4) t.template wait_copies<0>();
    if constexpr (Fault == 5) {  // a thread waits for its own copies alone
      out[128 + i] = part[128 + (4 * i + 4) % 128];
    } else {
      for (unsigned k = 0; k < 4; ++k) out[128 + 4 * i + k] = part[128 + at + k];
    }
  }
};

/// A warp loads four matrices, and adds up.
struct Matrices {
  using Args = Numbers;
  static constexpr unsigned max_threads = 32;
  template <class Thread>
  static void run(const Thread& t, const Args& a) {
    const auto in = t.global(a.in);
    const auto out = t.global(a.out);
    const auto part = t.template shared<std::uint16_t>(0, 256);
    const unsigned lane = t.thread();
    for (unsigned k = 0; k < 8; ++k) part[8 * lane + k] = static_cast<std::uint16_t>(in[8 * lane + k]);
    t.sync_warp();
    std::uint32_t r[4];
    t.load_matrices(r, part, 8 * lane);
    for (unsigned m = 0; m < 4; ++m) out[4 * lane + m] = r[m];
    out[128 + lane] = t.reduce_add(lane * lane);
    out[160 + lane] = t.reduce_max(lane ^ 21u);
  }
};

/// A sum and a least of a block's words. By number, with a fault.
template <int Fault>
struct Sums {
  using Args = Numbers;
  static constexpr unsigned max_threads = 96;
  template <class Thread>
  static void run(const Thread& t, const Args& a) {
    const auto in = t.global(a.in);
    const auto out = t.global(a.out);
    const auto part = t.template shared<std::uint32_t>(0, max_threads);
    const unsigned i = t.thread(), other = max_threads - 1 - i;
    part[i] = in[i];
    if (Fault == 1 && i >= 32) return;  // a warp alone
    std::uint64_t total = 0;
    const std::uint64_t word = std::uint64_t{in[i]} << 40;
    constexpr unsigned threads = Fault == 2 ? 64 : max_threads;
    const std::uint64_t before = t.template block_scan<threads>(word, total);
    out[i] = part[other];
    out[max_threads + i] = static_cast<std::uint32_t>(before >> 40);
    if constexpr (Fault == 3) part[i] = 7;  // which may still be read
    const std::uint64_t least = t.template block_least<max_threads>((std::uint64_t{in[other]} << 33) + i);
    part[i] = 7;
    if (i != 0) return;
    out[192] = static_cast<std::uint32_t>(total >> 40);
    out[193] = static_cast<std::uint32_t>(least >> 33);
    out[194] = static_cast<std::uint32_t>(least);
  }
};

struct Run {
  std::string reports;
  std::vector<std::uint32_t> out;
};

/// In three orders of the threads, which all have to find the fault, or none.
template <class Kernel>
Run run(std::uint32_t threads) {
  Run result;
  for (const auto order : {emulator::Order::ascending, emulator::Order::descending, emulator::Order::shuffled}) {
    emulator::Device device;
    device.order = order;
    std::vector<std::uint32_t> numbers(256);
    std::iota(numbers.begin(), numbers.end(), 100u);
    auto* const in = static_cast<std::uint32_t*>(device.allocate(1024));
    auto* const out = static_cast<std::uint32_t*>(device.allocate(1024));
    device.write(in, numbers.data(), 1024);
    const std::vector<std::uint32_t> zeros(256);
    device.write(out, zeros.data(), 1024);
    device.launch<Kernel>("words", {{1, 1, 1}, threads, 1024}, {{in, 256}, {out, 256}});
    Run now{device.reports.text(), std::vector<std::uint32_t>(256)};
    device.read(now.out.data(), out, 1024);
    if (order != emulator::Order::ascending) {
      CHECK(now.reports.empty() == result.reports.empty());
      if (now.reports.empty()) CHECK(now.out == result.out);
    }
    result = now;
  }
  return result;
}

bool has(const Run& run, const char* what) { return run.reports.find(what) != std::string::npos; }

}  // namespace

TEST_CASE("named barriers make parts of a block wait, and order their memory alone") {
  const Run right = run<Pairs<0>>(128);
  CHECK(right.reports == "");
  for (std::uint32_t i = 0; i < 128; ++i) CHECK(right.out[i] == 100 + i / 64 * 64 + 63 - i % 64);
  CHECK(has(run<Pairs<1>>(128), "race"));
  CHECK(has(run<Pairs<2>>(128), "race"));
  CHECK(has(run<Pairs<3>>(128), "race"));
  CHECK(has(run<Pairs<4>>(128), "race: write of what another thread reads"));
  CHECK(has(run<Pairs<5>>(128), "deadlock"));
  CHECK(has(run<Pairs<6>>(128), "named barrier: 16 of 64 threads is none"));
}

TEST_CASE("asynchronous copies arrive when they are waited for") {
  const Run right = run<Copies<0>>(32);
  CHECK(right.reports == "");
  for (std::uint32_t i = 0; i < 256; ++i) CHECK(right.out[i] == 100 + i);
  CHECK(has(run<Copies<1>>(32), "misaligned"));
  CHECK(has(run<Copies<2>>(32), "uninitialised memory is read"));
  CHECK(has(run<Copies<3>>(32), "uninitialised memory is read"));
  CHECK(has(run<Copies<4>>(32), "uninitialised memory is read"));
  CHECK(has(run<Copies<5>>(32), "race: read of what another thread writes"));
}

TEST_CASE("matrices of 16 bits and sums of a warp") {
  const Run got = run<Matrices>(32);
  CHECK(got.reports == "");
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t m = 0; m < 4; ++m) {
      const std::uint32_t first = 100 + 64 * m + 8 * (lane / 4) + 2 * (lane % 4);
      CHECK(got.out[4 * lane + m] == (first | (first + 1) << 16));
    }
    CHECK(got.out[128 + lane] == 31 * 32 * 63 / 6);
    CHECK(got.out[160 + lane] == 31);
  }
}

TEST_CASE("a sum and a least of a block's words, which begin with a barrier") {
  const Run right = run<Sums<0>>(96);
  CHECK(right.reports == "");
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i < 96; ++i) {
    CHECK(right.out[i] == 195 - i);
    CHECK(right.out[96 + i] == sum);
    sum += 100 + i;
  }
  CHECK(right.out[192] == sum);
  CHECK(right.out[193] == 100);
  CHECK(right.out[194] == 95);
  CHECK(has(run<Sums<1>>(96), "missing barrier"));
  CHECK(has(run<Sums<2>>(96), "a word of 64 threads in a block of 96"));
  CHECK(has(run<Sums<3>>(96), "race: write of what another thread reads"));
}

#include "tests/emulator/device.hpp"

#include <numeric>

#include "tests/catch.hpp"
#include "tests/emulator/lent.hpp"

using namespace kinglet;
using cuda::View;

namespace {

struct Numbers {
  View<const std::int32_t> in;
  View<std::int32_t> out;
};

/// Each block turns its part of an array around.
struct Reverse {
  using Args = Numbers;
  static constexpr unsigned max_threads = 1024;
  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const auto in = t.global(a.in);
    const auto out = t.global(a.out);
    const auto part = t.template shared<std::int32_t>(0, t.threads());
    const std::size_t base = t.block(0) * t.threads();
    part[t.thread()] = in[base + t.thread()];
    t.sync();
    out[base + t.thread()] = part[t.threads() - 1 - t.thread()];
  }
};

/// A kernel with one fault, by number.
template <int Fault>
struct Faulty {
  using Args = Numbers;
  static constexpr unsigned max_threads = 1024;
  template <class Thread>
  static void run(const Thread& t, const Args& a) {
    const auto in = t.global(a.in);
    const auto out = t.global(a.out);
    const auto part = t.template shared<std::int32_t>(0, 64);
    const unsigned i = t.thread();
    const std::int32_t x = in[i];
    if constexpr (Fault == 0) {  // no barrier between the write and the neighbour's read
      part[i] = x;
      out[i] = part[i ^ 1];
    } else if constexpr (Fault == 1) {  // two threads, one element
      out[i / 2] = x;
    } else if constexpr (Fault == 2) {  // one past the end
      out[i + 1] = x;
    } else if constexpr (Fault == 3) {  // not all threads come to the barrier
      if (i < 32) return;
      t.sync();
      out[i] = x;
    } else if constexpr (Fault == 4) {  // shared memory that nobody wrote
      out[i] = part[i];
    } else if constexpr (Fault == 5) {  // a warp's barrier does not reach the other warp
      part[i] = x;
      t.sync_warp();
      out[i] = part[63 - i];
    } else if constexpr (Fault == 6) {  // the second write of an array that others may still read
      part[i] = x;
      t.sync();
      out[i] = part[63 - i];
      part[i] = x + 1;
    } else if constexpr (Fault == 7) {  // half a warp shuffles, half waits for the block
      if (i % 2 == 0) {
        out[i] = t.shuffle(x, 0);
      } else {
        t.sync();
      }
    } else if constexpr (Fault == 8) {  // blocks write the same element
      if (i == 0) out[0] = x;
    } else {  // before the start
      out[i - 1] = x;
    }
  }
};

struct Bench {
  explicit Bench(std::size_t n) : count(n) {
    std::vector<std::int32_t> numbers(n);
    std::iota(numbers.begin(), numbers.end(), 0);
    args.in = {static_cast<std::int32_t*>(device.allocate(n * 4)), n};
    args.out = {static_cast<std::int32_t*>(device.allocate(n * 4)), n};
    device.write(const_cast<std::int32_t*>(args.in.data), numbers.data(), n * 4);
  }
  std::size_t count;
  emulator::Device device;
  Numbers args;
};

template <int Fault>
std::string fault(std::uint32_t blocks = 1) {
  std::string all[3];
  for (const auto order : {emulator::Order::ascending, emulator::Order::descending, emulator::Order::shuffled}) {
    Bench bench(64);
    bench.device.order = order;
    bench.device.launch<Faulty<Fault>>("faulty", {{blocks, 1, 1}, 64, 256}, bench.args);
    all[static_cast<int>(order)] = bench.device.reports.text();
    if (all[static_cast<int>(order)].empty()) return "an order of the fibers hid the fault";
  }
  return all[0];
}

bool has(const std::string& text, const char* what) { return text.find(what) != std::string::npos; }

}  // namespace

TEST_CASE("a kernel runs, whatever the order of its threads") {
  for (const auto order : {emulator::Order::ascending, emulator::Order::descending, emulator::Order::shuffled}) {
    Bench bench(3 * 96);
    bench.device.order = order;
    bench.device.launch<Reverse>("reverse", {{3, 1, 1}, 96, 96 * 4}, bench.args);
    CHECK(bench.device.reports.text() == "");
    std::vector<std::int32_t> out(bench.count);
    REQUIRE(bench.device.read(out.data(), bench.args.out.data, out.size() * 4));
    for (std::size_t i = 0; i < out.size(); ++i) CHECK(out[i] == static_cast<std::int32_t>(i / 96 * 96 + 95 - i % 96));
  }
}

TEST_CASE("kernels read memory of the host where it is lent, and nowhere else") {
  constexpr std::size_t n = 64;
  struct alignas(4096) Pages {
    std::int32_t numbers[n];
  };
  const auto pages = std::make_unique<Pages>();
  std::iota(pages->numbers, pages->numbers + n, 0);
  Bench bench(n);
  emulator::LentMemory lent(bench.device);
  const auto reports = [&](const void* in) {
    bench.device.reports = {};
    bench.args.in = {static_cast<const std::int32_t*>(in), n};
    bench.device.launch<Reverse>("reverse", {{1, 1, 1}, n, n * 4}, bench.args);
    return bench.device.reports.text();
  };
  CHECK(has(reports(pages.get()), "out of bounds"));
  REQUIRE(lent.lend(pages.get(), sizeof pages->numbers));
  CHECK_FALSE(lent.lend(pages->numbers + 4, 16));  // some of it is
  CHECK(bench.device.allocations() == 2);
  const auto* const at = static_cast<const std::byte*>(lent.address(pages.get()));
  CHECK(reports(at) == "");
  CHECK(has(reports(at + 4), "out of bounds"));
  CHECK(has(reports(pages.get()), "out of bounds"));  // not at the host's address
  CHECK(lent.give_back(pages.get()));
  CHECK_FALSE(lent.give_back(pages.get()));
  CHECK(has(reports(at), "out of bounds"));
  REQUIRE(lent.lend(pages.get(), sizeof pages->numbers));
  bench.device.reports = {};
  pages->numbers[3] = 0;
  CHECK(lent.give_back(pages.get()));
  CHECK(has(bench.device.reports.text(), "not what it was"));
}

TEST_CASE("planted faults are found") {
  CHECK(has(fault<0>(), "race"));
  CHECK(has(fault<1>(), "race: two threads write"));
  CHECK(has(fault<2>(), "out of bounds"));
  CHECK(has(fault<3>(), "missing barrier"));
  CHECK(has(fault<4>(), "uninitialised"));
  CHECK(has(fault<5>(), "race"));
  CHECK(has(fault<6>(), "race: write of what another thread reads"));
  CHECK(has(fault<7>(), "deadlock"));
  CHECK(has(fault<8>(2), "race: two threads write"));
  CHECK(has(fault<9>(), "out of bounds"));
}

namespace {

struct Atomics {
  using Args = Numbers;
  static constexpr unsigned max_threads = 1024;
  template <class Thread>
  static void run(const Thread& t, const Args& a) {
    const auto in = t.global(a.in);
    const auto out = t.global(a.out);
    t.atomic_add(out, 0, static_cast<std::int32_t>(in[t.thread()]));
    const std::uint32_t odd = t.ballot(t.thread() % 2 == 1);
    if (t.thread() == 0) out[1] = static_cast<std::int32_t>(odd);
    const std::uint32_t most = t.reduce_max(t.thread());
    if (t.thread() == 33) out[2] = static_cast<std::int32_t>(most);
    const std::int32_t sum = cuda::half_warp_sum(t, static_cast<std::int32_t>(t.thread()));
    if (t.thread() == 17) out[3] = sum;
  }
};

struct Matrices {
  View<const std::uint32_t> a, b;
  View<std::int32_t> c;
};
struct Multiply {
  using Args = Matrices;
  static constexpr unsigned max_threads = 32;
  template <class Thread>
  static void run(const Thread& t, const Args& m) {
    const auto a = t.global(m.a);
    const auto b = t.global(m.b);
    const auto c = t.global(m.c);
    const unsigned g = t.thread() / 4, part = t.thread() % 4;
    // a is [16][32] bytes, b is [8 columns][32 rows] bytes
    const std::uint32_t wa[4] = {a[8 * g + part], a[8 * (g + 8) + part], a[8 * g + 4 + part],
                                 a[8 * (g + 8) + 4 + part]};
    const std::uint32_t wb[2] = {b[8 * g + part], b[8 * g + 4 + part]};
    std::int32_t sum[4] = {};
    t.mma(sum, wa, wb);
    for (unsigned i = 0; i < 4; ++i) c[8 * (g + 8 * (i / 2)) + 2 * part + i % 2] = sum[i];
  }
};

/// c[16][8] = a[16][16] * b[16][8] of FP16; b lies with its columns as rows.
struct MultiplyHalves {
  struct Args {
    cuda::View<const std::uint32_t> a, b;  // words of two
    cuda::View<float> c;
  };
  static constexpr unsigned max_threads = 32;
  template <class Thread>
  static void run(const Thread& t, const Args& args) {
    const auto a = t.global(args.a), b = t.global(args.b);
    const auto c = t.global(args.c);
    const unsigned g = t.thread() / 4, part = t.thread() % 4;
    const std::uint32_t wa[4] = {a[8 * g + part], a[8 * (g + 8) + part], a[8 * g + 4 + part],
                                 a[8 * (g + 8) + 4 + part]};
    const std::uint32_t wb[2] = {b[8 * g + part], b[8 * g + 4 + part]};
    float sum[4] = {};
    t.mma_halves(sum, wa, wb);
    for (unsigned i = 0; i < 4; ++i) c[8 * (g + 8 * (i / 2)) + 2 * part + i % 2] = sum[i];
  }
};

}  // namespace

TEST_CASE("atomics, votes and reductions") {
  Bench bench(64);
  const std::int32_t zero = 0;
  bench.device.write(bench.args.out.data, &zero, 4);
  bench.device.launch<Atomics>("atomics", {{1, 1, 1}, 64, 0}, bench.args);
  CHECK(bench.device.reports.text() == "");
  std::int32_t out[4];
  bench.device.read(out, bench.args.out.data, sizeof out);
  CHECK(out[0] == 63 * 64 / 2);
  CHECK(static_cast<std::uint32_t>(out[1]) == 0xaaaaaaaau);
  CHECK(out[2] == 63);
  CHECK(out[3] == 16 * 16 + 15 * 16 / 2);
}

TEST_CASE("mma of signed bytes is the matrix product") {
  emulator::Device device;
  std::int8_t a[16][32], b[8][32];
  std::uint32_t seed = 7;
  const auto next = [&] { return static_cast<std::int8_t>((seed = seed * 1664525u + 1013904223u) >> 24); };
  for (auto& row : a)
    for (auto& x : row) x = next();
  for (auto& row : b)
    for (auto& x : row) x = next();
  auto* da = static_cast<std::uint32_t*>(device.allocate(sizeof a));
  auto* db = static_cast<std::uint32_t*>(device.allocate(sizeof b));
  auto* dc = static_cast<std::int32_t*>(device.allocate(16 * 8 * 4));
  device.write(da, a, sizeof a);
  device.write(db, b, sizeof b);
  device.launch<Multiply>("multiply", {{1, 1, 1}, 32, 0}, {{da, 128}, {db, 64}, {dc, 128}});
  CHECK(device.reports.text() == "");
  std::int32_t c[16][8];
  device.read(c, dc, sizeof c);
  for (int r = 0; r < 16; ++r) {
    for (int n = 0; n < 8; ++n) {
      std::int32_t sum = 0;
      for (int k = 0; k < 32; ++k) sum += a[r][k] * b[n][k];
      CHECK(c[r][n] == sum);
    }
  }
}

TEST_CASE("mma of FP16 is the matrix product") {
  emulator::Device device;
  int a[16][16], b[8][16];
  std::uint16_t ha[16][16], hb[8][16];
  std::uint32_t seed = 7;
  const auto fill = [&](auto& values, auto& halves) {
    for (std::size_t r = 0; r < std::size(values); ++r) {
      for (std::size_t k = 0; k < 16; ++k) {
        values[r][k] = static_cast<int>((seed = seed * 1664525u + 1013904223u) >> 26) - 32;  // all sums are exact
        halves[r][k] = core::float_to_fp16(static_cast<float>(values[r][k]));
      }
    }
  };
  fill(a, ha);
  fill(b, hb);
  auto* da = static_cast<std::uint32_t*>(device.allocate(sizeof ha));
  auto* db = static_cast<std::uint32_t*>(device.allocate(sizeof hb));
  auto* dc = static_cast<float*>(device.allocate(16 * 8 * 4));
  device.write(da, ha, sizeof ha);
  device.write(db, hb, sizeof hb);
  device.launch<MultiplyHalves>("multiply", {{1, 1, 1}, 32, 0}, {{da, 128}, {db, 64}, {dc, 128}});
  CHECK(device.reports.text() == "");
  float c[16][8];
  device.read(c, dc, sizeof c);
  for (int r = 0; r < 16; ++r) {
    for (int n = 0; n < 8; ++n) {
      int sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[r][k] * b[n][k];
      CHECK(c[r][n] == static_cast<float>(sum));
    }
  }
}

TEST_CASE("memory is counted, poisoned and bounded") {
  emulator::Device device(1000);
  void* const first = device.allocate(600);
  REQUIRE(first != nullptr);
  CHECK(device.free() == 400);
  CHECK(device.allocate(401) == nullptr);
  unsigned char bytes[4];
  CHECK(device.read(bytes, first, 4));
  CHECK(bytes[0] == 0xff);
  CHECK(device.reports.mention("uninitialised"));
  device.reports.clear();
  CHECK_FALSE(device.write(static_cast<std::byte*>(first) + 598, bytes, 4));
  CHECK(device.reports.mention("out of bounds"));
  CHECK(device.release(first));
  CHECK_FALSE(device.release(first));
  CHECK(device.free() == 1000);
}

#include <kinglet/core/memory.hpp>
#include <kinglet/core/thread_pool.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/catch.hpp"

using namespace kinglet;

namespace {

struct Counts {
  std::vector<int> calls;  ///< not atomic: each index belongs to one thread, and run() orders the rest
};

void count(void* context, std::size_t index) { ++static_cast<Counts*>(context)->calls[index]; }

}  // namespace

TEST_CASE("a body runs once on each thread, and run() waits for all") {
  for (const unsigned threads : {1u, 2u, 3u, 4u, 7u}) {
    core::Memory memory;
    {
      core::ThreadPool pool(threads, {}, &memory);
      Counts counts{std::vector<int>(threads)};
      for (int round = 0; round < 300; ++round) pool.run(count, &counts);
      CHECK(counts.calls == std::vector<int>(threads, 300));
      CHECK(pool.threads() == threads);
    }
    CHECK(memory.used() == 0);
  }
}

TEST_CASE("threads that went to sleep wake up again") {
  core::Memory memory;
  core::ThreadPool pool(3, {}, &memory);
  Counts counts{std::vector<int>(3)};
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    pool.run(count, &counts);
  }
  CHECK(counts.calls == std::vector<int>(3, 20));
}

TEST_CASE("a run may come from another thread than the last one") {
  core::Memory memory;
  core::ThreadPool pool(2, {}, &memory);
  Counts counts{std::vector<int>(2)};
  for (int round = 0; round < 10; ++round) std::thread([&] { pool.run(count, &counts); }).join();
  CHECK(counts.calls == std::vector<int>(2, 10));
}

TEST_CASE("the host's own threads are used where it lends them, and none is started") {
  struct Host {
    std::atomic<int> runs{0};
    std::size_t most = 0;
  } host;
  Hooks hooks;
  hooks.user = &host;
  hooks.parallel_for = [](void* user, std::size_t n, void (*body)(void*, std::size_t), void* context) {
    Host& self = *static_cast<Host*>(user);
    ++self.runs;
    self.most = std::max(self.most, n);
    for (std::size_t i = n; i > 0; --i) body(context, i - 1);  // in any order
  };
  core::Memory memory;
  core::ThreadPool pool(4, hooks, &memory);
  CHECK(memory.used() == 0);
  Counts counts{std::vector<int>(4)};
  pool.run(count, &counts);
  pool.run(count, &counts);
  CHECK(counts.calls == std::vector<int>(4, 2));
  CHECK(host.runs == 2);
  CHECK(host.most == 4);
}

TEST_CASE("pools come and go, with and without work") {
  core::Memory memory;
  for (int i = 0; i < 50; ++i) {
    core::ThreadPool pool(3, {}, &memory);
    if (i % 2 == 0) continue;
    Counts counts{std::vector<int>(3)};
    pool.run(count, &counts);
    CHECK(counts.calls == std::vector<int>(3, 1));
  }
}

TEST_CASE("where there is no memory for the threads, nothing stays behind") {
  core::Memory memory({}, 8);
  CHECK_THROWS_AS(core::ThreadPool(4, {}, &memory), std::bad_alloc);
  CHECK(memory.used() == 0);
}

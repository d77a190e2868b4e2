#include <kinglet/core/memory.hpp>
#include <kinglet/core/thread_pool.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/catch.hpp"

using namespace kinglet;

namespace {

/// Items that the threads of a run take by a counter. Nothing but the counter is atomic: an item belongs to one thread,
/// and run() orders the rest.
struct Items {
  explicit Items(std::size_t n, std::size_t threads) : done(n), calls(threads) {}
  std::atomic<std::size_t> next{0};
  std::vector<int> done;
  std::vector<int> calls;

  void run(core::ThreadPool& pool) {
    next = 0;
    pool.run(
        [](void* context, std::size_t index) {
          Items& self = *static_cast<Items*>(context);
          ++self.calls[index];
          for (std::size_t i = self.next++; i < self.done.size(); i = self.next++) ++self.done[i];
        },
        this);
  }
};

struct Counts {
  std::vector<int> calls;
};

void count(void* context, std::size_t index) { ++static_cast<Counts*>(context)->calls[index]; }

/// The caller's part ends when all others have begun.
struct Meeting {
  std::size_t threads;
  std::atomic<std::size_t> begun{0};
  std::vector<int> calls = std::vector<int>(threads);

  static void body(void* context, std::size_t index) {
    Meeting& self = *static_cast<Meeting*>(context);
    ++self.calls[index];
    ++self.begun;
    while (index == 0 && self.begun != self.threads) std::this_thread::yield();
  }
};

}  // namespace

TEST_CASE("all of the work is done when run() returns, by no thread twice") {
  for (const unsigned threads : {1u, 2u, 3u, 4u, 7u}) {
    core::Memory memory;
    {
      core::ThreadPool pool(threads, {}, &memory);
      CHECK(pool.threads() == threads);
      Items items(50, threads);
      for (int round = 1; round <= 300; ++round) {
        items.run(pool);
        REQUIRE(items.done == std::vector<int>(50, round));
      }
      CHECK(items.calls[0] == 300);
      for (const int calls : items.calls) CHECK(calls <= 300);
    }
    CHECK(memory.used() == 0);
  }
}

TEST_CASE("every thread takes part where there is work for it, after a sleep too") {
  core::Memory memory;
  core::ThreadPool pool(4, {}, &memory);
  for (int round = 0; round < 20; ++round) {
    if (round % 4 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    Meeting meeting{4};
    pool.run(Meeting::body, &meeting);
    CHECK(meeting.calls == std::vector<int>(4, 1));
  }
}

TEST_CASE("run() waits for those that have begun") {
  core::Memory memory;
  core::ThreadPool pool(3, {}, &memory);
  for (int round = 0; round < 5; ++round) {
    struct Slow {
      std::atomic<int> begun{0}, ended{0};
    } slow;
    pool.run(
        [](void* context, std::size_t index) {
          Slow& self = *static_cast<Slow*>(context);
          ++self.begun;
          while (index == 0 && self.begun < 2) std::this_thread::yield();
          if (index != 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
          ++self.ended;
        },
        &slow);
    CHECK(slow.ended == slow.begun);
  }
}

TEST_CASE("a run may come from another thread than the last one") {
  core::Memory memory;
  core::ThreadPool pool(2, {}, &memory);
  Items items(20, 2);
  for (int round = 0; round < 10; ++round) std::thread([&] { items.run(pool); }).join();
  CHECK(items.done == std::vector<int>(20, 10));
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

TEST_CASE("an index that nobody asked for is ignored") {
  Hooks hooks;
  hooks.parallel_for = [](void*, std::size_t n, void (*body)(void*, std::size_t), void* context) {
    for (const std::size_t i : {n, n + 1, SIZE_MAX}) body(context, i);
    for (std::size_t i = 0; i < n; ++i) body(context, i);
  };
  core::Memory memory;
  core::ThreadPool pool(3, hooks, &memory);
  Counts counts{std::vector<int>(3)};
  pool.run(count, &counts);
  CHECK(counts.calls == std::vector<int>(3, 1));
}

TEST_CASE("pools come and go, with and without work") {
  core::Memory memory;
  for (int i = 0; i < 50; ++i) {
    core::ThreadPool pool(3, {}, &memory);
    if (i % 2 == 0) continue;
    Items items(10, 3);
    items.run(pool);
    CHECK(items.done == std::vector<int>(10, 1));
  }
}

TEST_CASE("where there is no memory for the threads, nothing stays behind") {
  core::Memory memory({}, 8);
  CHECK_THROWS_AS(core::ThreadPool(4, {}, &memory), std::bad_alloc);
  CHECK(memory.used() == 0);
}

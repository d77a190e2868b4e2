// core/thread_pool.cpp: how do threads wait for work, and the caller for them?
#include <kinglet/core/thread_pool.hpp>

namespace kinglet::core {
namespace {

// Long enough to bridge the gap between two operations of a step, short enough not to burn a host's frame.
constexpr int spins = 2000;

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield");
#endif
}

/// Waits until `value` is no longer `old`.
void wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) noexcept {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

constexpr std::uint64_t closed = 1u << 16;
constexpr std::uint32_t begun(std::uint64_t gate) { return static_cast<std::uint32_t>(gate & 0xffff); }
constexpr std::uint32_t epoch_of(std::uint64_t gate) { return static_cast<std::uint32_t>(gate >> 32); }

}  // namespace

ThreadPool::ThreadPool(unsigned threads, const Hooks& hooks, std::pmr::memory_resource* memory)
    : threads_(threads), hooks_(hooks), workers_(memory) {
  if (hooks_.parallel_for != nullptr || threads_ < 2) return;
  workers_.reserve(threads_ - 1);
  try {
    for (std::size_t i = 1; i < threads_; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
  stopping_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::run(void (*body)(void*, std::size_t), void* context) noexcept {
  if (threads_ == 1) return body(context, 0);
  if (hooks_.parallel_for != nullptr) return run_on_host(body, context);
  body_ = body;
  context_ = context;
  finished_.store(0, std::memory_order_relaxed);
  const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  gate_.store(std::uint64_t{epoch} << 32, std::memory_order_release);
  epoch_.store(epoch, std::memory_order_release);
  epoch_.notify_all();
  body(context, 0);
  const std::uint32_t others = begun(gate_.fetch_or(closed, std::memory_order_acq_rel));
  for (std::uint32_t done = finished_.load(std::memory_order_acquire); done != others;
       done = finished_.load(std::memory_order_acquire)) {
    wait_while(finished_, done);
  }
}

void ThreadPool::run_on_host(void (*body)(void*, std::size_t), void* context) noexcept {
  struct Job {
    void (*body)(void*, std::size_t);
    void* context;
    std::size_t threads;
  } job{body, context, threads_};
  hooks_.parallel_for(
      hooks_.user, threads_,
      [](void* j, std::size_t index) {
        const Job& self = *static_cast<const Job*>(j);
        if (index < self.threads) self.body(self.context, index);  // there is memory for so many threads only
      },
      &job);
}

void ThreadPool::work(std::size_t index) noexcept {
  for (std::uint32_t seen = 0;;) {
    wait_while(epoch_, seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    std::uint64_t gate = gate_.load(std::memory_order_acquire);
    bool joined = false;
    while (epoch_of(gate) != seen && (gate & closed) == 0 && !joined) {
      joined = gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel);
    }
    seen = epoch_of(gate);
    if (!joined) continue;
    body_(context_, index);
    finished_.fetch_add(1, std::memory_order_acq_rel);
    finished_.notify_one();
  }
}

}  // namespace kinglet::core

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
  if (hooks_.parallel_for != nullptr) return hooks_.parallel_for(hooks_.user, threads_, body, context);
  body_ = body;
  context_ = context;
  running_.store(threads_ - 1, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  body(context, 0);
  for (std::uint32_t left = running_.load(std::memory_order_acquire); left != 0;
       left = running_.load(std::memory_order_acquire)) {
    wait_while(running_, left);
  }
}

void ThreadPool::work(std::size_t index) noexcept {
  for (std::uint32_t seen = 0;;) {
    wait_while(epoch_, seen);
    seen += 1;
    if (stopping_.load(std::memory_order_relaxed)) return;
    body_(context_, index);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace kinglet::core

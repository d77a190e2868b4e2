// kinglet/core/thread_pool.hpp: who runs the pieces of a step?
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <thread>
#include <vector>

#include <kinglet/core/config.hpp>
#include <kinglet/core/hooks.hpp>

namespace kinglet::core {

/// Runs a body on up to `threads` threads: the host's parallel_for where it gave one, else the caller and `threads` - 1
/// threads of our own, which sleep (after a short spin) when there is nothing to do. The caller never waits for a
/// thread that has not begun: on a machine whose cores the host needs itself, the others do its share.
class ThreadPool {
 public:
  /// @param threads  >= 1; 1 starts no thread
  /// Throws std::bad_alloc or std::system_error where a thread cannot be had.
  ThreadPool(unsigned threads, const Hooks& hooks, std::pmr::memory_resource* memory);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned threads() const noexcept { return threads_; }

  /// Calls body(context, 0) here and body(context, i) on those threads i in [1, threads) that begin before it has
  /// returned, each at most once, and returns when all of these are done: bodies share their work out by a counter. The
  /// host's parallel_for calls all of them; an index of its own making is ignored. Not reentrant.
  void run(void (*body)(void* context, std::size_t index), void* context) noexcept;

 private:
  void run_on_host(void (*body)(void* context, std::size_t index), void* context) noexcept;
  void work(std::size_t index) noexcept;
  void stop() noexcept;

  unsigned threads_;
  Hooks hooks_;
  void (*body_)(void*, std::size_t) = nullptr;
  void* context_ = nullptr;
  std::atomic<std::uint32_t> epoch_{0};  ///< counts runs; what the workers wait for
  std::atomic<std::uint64_t> gate_{0};   ///< epoch << 32 | closed << 16 | workers that have begun
  std::atomic<std::uint32_t> finished_{0};
  std::atomic<bool> stopping_{false};
  std::pmr::vector<std::thread> workers_;
};

}  // namespace kinglet::core

// ops/shares.hpp: which tiles does each thread of a run take?
//
// Each thread has a stretch of neighbouring tiles, so that it reads the weights as one stream (or as two that are far
// apart: packed.hpp), which memory serves faster than tiles here and there (by 1.3x on two Zen 4 cores). It takes a
// chunk at a time; a thread that has done its own goes on with those of the others, so that a core which the host needs
// costs its share and no more.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace kinglet::ops {

/// The share of one thread.
struct alignas(64) Share {
  std::atomic<std::uint32_t> next;
  std::uint32_t last;
};

class Shares {
 public:
  /// @param shares  [threads] filled here; must outlive the last take()
  Shares(Share* shares, std::uint32_t threads, std::uint32_t first, std::uint32_t last) noexcept
      : shares_(shares), threads_(threads) {
    const std::uint64_t tiles = last - first;
    for (std::uint32_t t = 0; t < threads; ++t) {
      shares[t].next.store(first + static_cast<std::uint32_t>(tiles * t / threads), std::memory_order_relaxed);
      shares[t].last = first + static_cast<std::uint32_t>(tiles * (t + 1) / threads);
    }
  }

  /// Calls body(first, last) for the tiles [first, last) of every chunk that this thread gets; when all threads' calls
  /// have returned, each tile was in one.
  template <class Body>
  void take(std::size_t thread, Body body) const noexcept {
    for (std::uint32_t i = 0; i < threads_; ++i) {
      Share& share = shares_[(thread + i) % threads_];
      std::uint32_t first = share.next.load(std::memory_order_relaxed);
      while (first < share.last) {
        const std::uint32_t last = first + std::max(1u, (share.last - first) / 8);  // small ones at the end
        if (!share.next.compare_exchange_weak(first, last, std::memory_order_relaxed)) continue;
        body(first, last);
        first = share.next.load(std::memory_order_relaxed);
      }
    }
  }

 private:
  Share* shares_;
  std::uint32_t threads_;
};

}  // namespace kinglet::ops

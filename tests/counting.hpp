// tests/counting.hpp: how many allocations does a stretch of code make, and what if the n-th fails?
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdlib>

#include <kinglet/core/hooks.hpp>

namespace kinglet::test {

/// Hooks that count bytes and calls, and refuse the call that brings `countdown` to zero.
struct CountingHeap {
  std::atomic<std::size_t> calls{0};
  std::atomic<std::size_t> used{0};
  std::atomic<std::size_t> peak{0};
  std::atomic<long> countdown{-1};  ///< < 0: never refuses

  Hooks hooks() {
    Hooks hooks;
    hooks.user = this;
    hooks.allocate = [](void* user, std::size_t bytes, std::size_t alignment) -> void* {
      auto& heap = *static_cast<CountingHeap*>(user);
      if (heap.countdown.load() >= 0 && heap.countdown.fetch_sub(1) == 0) return nullptr;
      ++heap.calls;
      const std::size_t now = heap.used.fetch_add(bytes) + bytes;
      if (now > heap.peak.load()) heap.peak.store(now);
      return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    };
    hooks.deallocate = [](void* user, void* memory, std::size_t bytes, std::size_t) {
      static_cast<CountingHeap*>(user)->used.fetch_sub(bytes);
      std::free(memory);
    };
    return hooks;
  }
};

}  // namespace kinglet::test

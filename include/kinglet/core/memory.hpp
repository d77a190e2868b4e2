// kinglet/core/memory.hpp: where does every byte of an engine come from, and how many are there?
//
// Memory is a std::pmr resource over the host's hooks which counts, and which refuses to go past a limit. Containers
// inside the library are std::pmr ones over it; a refusal is a std::bad_alloc inside and Errc::out_of_memory outside
// (see guarded() below).
#pragma once
#include <atomic>
#include <cstddef>
#include <memory_resource>
#include <new>
#include <stdexcept>

#include <kinglet/core/hooks.hpp>
#include <kinglet/core/result.hpp>

namespace kinglet::core {

class Memory final : public std::pmr::memory_resource {
 public:
  /// @param limit  bytes that may be in use at once; 0 = no limit
  explicit Memory(const Hooks& hooks = {}, std::size_t limit = 0) noexcept : hooks_(hooks), limit_(limit) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  /// The most bytes that were in use at once.
  std::size_t peak() const noexcept { return peak_.load(std::memory_order_relaxed); }
  std::size_t limit() const noexcept { return limit_; }

  /// Counts bytes that are not allocated here (a mapped file) against the limit; false where they do not fit.
  bool reserve(std::size_t bytes) noexcept;
  void release(std::size_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  Hooks hooks_;
  std::size_t limit_;
  std::atomic<std::size_t> used_{0};
  std::atomic<std::size_t> peak_{0};
};

inline Error out_of_memory() noexcept {
  return {Errc::out_of_memory, "out of memory: the allocator or the memory limit refused"};
}

/// Runs `body` (which returns a Result) at a public edge and turns what it throws into an Error.
template <class Body>
auto guarded(Body&& body) noexcept -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::length_error&) {
    return out_of_memory();
  } catch (const std::exception& e) {
    return Error{Errc::internal, e.what()};
  } catch (...) {
    return Error{Errc::internal, "an unknown exception"};
  }
}

}  // namespace kinglet::core

// kinglet/kv/pool.hpp: which pages of the KV cache are free, and who may count on them?
//
// Page indices only; the bytes belong to the backend. A page is held by one or more owners (sessions that share a
// prefix) and returns when the last lets go. A reservation is a promise: while `n` pages are reserved, take() leaves n
// free ones for take_reserved(), so a request that was accepted never fails for memory. Every call is O(1) and
// allocates nothing after create(). Not for two threads at once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <utility>
#include <vector>

#include <kinglet/core/memory.hpp>
#include <kinglet/core/result.hpp>

namespace kinglet::kv {

class PagePool final {
 public:
  /// Holds no pages; take() says context_full.
  PagePool() noexcept = default;
  PagePool(PagePool&& other) noexcept
      : owners_(std::move(other.owners_)),
        free_(std::move(other.free_)),
        reserved_(std::exchange(other.reserved_, 0)) {}
  PagePool& operator=(PagePool&& other) noexcept {
    if (this != &other) {  // a pmr vector is assigned without a copy only where the resources are equal
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }

  /// A pool of free pages 0 to pages - 1. out_of_memory.
  static Result<PagePool> create(std::uint32_t pages, std::pmr::memory_resource* memory) noexcept {
    return core::guarded([&]() -> Result<PagePool> { return PagePool(pages, memory); });
  }
  /// The bytes create() takes from its memory.
  static constexpr std::size_t bytes(std::uint32_t pages) noexcept {
    return std::size_t{pages} * 2 * sizeof(std::uint32_t);
  }

  std::uint32_t pages() const noexcept { return static_cast<std::uint32_t>(owners_.size()); }
  std::uint32_t free() const noexcept { return static_cast<std::uint32_t>(free_.size()); }
  /// Pages that are promised to somebody; never more than free().
  std::uint32_t reserved() const noexcept { return reserved_; }
  /// Pages that take() and reserve() can still give.
  std::uint32_t available() const noexcept { return free() - reserved_; }

  /// A free page that nobody was promised; its one owner is the caller. context_full.
  Result<std::uint32_t> take() noexcept {
    if (available() == 0) return full();
    return pop();
  }
  /// Turns one reserved page into a taken one. internal: none is reserved.
  Result<std::uint32_t> take_reserved() noexcept {
    if (reserved_ == 0) return Error{Errc::internal, "page pool: take_reserved() without a reservation"};
    --reserved_;
    return pop();
  }

  /// One owner more. invalid_argument: no such page, or a free one.
  Status share(std::uint32_t page) noexcept {
    if (owners(page) == 0) return Error{Errc::invalid_argument, "page pool: share() of a page that nobody holds"};
    if (owners_[page] == UINT32_MAX) return Error{Errc::invalid_argument, "page pool: a page has 2^32 - 1 owners"};
    ++owners_[page];
    return {};
  }
  /// One owner less; the last one's page is free again. invalid_argument: no such page, or a free one (a second
  /// release).
  Status release(std::uint32_t page) noexcept {
    if (owners(page) == 0) return Error{Errc::invalid_argument, "page pool: release() of a page that nobody holds"};
    if (--owners_[page] == 0) free_.push_back(page);  // never past the capacity: a page is at most once in the list
    return {};
  }
  /// Owners of a page; 0 for a free one and for no such page.
  std::uint32_t owners(std::uint32_t page) const noexcept { return page < owners_.size() ? owners_[page] : 0; }
  /// More than one owner: whoever wants to write must copy it first.
  bool shared(std::uint32_t page) const noexcept { return owners(page) > 1; }

  /// Promises n free pages to the caller. context_full: fewer than n are available; nothing was changed.
  Status reserve(std::uint32_t n) noexcept {
    if (n > available()) return full();
    reserved_ += n;
    return {};
  }
  /// Gives n promised pages back. invalid_argument: fewer are reserved; nothing was changed.
  Status unreserve(std::uint32_t n) noexcept {
    if (n > reserved_) return Error{Errc::invalid_argument, "page pool: unreserve() of more pages than are reserved"};
    reserved_ -= n;
    return {};
  }

 private:
  PagePool(std::uint32_t pages, std::pmr::memory_resource* memory)
      : owners_(pages, 0, memory), free_(pages, 0, memory) {
    for (std::uint32_t i = 0; i < pages; ++i) free_[i] = pages - 1 - i;
  }
  static Error full() noexcept {
    return {Errc::context_full, "no free KV page: close or rewind a session, or raise the number of pages"};
  }
  std::uint32_t pop() noexcept {
    const std::uint32_t page = free_.back();
    free_.pop_back();
    owners_[page] = 1;
    return page;
  }

  std::pmr::vector<std::uint32_t> owners_;  // [pages]
  std::pmr::vector<std::uint32_t> free_;    // a stack
  std::uint32_t reserved_ = 0;
};

}  // namespace kinglet::kv

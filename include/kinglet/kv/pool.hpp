// kinglet/kv/pool.hpp: which pages of the KV cache are free, and who may count on them?
//
// Page indices only; the bytes belong to the backend. A page is held by one or more owners (sessions that share a
// prefix) and returns when the last lets go. A reservation is a promise: while `n` pages are reserved, take() leaves n
// free ones for take_reserved(), so a request that was accepted never fails for memory. An owner that names its last
// page gets the next one where that is free, otherwise the beginning of a block that nobody uses, and where there is
// none a page of the block that has rested longest: so sessions that grow side by side keep runs of neighbouring pages,
// which are read as one. Every call is O(1) and allocates nothing after create(). Not for two threads at once.
#pragma once
#include <algorithm>
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
  static constexpr std::uint32_t block_pages = 16;      ///< a stretch of attention
  static constexpr std::uint32_t nowhere = UINT32_MAX;  ///< take() after no page

  /// Holds no pages; take() says context_full.
  PagePool() noexcept = default;
  PagePool(PagePool&& other) noexcept
      : owners_(std::move(other.owners_)),
        blocks_(std::move(other.blocks_)),
        free_(std::exchange(other.free_, 0)),
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
    return std::size_t{pages} * sizeof(std::uint32_t) + std::size_t{count(pages) + 2} * sizeof(Block);
  }

  std::uint32_t pages() const noexcept { return static_cast<std::uint32_t>(owners_.size()); }
  std::uint32_t free() const noexcept { return free_; }
  /// Pages that are promised to somebody; never more than free().
  std::uint32_t reserved() const noexcept { return reserved_; }
  /// Pages that take() and reserve() can still give.
  std::uint32_t available() const noexcept { return free() - reserved_; }

  /// A free page that nobody was promised; its one owner is the caller. context_full.
  /// @param after  the page that it would best follow
  Result<std::uint32_t> take(std::uint32_t after = nowhere) noexcept {
    if (available() == 0) return full();
    return pop(after);
  }
  /// Turns one reserved page into a taken one. internal: none is reserved.
  Result<std::uint32_t> take_reserved(std::uint32_t after = nowhere) noexcept {
    if (reserved_ == 0) return Error{Errc::internal, "page pool: take_reserved() without a reservation"};
    --reserved_;
    return pop(after);
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
    if (--owners_[page] == 0) {
      ++free_;
      change(page / block_pages, 1);
    }
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
  /// Blocks with free pages are in one of two rings: those that are all free, and the others.
  struct Block {
    std::uint32_t free, next, before;
  };

  PagePool(std::uint32_t pages, std::pmr::memory_resource* memory)
      : owners_(pages, 0, memory), blocks_(count(pages) + 2, Block{}, memory), free_(pages) {
    for (const std::uint32_t ring : {unused(), used()}) blocks_[ring] = {0, ring, ring};
    for (std::uint32_t b = count(pages); b-- > 0;) {  // the first one in front
      blocks_[b].free = size(b);
      link(b);
    }
  }
  static constexpr std::uint32_t count(std::uint32_t pages) noexcept {
    return pages / block_pages + (pages % block_pages != 0 ? 1 : 0);
  }
  static Error full() noexcept {
    return {Errc::context_full, "no free KV page: close or rewind a session, or raise the number of pages"};
  }

  std::uint32_t unused() const noexcept { return count(pages()); }
  std::uint32_t used() const noexcept { return count(pages()) + 1; }
  std::uint32_t size(std::uint32_t block) const noexcept {
    return std::min(block_pages, pages() - block * block_pages);
  }

  /// Puts a block in front of its ring.
  void link(std::uint32_t block) noexcept {
    const std::uint32_t ring = blocks_[block].free == size(block) ? unused() : used(), next = blocks_[ring].next;
    blocks_[block].next = next;
    blocks_[block].before = ring;
    blocks_[next].before = blocks_[ring].next = block;
  }
  /// A block has one free page more (1) or fewer (-1).
  void change(std::uint32_t block, int by) noexcept {
    Block& b = blocks_[block];
    if (b.free != 0) {
      blocks_[b.before].next = b.next;
      blocks_[b.next].before = b.before;
    }
    b.free += static_cast<std::uint32_t>(by);
    if (b.free != 0) link(block);
  }

  std::uint32_t pop(std::uint32_t after) noexcept {
    std::uint32_t page = after < pages() ? after + 1 : pages();
    if (page == pages() || owners_[page] != 0) {
      const std::uint32_t first = blocks_[unused()].next;
      page = (first != unused() ? first : blocks_[used()].before) * block_pages;
      while (owners_[page] != 0) ++page;  // the block has a free one
    }
    owners_[page] = 1;
    --free_;
    change(page / block_pages, -1);
    return page;
  }

  std::pmr::vector<std::uint32_t> owners_;  // [pages]
  std::pmr::vector<Block> blocks_;          // [blocks + 2]: the rings' own ends come last
  std::uint32_t free_ = 0;
  std::uint32_t reserved_ = 0;
};

}  // namespace kinglet::kv

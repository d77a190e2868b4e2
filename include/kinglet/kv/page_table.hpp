// kinglet/kv/page_table.hpp: in which page is the key of this session's position?
//
// Page i holds positions [16 i, 16 i + 16). Tables of forked sessions share pages; whoever appends into a shared page
// takes a page of its own first, and append() says which tokens to copy. promise() makes later appends certain. After
// create() nothing is allocated. A table lives with one pool, which every call names; clear() it before it goes.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <utility>
#include <vector>

#include <kinglet/core/memory.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/kv/pool.hpp>

namespace kinglet::kv {

/// Tokens of a KV page.
inline constexpr std::uint32_t page_size = 16;

/// The first `tokens` tokens of page `from` must be copied to page `to` before anything is written; 0 tokens = nothing.
struct PageCopy {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint32_t tokens = 0;
};

class PageTable final {
 public:
  PageTable() noexcept = default;
  PageTable(PageTable&& other) noexcept
      : pages_(std::move(other.pages_)),
        limit_(std::exchange(other.limit_, 0)),
        length_(std::exchange(other.length_, 0)),
        promised_(std::exchange(other.promised_, 0)),
        reserved_(std::exchange(other.reserved_, 0)) {}
  PageTable& operator=(PageTable&& other) noexcept {
    if (this != &other) {
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }

  /// An empty table for up to `limit` positions. out_of_memory.
  static Result<PageTable> create(std::uint32_t limit, std::pmr::memory_resource* memory) noexcept {
    return core::guarded([&]() -> Result<PageTable> { return PageTable(limit, memory); });
  }
  /// The bytes create() takes from its memory.
  static constexpr std::size_t bytes(std::uint32_t limit) noexcept { return count(limit) * sizeof(std::uint32_t); }
  /// Pages of `tokens` positions.
  static constexpr std::uint32_t count(std::uint32_t tokens) noexcept {
    return tokens / page_size + (tokens % page_size != 0 ? 1 : 0);
  }

  std::uint32_t length() const noexcept { return length_; }      ///< positions
  std::uint32_t limit() const noexcept { return limit_; }        ///< positions
  std::uint32_t reserved() const noexcept { return reserved_; }  ///< pages of the pool promised to this table
  /// [count(length())] pages, for ops::Sequence::pages.
  std::span<const std::uint32_t> pages() const noexcept { return pages_; }

  /// Pages that must be taken before `tokens` more positions can be written, the copy of a shared last page included.
  std::uint32_t needed(const PagePool& pool, std::uint32_t tokens) const noexcept {
    if (tokens == 0) return 0;
    const std::uint64_t pages = (std::uint64_t{length_} + tokens + page_size - 1) / page_size;
    return static_cast<std::uint32_t>(pages) - count(length_) + (last_is_shared(pool) ? 1 : 0);
  }

  /// Promises that appends up to `tokens` more positions find their pages; replaces an earlier promise.
  /// context_full: past the limit, or the pool has too few; nothing was changed.
  Status promise(PagePool& pool, std::uint32_t tokens) noexcept {
    if (tokens > limit_ - length_) return past_limit();
    const std::uint32_t want = needed(pool, tokens);
    const Status status = want > reserved_ ? pool.reserve(want - reserved_) : pool.unreserve(reserved_ - want);
    if (!status) return status;
    reserved_ = want;
    promised_ = tokens;
    return {};
  }

  /// Makes room for `tokens` positions at the end. context_full: past the limit, or the pool has too few; nothing was
  /// changed. Otherwise the returned copy must be made before the first of them is written.
  Result<PageCopy> append(PagePool& pool, std::uint32_t tokens) noexcept {
    if (tokens > limit_ - length_) return past_limit();
    std::uint32_t want = needed(pool, tokens);
    if (want > reserved_) {
      const Status status = pool.reserve(want - reserved_);
      if (!status) return status.error();
      reserved_ = want;
    }
    PageCopy copy;
    if (tokens > 0 && last_is_shared(pool)) {
      copy = {pages_.back(), take(pool, pages_.size() - 1), length_ % page_size};
      (void)pool.release(copy.from);  // shared, so this only drops one owner
      pages_.back() = copy.to;
      --want;
    }
    for (; want > 0; --want) pages_.push_back(take(pool, pages_.size()));
    length_ += tokens;
    promised_ -= std::min(promised_, tokens);
    return copy;
  }

  /// Keeps the first `length` positions; the pages past them go back, and so does the promise.
  /// invalid_argument: longer than length().
  Status truncate(PagePool& pool, std::uint32_t length) noexcept {
    if (length > length_) return Error{Errc::invalid_argument, "page table: truncate() to more than there is"};
    for (std::size_t keep = count(length); pages_.size() > keep; pages_.pop_back()) (void)pool.release(pages_.back());
    length_ = length;
    return promise(pool, 0);
  }
  /// Gives everything back.
  void clear(PagePool& pool) noexcept { (void)truncate(pool, 0); }

  /// Makes `copy` (empty, without a promise) share the first `length` positions of this table. Where this
  /// table has a promise that now needs a copy of its last page, that page is reserved too.
  /// invalid_argument: longer than this table, or the copy is not empty or too small; context_full: no page for this
  /// table's promise. Nothing was changed.
  Status fork(PagePool& pool, std::uint32_t length, PageTable& copy) noexcept {
    if (length > length_ || copy.length_ != 0 || copy.reserved_ != 0 || copy.limit_ < length) {
      return Error{Errc::invalid_argument,
                   "page table: fork() wants an empty table with room, and no more than there is"};
    }
    const bool last = count(length) == count(length_) && length_ % page_size != 0;
    const std::uint32_t want = needed(pool, promised_) + (promised_ > 0 && last && !last_is_shared(pool) ? 1 : 0);
    if (want > reserved_) {
      if (const Status status = pool.reserve(want - reserved_); !status) return status;
      reserved_ = want;
    }
    for (std::uint32_t i = 0; i < count(length); ++i) {
      (void)pool.share(pages_[i]);
      copy.pages_.push_back(pages_[i]);
    }
    copy.length_ = length;
    return {};
  }

 private:
  PageTable(std::uint32_t limit, std::pmr::memory_resource* memory) : pages_(memory), limit_(limit) {
    pages_.reserve(count(limit));
  }
  static Error past_limit() noexcept {
    return {Errc::context_full, "more tokens than the session's context has room for"};
  }
  bool last_is_shared(const PagePool& pool) const noexcept {
    return length_ % page_size != 0 && pool.shared(pages_.back());
  }
  /// What becomes page i of this table.
  std::uint32_t take(PagePool& pool, std::size_t i) noexcept {
    --reserved_;
    return *pool.take_reserved(i > 0 ? pages_[i - 1] : PagePool::nowhere);  // append() has reserved what it takes
  }

  std::pmr::vector<std::uint32_t> pages_;  // [count(length_)]
  std::uint32_t limit_ = 0;                // positions
  std::uint32_t length_ = 0;               // positions
  std::uint32_t promised_ = 0;             // positions that may still be appended for certain
  std::uint32_t reserved_ = 0;             // pages of the pool that are promised to this table
};

}  // namespace kinglet::kv

// ops/block_planner.hpp: where does each array lie in one block of memory, and how large is the block?
#pragma once
#include <cstddef>
#include <initializer_list>

namespace kinglet::ops {

/// Hands out a block from its start, and remembers whether a size overflowed.
/// @tparam Alignment  bytes, a power of two; every offset is a multiple of it
template <std::size_t Alignment>
class BlockPlanner {
 public:
  /// The offset of an array whose bytes are the product of the factors.
  std::size_t take(std::initializer_list<std::size_t> factors) noexcept {
    std::size_t bytes = 1;
    for (const std::size_t factor : factors) overflow_ |= __builtin_mul_overflow(bytes, factor, &bytes);
    const std::size_t offset = at_;
    overflow_ |= __builtin_add_overflow(at_, bytes, &at_) || __builtin_add_overflow(at_, Alignment - 1, &at_);
    at_ = at_ / Alignment * Alignment;
    return offset;
  }
  /// Bytes of the block; 0 where a size overflowed.
  std::size_t total() const noexcept { return overflow_ ? 0 : at_; }

 private:
  std::size_t at_ = 0;
  bool overflow_ = false;
};

}  // namespace kinglet::ops

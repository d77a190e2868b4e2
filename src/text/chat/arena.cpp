// text/chat/arena.cpp: where do the bytes of values come from, and when are there no more?
#include "text/chat/arena.hpp"

#include <algorithm>

namespace kinglet::text::chat {
namespace {

constexpr std::size_t first_block = std::size_t{8} << 10;
constexpr std::size_t largest_block = std::size_t{1} << 20;  // of those that only small objects asked for
constexpr std::size_t shortest_tail = 256;                   // shorter texts are cheap to copy

}  // namespace

Arena::~Arena() {
  while (blocks_ != nullptr) {
    Block* next = blocks_->next;
    upstream_->deallocate(blocks_, blocks_->bytes, alignof(std::max_align_t));
    blocks_ = next;
  }
}

void Arena::refuse() const {
  throw Failure{Error(Errc::template_error, "the chat template needs more memory than ChatLimits::memory allows")};
}

void Arena::grow(std::size_t bytes) {
  if (bytes > limit_ || limit_ - bytes < used_) refuse();
  const std::size_t head =
      (sizeof(Block) + alignof(std::max_align_t) - 1) / alignof(std::max_align_t) * alignof(std::max_align_t);
  std::size_t size = blocks_ == nullptr ? first_block : std::min(largest_block, blocks_->bytes * 2);
  size = std::max(size, bytes + head + alignof(std::max_align_t));
  auto* block = static_cast<Block*>(upstream_->allocate(size, alignof(std::max_align_t)));
  block->next = blocks_;
  block->bytes = size;
  blocks_ = block;
  used_ += size;
  cursor_ = reinterpret_cast<char*>(block) + head;
  end_ = reinterpret_cast<char*>(block) + size;
}

void* Arena::allocate(std::size_t bytes, std::size_t alignment) {
  for (int attempt = 0;; ++attempt) {
    const auto address = reinterpret_cast<std::uintptr_t>(cursor_);
    const std::size_t skip = (alignment - address % alignment) % alignment;
    const auto room = static_cast<std::size_t>(end_ - cursor_);
    if (cursor_ != nullptr && skip <= room && bytes <= room - skip) {
      char* memory = cursor_ + skip;
      cursor_ = memory + bytes;
      return memory;
    }
    if (attempt > 0) throw std::bad_alloc();
    grow(bytes);
  }
}

std::string_view Arena::copy(std::string_view text) {
  if (text.empty()) return {"", 0};
  char* to = array<char>(text.size());
  std::memcpy(to, text.data(), text.size());
  return {to, text.size()};
}

std::string_view Arena::concat(std::string_view left, std::string_view right) {
  if (right.empty()) return left;
  if (left.empty()) return right;
  if (left.size() > limit_ || right.size() > limit_ - left.size()) refuse();
  const std::size_t size = left.size() + right.size();
  bool grown_before = false;
  for (std::size_t i = 0; i < tails; ++i) {
    if (tail_[i].end != left.data() + left.size()) continue;
    grown_before = true;
    if (static_cast<std::size_t>(tail_[i].limit - tail_[i].end) < right.size()) break;
    std::memcpy(tail_[i].end, right.data(), right.size());
    tail_[i].end += right.size();
    std::rotate(tail_, tail_ + i, tail_ + i + 1);
    return {left.data(), size};
  }
  if (size < shortest_tail) {
    char* to = array<char>(size);
    std::memcpy(to, left.data(), left.size());
    std::memcpy(to + left.size(), right.data(), right.size());
    return {to, size};
  }
  // The first copy leaves little room; a text that outgrew its room once gets twice its size.
  const std::size_t room = size + std::min(grown_before ? size : size / 8 + 32, limit_ - size);
  char* to = array<char>(room);
  std::memcpy(to, left.data(), left.size());
  std::memcpy(to + left.size(), right.data(), right.size());
  std::rotate(tail_, tail_ + tails - 1, tail_ + tails);
  tail_[0] = {to + size, to + room};
  return {to, size};
}

}  // namespace kinglet::text::chat

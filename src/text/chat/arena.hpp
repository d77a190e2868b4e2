// text/chat/arena.hpp: where do a template's values live, and what stops them from filling the machine?
//
// A render's values are never freed one by one: all of them go when the arena goes. The arena counts its blocks
// against a limit.
#pragma once
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>

#include "text/chat/failure.hpp"

namespace kinglet::text::chat {

class Arena {
 public:
  static constexpr std::size_t most_bytes = std::numeric_limits<std::size_t>::max();

  /// @param limit  bytes of all blocks together
  Arena(std::pmr::memory_resource* upstream, std::size_t limit) noexcept : upstream_(upstream), limit_(limit) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  [[noreturn]] void refuse() const;
  /// Throws Failure at the limit and std::bad_alloc where upstream has nothing left.
  void* allocate(std::size_t bytes, std::size_t alignment);

  /// Room for n objects, which the caller fills.
  template <class T>
  T* array(std::size_t n) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (n > most_bytes / 2 / sizeof(T)) refuse();
    return static_cast<T*>(allocate(n * sizeof(T), alignof(T)));
  }

  template <class T, class... Args>
  T* make(Args&&... args) {
    return new (array<T>(1)) T{static_cast<Args&&>(args)...};
  }

  template <class T>
  std::span<const T> copy(std::span<const T> items) {
    T* to = array<T>(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) new (to + i) T(items[i]);
    return {to, items.size()};
  }

  std::string_view copy(std::string_view text);

  /// left + right. A left that was itself made here is extended in place while there is room behind it, so that a text
  /// that grows piece by piece costs only the pieces.
  std::string_view concat(std::string_view left, std::string_view right);

 private:
  struct Block {
    Block* next;
    std::size_t bytes;
  };
  struct Tail {
    char* end = nullptr;
    char* limit = nullptr;
  };
  static constexpr std::size_t tails = 8;

  void grow(std::size_t bytes);

  std::pmr::memory_resource* upstream_;
  std::size_t limit_;
  std::size_t used_ = 0;
  Block* blocks_ = nullptr;
  char* cursor_ = nullptr;
  char* end_ = nullptr;
  Tail tail_[tails];  // the last used first
};

}  // namespace kinglet::text::chat

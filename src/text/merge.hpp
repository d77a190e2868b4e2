// text/merge.hpp: which symbols of a word become one?
//
// The pair of neighbours with the best priority merges first, the leftmost of equal ones; then its new neighbours are
// looked at. A heap finds the pair, so that a word of n bytes takes O(n log n).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace kinglet::text {

/// A symbol stands at the index of its first byte; the next one stands `length` further.
struct Symbol {
  std::uint32_t length;  // bytes; 0 where no symbol begins
  std::uint32_t before;  // index of the symbol before; its own index for the first
  std::int32_t id;       // its piece; -1 = none
};

struct Candidate {
  std::uint32_t priority;  // the smallest merges first
  std::uint32_t left;      // index
  std::uint32_t length;    // of both together: once either has grown, it no longer is
  std::int32_t id;         // what they become
};

class Word {
 public:
  explicit Word(std::pmr::memory_resource* memory) : symbols_(memory), heap_(memory) {}

  void clear() noexcept { symbols_.clear(); }
  /// Appends a symbol of `length` >= 1 bytes.
  void add(std::uint32_t length, std::int32_t id) {
    const auto at = static_cast<std::uint32_t>(symbols_.size());
    const std::uint32_t before = at == 0 ? 0 : last_;
    symbols_.push_back({length, before, id});
    symbols_.resize(at + std::size_t{length}, Symbol{0, 0, -1});
    last_ = at;
  }
  const Symbol& first() const noexcept { return symbols_.front(); }

  /// @param pair  (left symbol's index, left, right) -> Candidate, with id -1 where they do not merge
  template <class Pair>
  void merge(Pair&& pair) {
    const auto worse = [](const Candidate& a, const Candidate& b) {
      return a.priority != b.priority ? a.priority > b.priority : a.left > b.left;
    };
    const auto look = [&](std::uint32_t left, std::uint32_t right) {
      const Candidate candidate = pair(left, symbols_[left], symbols_[right]);
      if (candidate.id >= 0) heap_.push_back(candidate);
      return candidate.id >= 0;
    };
    heap_.clear();
    for (std::size_t at = 0, next; (next = at + symbols_[at].length) < symbols_.size(); at = next) {
      look(static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(next));
    }
    std::make_heap(heap_.begin(), heap_.end(), worse);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), worse);
      const Candidate best = heap_.back();
      heap_.pop_back();
      Symbol& left = symbols_[best.left];
      const std::size_t at = best.left + std::size_t{left.length};
      if (left.length == 0 || at >= symbols_.size()) continue;
      Symbol& right = symbols_[at];
      if (left.length + right.length != best.length) continue;
      left.length = best.length;
      left.id = best.id;
      right.length = 0;
      const std::size_t next = best.left + std::size_t{best.length};
      if (next < symbols_.size()) {
        symbols_[next].before = best.left;
        if (look(best.left, static_cast<std::uint32_t>(next))) std::push_heap(heap_.begin(), heap_.end(), worse);
      }
      if (best.left != 0 && look(left.before, best.left)) std::push_heap(heap_.begin(), heap_.end(), worse);
    }
  }

  /// Calls each(index, symbol) for the symbols that are left.
  template <class Each>
  void for_each(Each&& each) const {
    for (std::size_t at = 0; at < symbols_.size(); at += symbols_[at].length) each(at, symbols_[at]);
  }

 private:
  std::pmr::vector<Symbol> symbols_;
  std::pmr::vector<Candidate> heap_;
  std::uint32_t last_ = 0;
};

}  // namespace kinglet::text

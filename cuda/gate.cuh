// cuda/gate.cuh: the channels of a row that count least become +0 (docs/numbers.md, A layer)
//
// Floor: 8 * cols bytes read; what is dropped, written. The row and its importance are read five times, out of the
// caches but for the first. Not measured yet.
#pragma once
#include "args.hpp"
#include "block.cuh"
#include "device.cuh"
#include "sparse/rank.hpp"
#include "tuning.hpp"

namespace kinglet::cuda {

/// Finds the score of rank `drop` byte by byte, as sparse::gate_row does; of those that equal it the first ones go.
struct GateRow {
  using Args = GateArgs;
  static constexpr unsigned max_threads = gate_threads;
  static_assert(max_threads == 256);  // a byte's values
  // shared memory: count [256], score found so far, its rank
  static constexpr unsigned found_at = 256, rank_at = 257, words = 258;
  static constexpr unsigned shared_bytes = 4 * words;

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const auto x = t.global(a.x) + std::size_t{t.block(0)} * a.cols;
    const auto importance = t.global(a.importance);
    const auto memory = t.template shared<std::uint32_t>(0, words);
    if (t.thread() == 0) {
      memory[found_at] = 0;
      memory[rank_at] = a.drop;
    }
    for (unsigned shift = 32; shift > 0;) {
      shift -= 8;
      narrow(t, a, x, importance, memory, shift);
    }
    t.sync();
    drop(t, a, x, importance, memory);
  }

 private:
  /// One more byte of the score: the scores that agree with the bytes before are counted by it.
  template <class Thread, class Row, class Importance, class Memory>
  KINGLET_DEVICE static void narrow(const Thread& t, const Args& a, const Row& x, const Importance& importance,
                                    const Memory& memory, unsigned shift) {
    memory[t.thread()] = 0;
    t.sync();
    const std::uint32_t found = memory[found_at], rank = memory[rank_at], above = shift == 24 ? 0u : ~0u << (shift + 8);
    for (std::uint32_t k = t.thread(); k < a.cols; k += max_threads) {
      const std::uint32_t s = sparse::score(x[k], importance[k]);
      if ((s & above) == found) t.atomic_add(memory, (s >> shift) & 255u, 1u);
    }
    t.sync();
    const std::uint32_t count = memory[t.thread()];
    std::uint64_t all = 0;
    const std::uint64_t before = t.template block_scan<max_threads>(count, all);
    if (before < rank && rank <= before + count) {
      memory[rank_at] = rank - static_cast<std::uint32_t>(before);
      memory[found_at] = found | t.thread() << shift;
    }
  }

  template <class Thread, class Row, class Importance, class Memory>
  KINGLET_DEVICE static void drop(const Thread& t, const Args& a, const Row& x, const Importance& importance,
                                  const Memory& memory) {
    const std::uint32_t found = memory[found_at], rank = memory[rank_at];
    std::uint64_t before = 0;  // of the score, in the channels below this stretch's
    for (std::uint32_t first = 0; first < a.cols; first += max_threads) {
      const std::uint32_t k = first + t.thread();
      std::uint32_t s = 0xffffffffu;
      if (k < a.cols) s = sparse::score(x[k], importance[k]);
      std::uint64_t all = 0;
      const std::uint64_t earlier = before + t.template block_scan<max_threads>(s == found ? 1 : 0, all);
      if (s < found || (s == found && earlier < rank)) x[k] = 0.0f;
      before += all;
    }
  }
};

}  // namespace kinglet::cuda

// cuda/gate.cuh: the channels of a row that count least become +0 (docs/numbers.md, A layer)
//
// Floor: 8 * cols bytes read; what is dropped, written. The row and its importance are read six times, out of the
// caches but for the first. Not measured yet.
#pragma once
#include "args.hpp"
#include "device.cuh"
#include "sparse/rank.hpp"
#include "tuning.hpp"

namespace kinglet::cuda {

/// Finds the score of rank `drop` byte by byte, as sparse::gate_row does; of those that equal it the first ones go.
struct GateRow {
  using Args = GateArgs;
  static constexpr unsigned max_threads = gate_threads;
  static constexpr unsigned warps = max_threads / warp_threads;
  // shared memory: count [256], score found so far, its rank, what each warp has of the score [warps]
  static constexpr unsigned found_at = 256, rank_at = 257, warps_at = 258;
  static constexpr unsigned words = warps_at + warps;
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
    t.sync();  // the counts of the byte before are read
    for (unsigned i = t.thread(); i < 256; i += max_threads) memory[i] = 0;
    t.sync();
    const std::uint32_t found = memory[found_at], above = shift == 24 ? 0u : ~0u << (shift + 8);
    for (std::uint32_t k = t.thread(); k < a.cols; k += max_threads) {
      const std::uint32_t s = sparse::score(x[k], importance[k]);
      if ((s & above) == found) t.atomic_add(memory, (s >> shift) & 255u, 1u);
    }
    t.sync();
    if (t.thread() == 0) {
      std::uint32_t rank = memory[rank_at], byte = 0;
      for (;; ++byte) {
        const std::uint32_t count = memory[byte];
        if (count >= rank || byte == 255) break;
        rank -= count;
      }
      memory[rank_at] = rank;
      memory[found_at] = found | byte << shift;
    }
  }

  template <class Thread, class Row, class Importance, class Memory>
  KINGLET_DEVICE static void drop(const Thread& t, const Args& a, const Row& x, const Importance& importance,
                                  const Memory& memory) {
    const std::uint32_t found = memory[found_at], rank = memory[rank_at];
    const unsigned lane = t.thread() % warp_threads, warp = t.thread() / warp_threads;
    std::uint32_t before = 0;  // of the score, in the channels below this stretch's
    for (std::uint32_t first = 0; first < a.cols; first += max_threads) {
      const std::uint32_t k = first + t.thread();
      std::uint32_t s = 0xffffffffu;
      if (k < a.cols) s = sparse::score(x[k], importance[k]);
      const std::uint32_t equal = t.ballot(s == found);
      if (lane == 0) memory[warps_at + warp] = bits(equal);
      t.sync();
      std::uint32_t earlier = before + bits(equal & ((1u << lane) - 1u));
      for (unsigned w = 0; w < warps; ++w) {
        const std::uint32_t count = memory[warps_at + w];
        if (w < warp) earlier += count;
        before += count;
      }
      if (s < found || (s == found && earlier < rank)) x[k] = 0.0f;
      t.sync();  // before the counts are written again
    }
  }

  KINGLET_DEVICE static std::uint32_t bits(std::uint32_t mask) {
    std::uint32_t n = 0;
    for (; mask != 0; mask &= mask - 1) ++n;
    return n;
  }
};

}  // namespace kinglet::cuda

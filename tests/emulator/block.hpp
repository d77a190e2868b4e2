// tests/emulator/block.hpp: how does a block of threads run on a host that has none?
//
// Each thread is a fiber. It runs until it waits: at a barrier for the block, at a shuffle, vote or mma for its warp.
// The order of the fibers is the caller's choice, and no result may depend on it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "tests/emulator/fiber.hpp"
#include "tests/emulator/shadow.hpp"

namespace kinglet::emulator {

enum class Order { ascending, descending, shuffled };

class Block {
 public:
  struct Lane {
    Fiber fiber;
    Witness witness;
    enum { ready, at_block, at_warp, at_group, done } state = ready;
    /// Asynchronous copies, the group that is not closed yet last; each writes what it brings.
    std::vector<std::vector<std::function<void()>>> copies;
  };
  /// What a warp exchanges. Two slots in turn: no lane can be two exchanges ahead of another.
  struct Exchange {
    const char* what = nullptr;
    std::uint32_t words[32][10];
  };
  struct Warp {
    Exchange slot[2];
    std::uint32_t arrived = 0;
    std::uint32_t turn = 0;
  };

  /// Runs body(context, lane) for each of `threads` threads.
  /// @param now  launch and block are set
  /// @return false where the threads wait for each other for ever; it is then reported
  bool run(std::uint32_t threads, Moment now, const char* kernel, Reports& reports, Order order, std::uint32_t seed,
           void (*body)(void*, Block&, std::uint32_t), void* context) {
    body_ = body;
    context_ = context;
    reports_ = &reports;
    kernel_ = kernel;
    if (lanes_.size() < threads) lanes_ = std::vector<Lane>(threads);
    threads_ = threads;
    warps_.assign(threads / 32, Warp{});
    arrived_ = finished_ = 0;
    groups_.assign(threads, 0);
    std::fill(std::begin(group_arrived_), std::end(group_arrived_), 0u);
    for (std::uint32_t i = 0; i < threads; ++i) {
      Lane& lane = lanes_[i];
      now.thread = i;
      lane.witness = {now, &reports, kernel, groups_.data()};
      lane.copies.assign(1, {});
      lane.state = Lane::ready;
      lane.fiber.start(&Block::enter, this);
    }
    arrange(order, seed);
    while (finished_ < threads_) {
      bool moved = false;
      for (const std::uint32_t i : turns_) {
        if (lanes_[i].state != Lane::ready) continue;
        moved = true;
        current_ = i;
        lanes_[i].fiber.resume();
      }
      if (!moved && !unblock()) return false;
    }
    return true;
  }

  const Witness& witness(std::uint32_t i) const { return lanes_[i].witness; }
  std::uint32_t threads() const { return threads_; }

  void sync(std::uint32_t i) {
    lanes_[i].state = Lane::at_block;
    if (++arrived_ + finished_ == threads_ && finished_ == 0) {
      release();
    } else {
      lanes_[i].fiber.yield();
    }
  }

  /// Hands a word to the block and waits for all threads, before and after. @return everybody's words
  const std::vector<std::uint64_t>& gather(std::uint32_t i, std::uint32_t threads, std::uint64_t word) {
    if (threads != threads_) {
      reports_->add(std::string(kernel_) + ": a word of " + std::to_string(threads) + " threads in a block of " +
                    std::to_string(threads_));
    }
    sync(i);  // the words may still be read
    words_.resize(threads_);
    words_[i] = word;
    sync(i);
    return words_;
  }

  /// Between two barriers of the block a thread has one named barrier.
  void sync_group(std::uint32_t i, std::uint32_t id, std::uint32_t threads) {
    const bool right = id > 0 && id < named_barriers && threads % 32 == 0 && threads > 0 && threads <= threads_;
    if (!right || (groups_[i] != 0 && groups_[i] != id)) {
      reports_->add(std::string(kernel_) + ": named barrier: " + std::to_string(id) + " of " + std::to_string(threads) +
                    (right ? " threads, of which one has another" : " threads is none"));
    }
    groups_[i] = static_cast<std::uint8_t>(id % named_barriers);
    lanes_[i].state = Lane::at_group;
    if (++group_arrived_[id % named_barriers] < threads) return lanes_[i].fiber.yield();
    group_arrived_[id % named_barriers] = 0;
    for (std::uint32_t l = 0; l < threads_; ++l) {
      if (lanes_[l].state != Lane::at_group || groups_[l] != id) continue;
      lanes_[l].state = Lane::ready;
      ++lanes_[l].witness.now.group_barriers;
    }
  }

  /// A copy of thread i that arrives when it is waited for.
  void copy(std::uint32_t i, std::function<void()> arrive) { lanes_[i].copies.back().push_back(std::move(arrive)); }
  void commit_copies(std::uint32_t i) { lanes_[i].copies.emplace_back(); }
  /// All groups of thread i but the last n that are closed.
  void wait_copies(std::uint32_t i, std::uint32_t n) {
    auto& copies = lanes_[i].copies;
    while (copies.size() > std::size_t{n} + 1) {
      for (const auto& arrive : copies.front()) arrive();
      copies.erase(copies.begin());
    }
  }

  /// Hands `count` words to the warp and waits for all lanes. @return everybody's words
  const std::uint32_t (&exchange(std::uint32_t i, const char* what, const std::uint32_t* words,
                                 std::uint32_t count))[32][10] {
    Warp& warp = warps_[i / 32];
    Exchange& slot = warp.slot[warp.turn % 2];
    if (warp.arrived == 0) slot.what = what;
    if (std::string(slot.what) != what) {
      reports_->add(std::string(kernel_) + ": divergence: a warp is at " + slot.what + " and at " + what);
    }
    std::copy_n(words, count, slot.words[i % 32]);
    lanes_[i].state = Lane::at_warp;
    if (++warp.arrived == 32) {
      warp.arrived = 0;
      ++warp.turn;
      for (std::uint32_t l = i / 32 * 32; l < i / 32 * 32 + 32; ++l) lanes_[l].state = Lane::ready;
    } else {
      lanes_[i].fiber.yield();
    }
    return slot.words;
  }
  void sync_warp(std::uint32_t i) {
    exchange(i, "sync_warp", nullptr, 0);
    ++lanes_[i].witness.now.warp_barriers;
  }

 private:
  static void enter(void* self) {
    auto& block = *static_cast<Block*>(self);
    const std::uint32_t i = block.current_;
    block.body_(block.context_, block, i);
    for (const auto& group : block.lanes_[i].copies) {
      if (group.empty()) continue;
      block.reports_->add(std::string(block.kernel_) + ": a thread ends while copies are under way");
      break;
    }
    block.lanes_[i].state = Lane::done;
    ++block.finished_;
  }

  void release() {
    arrived_ = 0;
    std::fill(groups_.begin(), groups_.end(), std::uint8_t{0});
    for (std::uint32_t l = 0; l < threads_; ++l) {
      if (lanes_[l].state != Lane::at_block) continue;
      lanes_[l].state = Lane::ready;
      ++lanes_[l].witness.now.block_barriers;
    }
  }

  /// Nobody can move: says why. @return whether the others may go on
  bool unblock() {
    if (arrived_ > 0 && arrived_ + finished_ == threads_) {
      reports_->add(std::string(kernel_) + ": missing barrier: " + std::to_string(finished_) +
                    " threads ended while the others wait for them");
      release();
      return true;
    }
    reports_->add(std::string(kernel_) + ": deadlock: of a warp or a block some threads wait and some do not");
    return false;
  }

  void arrange(Order order, std::uint32_t seed) {
    turns_.resize(threads_);
    std::iota(turns_.begin(), turns_.end(), 0u);
    if (order == Order::descending) std::reverse(turns_.begin(), turns_.end());
    if (order != Order::shuffled) return;
    for (std::uint32_t i = threads_; i > 1; --i) {
      seed = seed * 1664525u + 1013904223u;
      std::swap(turns_[i - 1], turns_[static_cast<std::uint32_t>((std::uint64_t{seed} * i) >> 32)]);
    }
  }

  static constexpr std::uint32_t named_barriers = 16;

  std::vector<Lane> lanes_;
  std::vector<Warp> warps_;
  std::vector<std::uint32_t> turns_;
  std::vector<std::uint8_t> groups_;
  std::vector<std::uint64_t> words_;
  std::uint32_t group_arrived_[named_barriers] = {};
  std::uint32_t threads_ = 0, arrived_ = 0, finished_ = 0, current_ = 0;
  void (*body_)(void*, Block&, std::uint32_t) = nullptr;
  void* context_ = nullptr;
  Reports* reports_ = nullptr;
  const char* kernel_ = "";
};

}  // namespace kinglet::emulator

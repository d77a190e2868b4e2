// tests/emulator/shadow.hpp: who touched each byte of device memory, and was anything between them?
//
// Two accesses of a byte by different threads of one launch, at least one a write and not both atomic, race unless a
// barrier that both threads took lies between them: one of the block, or of the warp where they share it. The order in
// which the fibers happened to run plays no part.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

namespace kinglet::emulator {

/// Where a thread stands.
struct Moment {
  std::uint32_t launch = 0;  ///< counts from 1
  std::uint32_t block = 0;
  std::uint32_t thread = 0;
  std::uint32_t block_barriers = 0;
  std::uint32_t warp_barriers = 0;   ///< of its warp
  std::uint32_t group_barriers = 0;  ///< of its group, which a named barrier has
  std::uint32_t warp() const { return thread / 32; }
};

/// The past of one byte.
struct Cell {
  Moment written;
  Moment read;
  bool atomic = false;  ///< the write was
  // More than the last reader, more than its warp, group or block read it since the last barrier.
  bool threads = false, warps = false, groups = false, blocks = false;
  bool known = false;  ///< anything was ever written
};

/// What went wrong, for the tests to look at.
class Reports {
 public:
  void add(const std::string& text) {
    if (lines_.size() < 32) lines_.push_back(text);
    ++count_;
  }
  std::size_t count() const { return count_; }
  const std::vector<std::string>& lines() const { return lines_; }
  /// All kept lines; "" = nothing was wrong.
  std::string text() const {
    std::string all;
    for (const std::string& line : lines_) all += line + "\n";
    return all;
  }
  bool mention(const std::string& what) const { return text().find(what) != std::string::npos; }
  void clear() { *this = {}; }

 private:
  std::vector<std::string> lines_;
  std::size_t count_ = 0;
};

enum class Access { read, write, atomic };

/// Looks at one access of a byte and remembers it. @return what is wrong, or null.
/// @param groups  the named barrier of each of the block's threads since the last barrier of the block, 0 = none
inline const char* observe(Cell& cell, const Moment& now, Access access, const std::uint8_t* groups) {
  const auto same_group = [&](const Moment& then) {
    return then.launch == now.launch && then.block == now.block && groups[now.thread] != 0 &&
           groups[then.thread] == groups[now.thread];
  };
  // A named barrier that both took lies between; they are of one block and have its barriers in common.
  const auto by_group = [&](const Moment& then) {
    return same_group(then) && then.group_barriers != now.group_barriers;
  };
  const auto together = [&](const Moment& then) {
    return then.launch == now.launch &&
           (then.block != now.block || (then.block_barriers == now.block_barriers && !by_group(then) &&
                                        (then.warp() != now.warp() || then.warp_barriers == now.warp_barriers)));
  };
  const auto other = [&](const Moment& then) { return then.block != now.block || then.thread != now.thread; };
  const char* wrong = nullptr;
  if (together(cell.written) && other(cell.written) && !(cell.atomic && access == Access::atomic)) {
    wrong = access == Access::read ? "race: read of what another thread writes" : "race: two threads write";
  }
  if (access != Access::write && !cell.known) wrong = "uninitialised memory is read";
  if (access == Access::read) {
    const Moment& then = cell.read;
    const bool fresh = then.launch != now.launch ||
                       (then.block == now.block && then.block_barriers != now.block_barriers && !cell.blocks) ||
                       (by_group(then) && !cell.groups && !cell.blocks);
    if (fresh) {
      cell.threads = cell.warps = cell.groups = cell.blocks = false;
    } else {
      cell.blocks |= then.block != now.block;
      cell.groups |= !same_group(then);
      cell.threads |= then.thread != now.thread;
      cell.warps |= then.warp() != now.warp();
    }
    cell.read = now;
    return wrong;
  }
  if (cell.read.launch == now.launch) {
    const Moment& then = cell.read;
    const bool in_block = then.block == now.block && then.block_barriers == now.block_barriers &&
                          (other(then) || cell.threads) && !(by_group(then) && !cell.groups) &&
                          (then.warp() != now.warp() || cell.warps || then.warp_barriers == now.warp_barriers);
    if (then.block != now.block || cell.blocks || in_block) wrong = "race: write of what another thread reads";
  }
  cell.written = now;
  cell.atomic = access == Access::atomic;
  cell.known = true;
  return wrong;
}

/// A thread's way to its moment and to the reports.
struct Witness {
  Moment now;
  Reports* reports = nullptr;
  const char* kernel = "";
  const std::uint8_t* groups = nullptr;
};

/// An array of device memory that watches itself.
template <class T>
class Watched {
 public:
  using Value = std::remove_const_t<T>;

  Watched(T* data, std::size_t count, Cell* cells, const Witness* witness, const char* space)
      : data_(data), count_(count), cells_(cells), witness_(witness), space_(space) {}

  /// One element, as if it were a T&.
  class Element {
   public:
    Element(const Watched& array, std::size_t i) : array_(array), i_(i) {}
    operator Value() const { return array_.get(i_, Access::read); }
    const Element& operator=(Value v) const {
      array_.set(i_, v, Access::write);
      return *this;
    }
    const Element& operator=(const Element& from) const { return *this = static_cast<Value>(from); }

   private:
    const Watched& array_;
    std::size_t i_;
  };

  Element operator[](std::size_t i) const { return {*this, i}; }
  Watched operator+(std::size_t n) const {
    if (n > count_) {
      complain("out of bounds: a pointer goes past the end", n);
      return {data_ + count_, 0, cells_, witness_, space_};
    }
    return {data_ + n, count_ - n, cells_ == nullptr ? nullptr : cells_ + n * sizeof(T), witness_, space_};
  }
  operator Watched<const Value>() const { return {data_, count_, cells_, witness_, space_}; }

  Value get(std::size_t i, Access access) const {
    Value v;
    std::memset(&v, 0xff, sizeof v);
    if (!inside(i)) return v;
    look(i, access);
    std::memcpy(&v, data_ + i, sizeof v);
    return v;
  }
  void set(std::size_t i, Value v, Access access) const {
    if (!inside(i)) return;
    look(i, access);
    std::memcpy(const_cast<Value*>(data_) + i, &v, sizeof v);
  }
  /// Element i holds nothing until it is written: a copy is on its way there.
  void forget(std::size_t i) const {
    if (!inside(i)) return;
    look(i, Access::write);
    for (std::size_t b = 0; b < sizeof(T); ++b) cells_[i * sizeof(T) + b].known = false;
  }
  /// Reports an address that is no multiple of so many bytes.
  void align(std::size_t i, std::size_t bytes) const {
    if (reinterpret_cast<std::uintptr_t>(data_ + i) % bytes != 0) complain("misaligned", i);
  }

 private:
  bool inside(std::size_t i) const {
    if (i < count_) return true;
    complain("out of bounds: the array has fewer elements", i);
    return false;
  }
  void look(std::size_t i, Access access) const {
    Cell* const cell = cells_ + i * sizeof(T);
    for (std::size_t b = 0; b < sizeof(T); ++b) {
      if (const char* const wrong = observe(cell[b], witness_->now, access, witness_->groups))
        return complain(wrong, i);
    }
  }
  void complain(const char* what, std::size_t i) const {
    const Moment& now = witness_->now;
    witness_->reports->add(std::string(witness_->kernel) + ": " + what + ", " + space_ + " element " +
                           std::to_string(i) + " of " + std::to_string(count_) + ", block " +
                           std::to_string(now.block) + ", thread " + std::to_string(now.thread));
  }

  T* data_;
  std::size_t count_;
  Cell* cells_;
  const Witness* witness_;
  const char* space_;
};

}  // namespace kinglet::emulator

// tests/emulator/device.hpp: what is a GPU without one?
//
// Device owns global memory (poisoned, every byte with its past) and runs kernels, block after block. The thread it
// gives them speaks the words of cuda/device.cuh. Watching costs a hundred times the plain access, so that it can be
// switched off for long runs, whose kernels are watched elsewhere.
#pragma once
#include <cxxabi.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include <kinglet/core/number.hpp>

#include "cuda/device.cuh"
#include "cuda/launch.hpp"
#include "tests/emulator/block.hpp"

namespace kinglet::emulator {

class Device;

/// A kernel's type as tools that read objects spell it.
template <class Kernel>
std::string name_of() {
  int status = 0;
  char* const text = abi::__cxa_demangle(typeid(Kernel).name(), nullptr, nullptr, &status);
  const std::string name = status == 0 ? text : typeid(Kernel).name();
  std::free(text);
  return name;
}

template <bool Watching>
class Thread {
 public:
  Thread(Device& device, Block& block, std::uint32_t index, const std::uint32_t (&grid)[3])
      : device_(device), block_(block), index_(index), grid_{grid[0], grid[1], grid[2]} {}

  unsigned thread() const { return index_; }
  unsigned threads() const { return block_.threads(); }
  unsigned block(int axis) const { return grid_[axis]; }
  void sync() const { block_.sync(index_); }
  void sync_warp() const { block_.sync_warp(index_); }
  void sync_group(unsigned id, unsigned threads) const { block_.sync_group(index_, id, threads); }

  template <class T>
  auto global(const cuda::View<T>& view) const;
  template <class T>
  auto shared(std::size_t offset, std::size_t count) const;

  template <class T>
  T shuffle(T v, unsigned lane) const {
    static_assert(sizeof(T) == 4);
    const std::uint32_t word = std::bit_cast<std::uint32_t>(v);
    return std::bit_cast<T>(block_.exchange(index_, "shuffle", &word, 1)[lane % 32][0]);
  }
  template <class T>
  T shuffle_xor(T v, unsigned mask) const {
    return shuffle(v, (index_ % 32) ^ mask);
  }
  std::uint32_t ballot(bool predicate) const {
    const std::uint32_t word = predicate ? 1 : 0;
    const auto& words = block_.exchange(index_, "ballot", &word, 1);
    std::uint32_t bits = 0;
    for (std::uint32_t lane = 0; lane < 32; ++lane) bits |= words[lane][0] << lane;
    return bits;
  }
  std::uint32_t reduce_max(std::uint32_t v) const {
    const auto& words = block_.exchange(index_, "reduce_max", &v, 1);
    std::uint32_t most = 0;
    for (const auto& word : words) most = std::max(most, word[0]);
    return most;
  }
  std::uint32_t reduce_add(std::uint32_t v) const {
    const auto& words = block_.exchange(index_, "reduce_add", &v, 1);
    std::uint32_t sum = 0;
    for (const auto& word : words) sum += word[0];
    return sum;
  }
  template <unsigned n>
  std::uint64_t block_least(std::uint64_t v) const {
    const auto& words = block_.gather(index_, n, v);
    return *std::min_element(words.begin(), words.end());
  }
  template <unsigned n>
  std::uint64_t block_scan(std::uint64_t v, std::uint64_t& total) const {
    const auto& words = block_.gather(index_, n, v);
    const std::uint64_t before = std::accumulate(words.begin(), words.begin() + index_, std::uint64_t{0});
    total = std::accumulate(words.begin() + index_, words.end(), before);
    return before;
  }
  template <unsigned n, class To, class From>
  void copy_async(const To& to, std::size_t i, const From& from, std::size_t j) const {
    if constexpr (Watching) {
      using T = typename To::Value;
      static_assert(n * sizeof(T) == 4 || n * sizeof(T) == 8 || n * sizeof(T) == 16);
      to.align(i, n * sizeof(T));
      from.align(j, n * sizeof(T));
      for (unsigned k = 0; k < n; ++k) {
        to.forget(i + k);
        block_.copy(index_, [to, at = i + k, v = from.get(j + k, Access::read)] { to.set(at, v, Access::write); });
      }
    } else {
      for (unsigned k = 0; k < n; ++k) to[i + k] = from[j + k];
    }
  }
  void commit_copies() const { block_.commit_copies(index_); }
  template <unsigned n>
  void wait_copies() const {
    block_.wait_copies(index_, n);
  }
  template <class Array>
  void load_matrices(std::uint32_t (&r)[4], const Array& array, std::size_t i) const {
    if constexpr (Watching) array.align(i, 16);
    std::uint32_t row[4];
    for (unsigned k = 0; k < 4; ++k) {
      const std::uint16_t low = array[i + 2 * k], high = array[i + 2 * k + 1];
      row[k] = low | static_cast<std::uint32_t>(high) << 16;
    }
    const auto& words = block_.exchange(index_, "load_matrices", row, 4);
    const std::uint32_t lane = index_ % 32;
    for (unsigned m = 0; m < 4; ++m) r[m] = words[8 * m + lane / 4][lane % 4];
  }
  std::int32_t dp4a(std::uint32_t a, std::uint32_t b, std::int32_t c) const {
    for (int i = 0; i < 4; ++i) c += byte(a, i) * byte(b, i);
    return c;
  }
  void mma(std::int32_t (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) const {
    const std::uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const auto& words = block_.exchange(index_, "mma", mine, 6);
    const std::uint32_t lane = index_ % 32;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t row = lane / 4 % 8, half = i / 2;  // row + 8 * half
      const std::uint32_t column = lane % 4 * 2 + i % 2;
      for (std::uint32_t k = 0; k < 32; ++k) {
        const std::uint32_t part = k % 16 / 4;  // t of the lane that holds it
        const std::uint32_t wa = words[4 * row + part][half + 2 * (k / 16)];
        const std::uint32_t wb = words[4 * column + part][4 + k / 16];
        c[i] += byte(wa, static_cast<int>(k % 4)) * byte(wb, static_cast<int>(k % 4));
      }
    }
  }
  std::uint32_t halves(float x, float y) const {
    return core::float_to_fp16(x) | static_cast<std::uint32_t>(core::float_to_fp16(y)) << 16;
  }
  /// Products are exact; they are added in ascending order, each sum rounded to FP32. What a device's adders do between
  /// is not documented: tests have a limit for it.
  void mma_halves(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) const {
    const std::uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const auto& words = block_.exchange(index_, "mma_halves", mine, 6);
    const std::uint32_t lane = index_ % 32;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t row = lane / 4, lower = i / 2;  // row + 8 * lower
      const std::uint32_t column = lane % 4 * 2 + i % 2;
      for (std::uint32_t k = 0; k < 16; ++k) {
        const std::uint32_t part = k % 8 / 2;  // t of the lane that holds it
        const float x = half(words[4 * row + part][lower + 2 * (k / 8)], k % 2);
        const float w = half(words[4 * column + part][4 + k / 8], k % 2);
        c[i] = std::fma(x, w, c[i]);
      }
    }
  }
  template <class Array, class T>
  T atomic_add(const Array& array, std::size_t i, T v) const {
    return atomic(array, i, [v](T old) { return static_cast<T>(old + v); });
  }
  template <class Array, class T>
  T atomic_min(const Array& array, std::size_t i, T v) const {
    return atomic(array, i, [v](T old) { return v < old ? v : old; });
  }

 private:
  static float half(std::uint32_t word, std::uint32_t i) {
    return core::fp16_to_float(static_cast<std::uint16_t>(word >> (16 * i)));
  }
  static std::int32_t byte(std::uint32_t word, int i) { return static_cast<std::int8_t>(word >> (8 * i)); }

  template <class Array, class Change>
  static auto atomic(const Array& array, std::size_t i, Change change) {
    if constexpr (Watching) {
      const auto old = array.get(i, Access::atomic);
      array.set(i, change(old), Access::atomic);
      return old;
    } else {
      const auto old = array[i];
      array[i] = change(old);
      return old;
    }
  }

  Device& device_;
  Block& block_;
  std::uint32_t index_;
  std::uint32_t grid_[3];
};

class Device {
 public:
  /// @param total     bytes of memory
  /// @param watching  look at every access of a kernel
  explicit Device(std::size_t total = std::size_t{1} << 30, bool watching = true)
      : total_(total), watching_(watching) {}

  Reports reports;
  std::set<std::string> watched;  ///< the kernels that ran with every access looked at, as name_of() spells them
  Order order = Order::ascending;
  std::uint32_t seed = 1;

  std::size_t total() const { return total_; }
  std::size_t free() const { return total_ - used_; }
  std::size_t allocations() const { return allocations_.size() - uncounted_; }

  /// Poisoned memory, or null where the device has not enough.
  /// @param counted  false: it is the host's
  void* allocate(std::size_t bytes, bool counted = true) {
    if (bytes == 0 || (counted && bytes > free())) return nullptr;
    Allocation a;
    a.bytes = bytes;
    a.counted = counted;
    a.data = std::make_unique_for_overwrite<Unit[]>((bytes + sizeof(Unit) - 1) / sizeof(Unit));
    std::memset(a.data.get(), 0xff, bytes);
    if (watching_) a.cells.resize(bytes);
    counted ? used_ += bytes : ++uncounted_;
    void* const at = a.data.get();
    allocations_.emplace(reinterpret_cast<std::uintptr_t>(at), std::move(a));
    return at;
  }
  /// The largest allocation, or null.
  void* largest() const {
    void* memory = nullptr;
    std::size_t most = 0;
    for (const auto& [at, allocation] : allocations_) {
      if (allocation.bytes > most) memory = allocation.data.get(), most = allocation.bytes;
    }
    return memory;
  }
  bool release(void* memory) {
    const auto found = allocations_.find(reinterpret_cast<std::uintptr_t>(memory));
    if (found == allocations_.end()) return false;
    found->second.counted ? used_ -= found->second.bytes : --uncounted_;
    allocations_.erase(found);
    return true;
  }
  /// The cells of a range, or null (which is reported) where it is not wholly inside one allocation.
  Cell* cells(const void* memory, std::size_t bytes, const char* who) {
    const auto at = reinterpret_cast<std::uintptr_t>(memory);
    auto found = allocations_.upper_bound(at);
    if (found != allocations_.begin()) {
      --found;
      const std::size_t offset = at - found->first;
      if (offset <= found->second.bytes && bytes <= found->second.bytes - offset) {
        return watching_ ? found->second.cells.data() + offset : &nobody_;
      }
    }
    reports.add(std::string(who) + ": out of bounds: an array is not inside device memory");
    return nullptr;
  }
  /// The host's writes and reads, which stand between launches.
  bool write(void* to, const void* from, std::size_t bytes) {
    Cell* const cell = cells(to, bytes, "copy");
    if (cell == nullptr) return false;
    std::memmove(to, from, bytes);
    if (watching_) {
      for (std::size_t i = 0; i < bytes; ++i) cell[i].known = true;
    }
    return true;
  }
  bool read(void* to, const void* from, std::size_t bytes) {
    Cell* const cell = cells(from, bytes, "copy");
    if (cell == nullptr) return false;
    if (watching_ && std::any_of(cell, cell + bytes, [](const Cell& c) { return !c.known; })) {
      reports.add("copy: uninitialised memory is read");
    }
    std::memcpy(to, from, bytes);
    return true;
  }

  /// On the device; what was poison stays poison.
  bool copy(void* to, const void* from, std::size_t bytes) {
    Cell* const target = cells(to, bytes, "copy");
    const Cell* const source = cells(from, bytes, "copy");
    if (target == nullptr || source == nullptr) return false;
    std::memmove(to, from, bytes);
    if (watching_) {
      for (std::size_t i = 0; i < bytes; ++i) target[i].known = source[i].known;
    }
    return true;
  }

  /// Runs a kernel to its end.
  template <class Kernel>
  void launch(const char* name, const cuda::Launch& shape, const typename Kernel::Args& args) {
    if (shape.threads % 32 != 0 || shape.threads == 0 || shape.threads > Kernel::max_threads) {
      return reports.add(std::string(name) + ": a block of " + std::to_string(shape.threads) + " threads");
    }
    watching_ ? launch_as<Kernel, true>(name, shape, args) : launch_as<Kernel, false>(name, shape, args);
  }

  // For Thread.
  std::byte* shared_memory() { return reinterpret_cast<std::byte*>(shared_.data()); }
  std::size_t shared_bytes() const { return shared_bytes_; }
  Cell* shared_cells() { return shared_cells_.data(); }

 private:
  struct alignas(256) Unit {
    std::byte bytes[256];
  };
  struct Allocation {
    std::size_t bytes = 0;
    bool counted = true;
    std::unique_ptr<Unit[]> data;
    std::vector<Cell> cells;
  };

  template <class Kernel, bool Watching>
  void launch_as(const char* name, const cuda::Launch& shape, const typename Kernel::Args& args) {
    struct Call {
      Device& device;
      const typename Kernel::Args& args;
      std::uint32_t grid[3];
    } call{*this, args, {}};
    if (Watching) watched.insert(name_of<Kernel>());
    ++launches_;
    shared_bytes_ = shape.shared;
    shared_.resize(shape.shared / sizeof(Unit) + 1);
    Moment now;
    now.launch = launches_;
    for (call.grid[2] = 0; call.grid[2] < shape.grid[2]; ++call.grid[2]) {
      for (call.grid[1] = 0; call.grid[1] < shape.grid[1]; ++call.grid[1]) {
        for (call.grid[0] = 0; call.grid[0] < shape.grid[0]; ++call.grid[0], ++now.block) {
          std::memset(static_cast<void*>(shared_.data()), 0xff, shape.shared);
          if (Watching) shared_cells_.assign(shape.shared, Cell{});
          const bool ended = block_.run(
              shape.threads, now, name, reports, order, seed + now.block,
              [](void* context, Block& block, std::uint32_t i) {
                const Call& c = *static_cast<Call*>(context);
                Kernel::run(Thread<Watching>(c.device, block, i, c.grid), c.args);
              },
              &call);
          if (!ended) return;
        }
      }
    }
  }

  std::size_t total_, used_ = 0, uncounted_ = 0;
  bool watching_;
  std::map<std::uintptr_t, Allocation> allocations_;
  Cell nobody_;
  Block block_;
  std::vector<Unit> shared_;
  std::size_t shared_bytes_ = 0;
  std::vector<Cell> shared_cells_;
  std::uint32_t launches_ = 0;
};

template <bool Watching>
template <class T>
auto Thread<Watching>::global(const cuda::View<T>& view) const {
  if constexpr (Watching) {
    const Witness& witness = block_.witness(index_);
    Cell* const cells =
        view.data == nullptr ? nullptr : device_.cells(view.data, view.count * sizeof(T), witness.kernel);
    return Watched<T>(view.data, cells == nullptr ? 0 : view.count, cells, &witness, "global");
  } else {
    return view.data;
  }
}

template <bool Watching>
template <class T>
auto Thread<Watching>::shared(std::size_t offset, std::size_t count) const {
  if constexpr (Watching) {
    const Witness& witness = block_.witness(index_);
    const std::size_t bytes = count * sizeof(T);
    const bool fits =
        offset <= device_.shared_bytes() && bytes <= device_.shared_bytes() - offset && offset % alignof(T) == 0;
    if (!fits)
      witness.reports->add(std::string(witness.kernel) + ": out of bounds: an array is not inside shared memory");
    return Watched<T>(reinterpret_cast<T*>(device_.shared_memory() + offset), fits ? count : 0,
                      device_.shared_cells() + offset, &witness, "shared");
  } else {
    return reinterpret_cast<T*>(device_.shared_memory() + offset);
  }
}

}  // namespace kinglet::emulator

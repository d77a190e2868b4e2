// tests/emulator/lent.hpp: how do kernels come to memory of the host?
//
// They find what is lent at an address of the device's own; at the host's they would be out of bounds.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>

#include "tests/emulator/device.hpp"

namespace kinglet::emulator {

class LentMemory {
 public:
  explicit LentMemory(Device& device) : device_(device) {}

  std::size_t count() const { return parts_.size(); }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& [host, part] : parts_) sum += part.bytes;
    return sum;
  }

  /// @return false: some of it is lent already
  bool lend(const void* memory, std::size_t bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(memory);
    for (const auto& [host, part] : parts_) {
      if (begin < host + part.bytes && host < begin + bytes) return false;
    }
    if (begin % 4096 != 0) device_.reports.add("memory is lent that begins within a page");
    void* const copy = device_.allocate(bytes, false);
    if (copy == nullptr || !device_.write(copy, memory, bytes)) return false;
    parts_[begin] = {copy, bytes};
    return true;
  }
  /// null: it is not lent
  const void* address(const void* memory) const {
    const auto found = parts_.find(reinterpret_cast<std::uintptr_t>(memory));
    return found == parts_.end() ? nullptr : found->second.copy;
  }
  /// It must still be mapped, and say what it said.
  bool give_back(const void* memory) {
    const auto found = parts_.find(reinterpret_cast<std::uintptr_t>(memory));
    if (found == parts_.end()) return false;
    const Part part = found->second;
    if (std::memcmp(memory, part.copy, part.bytes) != 0) device_.reports.add("lent memory is not what it was");
    parts_.erase(found);
    return device_.release(part.copy);
  }

 private:
  struct Part {
    void* copy = nullptr;
    std::size_t bytes = 0;
  };
  Device& device_;
  std::map<std::uintptr_t, Part> parts_;  // by the host's address
};

}  // namespace kinglet::emulator

// model/gguf_reader.hpp: how is one file of untrusted bytes cut into keys and tensors?
#pragma once
#include <algorithm>
#include <cstring>
#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

#include <kinglet/model/gguf.hpp>

namespace kinglet::model {

/// What one file (a part of a split model) holds.
struct GgufPart {
  std::uint32_t version = 0;
  std::uint32_t alignment = 32;
  std::size_t first_entry = 0;  ///< of `entries` below
  std::size_t first_tensor = 0;
};

/// Appends the file's metadata (sorted by key) and tensors, whose data lie within `file`.
/// bad_format, unsupported; throws std::bad_alloc.
Result<GgufPart> read_part(std::span<const std::byte> file, std::pmr::vector<Gguf::Entry>& entries,
                           std::pmr::vector<TensorInfo>& tensors);

/// Bytes of a value of fixed size; 0 for strings, arrays and what is no type.
std::size_t value_bytes(ValueType type) noexcept;

/// Sorts within the range even where the order contradicts itself, as names in a file that is being rewritten may.
template <class Iterator, class Less>
void heap_sort(Iterator first, Iterator last, Less less) {
  std::make_heap(first, last, less);
  std::sort_heap(first, last, less);
}

template <class T>
T read_le(const std::byte* p) noexcept {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace kinglet::model

// tests/model/raw_gguf.hpp: how does a test write a GGUF file that no honest program would?
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include <kinglet/model/gguf.hpp>

namespace kinglet::test {

/// Appends whatever it is told, little endian.
struct RawGguf {
  std::vector<std::byte> bytes;

  template <class Number>
  RawGguf& put(Number number) {
    return append(&number, sizeof number);
  }
  RawGguf& text(std::string_view s) { return append(s.data(), s.size()); }
  RawGguf& string(std::string_view s) { return put(std::uint64_t{s.size()}).text(s); }

  RawGguf& header(std::uint64_t tensors, std::uint64_t entries, std::uint32_t version = 3) {
    return text("GGUF").put(version).put(tensors).put(entries);
  }
  RawGguf& key(std::string_view name, std::uint32_t type) { return string(name).put(type); }
  RawGguf& key(std::string_view name, model::ValueType type) { return key(name, static_cast<std::uint32_t>(type)); }
  RawGguf& array(std::string_view name, model::ValueType element, std::uint64_t count) {
    return key(name, model::ValueType::array).put(static_cast<std::uint32_t>(element)).put(count);
  }
  RawGguf& tensor(std::string_view name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                  std::uint64_t offset) {
    string(name).put(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t dim : dims) put(dim);
    return put(type).put(offset);
  }
  /// Zeros up to a multiple of `alignment`, then `n` bytes of data.
  RawGguf& data(std::size_t n, std::size_t alignment = 32) {
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    for (std::size_t i = 0; i < n; ++i) bytes.push_back(static_cast<std::byte>(i + 1));
    return *this;
  }

 private:
  RawGguf& append(const void* data, std::size_t n) {
    const std::size_t at = bytes.size();
    bytes.resize(at + n);
    if (n != 0) std::memcpy(bytes.data() + at, data, n);
    return *this;
  }
};

}  // namespace kinglet::test

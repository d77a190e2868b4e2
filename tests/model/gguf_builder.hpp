// tests/model/gguf_builder.hpp: how does a test write a GGUF file that no honest program would?
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <kinglet/model/gguf.hpp>

namespace kinglet::test {

/// Little-endian bytes, one field after the other.
class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), p, p + sizeof value);
    return *this;
  }
  Bytes& raw(std::string_view text) {
    const auto* p = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), p, p + text.size());
    return *this;
  }
  Bytes& string(std::string_view text) { return put<std::uint64_t>(text.size()).raw(text); }
  Bytes& header(std::uint64_t tensors, std::uint64_t entries, std::uint32_t version = 3) {
    return raw("GGUF").put<std::uint32_t>(version).put(tensors).put(entries);
  }
  Bytes& key(std::string_view name, model::ValueType type) {
    return string(name).put(static_cast<std::uint32_t>(type));
  }
  Bytes& tensor(std::string_view name, std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset) {
    string(name).put<std::uint32_t>(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t d : dims) put(d);
    return put(type).put(offset);
  }
  /// Zeros up to a multiple of 32, then `n` bytes of data.
  Bytes& data(std::size_t n) {
    bytes_.resize((bytes_.size() + 31) / 32 * 32 + n);
    return *this;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace kinglet::test

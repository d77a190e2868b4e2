// model/packed_tensor.hpp: what stands in a file of `kinglet pack` that no other GGUF file has? (docs/packed-files.md)
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include <kinglet/quant/format.hpp>

#include "ops/kernels/packed.hpp"

namespace kinglet::model {

inline constexpr std::uint32_t pack_version = 2;
inline constexpr std::string_view pack_version_key = "kinglet.pack.version";
inline constexpr std::string_view pack_sums_name = "kinglet.pack.sums";
/// The type number of a tensor of strips is this plus the type number of its blocks.
inline constexpr std::uint32_t packed_type_base = 0x4b500000;
/// GGUF's number for 64-bit integers.
inline constexpr std::uint32_t words_type = 27;
/// What to do about a packed file that is of no use.
inline constexpr const char* pack_anew = "make it anew from the original with 'kinglet pack'";

/// The format whose strips a tensor type means.
inline std::optional<quant::Format> packed_format(std::uint32_t type) noexcept {
  if (type < packed_type_base) return std::nullopt;
  const auto format = quant::from_gguf_type(type - packed_type_base);
  if (!format || ops::strip_layout(*format).codes == 0) return std::nullopt;
  return *format;
}

/// @param dims  columns, rows, and how many matrices take turns strip by strip; at most 2^50 weights
inline std::uint64_t packed_bytes(quant::Format format, std::span<const std::uint64_t> dims) noexcept {
  const std::uint64_t strips = (dims[1] + ops::strip_rows - 1) / ops::strip_rows;
  return strips * ops::strip_bytes(format, static_cast<std::size_t>(dims[0])) * (dims.size() > 2 ? dims[2] : 1);
}

/// A sum over bytes that notices damage (not ill will): four lanes of 64-bit words.
class PackSum {
 public:
  void add(std::span<const std::byte> part) noexcept {
    if (part.empty()) return;
    const std::size_t held = length_ % sizeof rest_;
    length_ += part.size();
    if (held != 0) {
      const std::size_t n = std::min(part.size(), sizeof rest_ - held);
      std::memcpy(rest_ + held, part.data(), n);
      if (held + n < sizeof rest_) return;
      take(rest_);
      part = part.subspan(n);
    }
    for (; part.size() >= sizeof rest_; part = part.subspan(sizeof rest_)) take(part.data());
    if (!part.empty()) std::memcpy(rest_, part.data(), part.size());
  }
  std::uint64_t value() const noexcept {
    PackSum ended = *this;
    const std::size_t held = length_ % sizeof rest_;
    if (held != 0) {
      std::memset(ended.rest_ + held, 0, sizeof rest_ - held);
      ended.take(ended.rest_);
    }
    std::uint64_t all = length_;
    for (const std::uint64_t lane : ended.lane_) all = mixed(all ^ lane);
    return all;
  }

 private:
  static std::uint64_t mixed(std::uint64_t x) noexcept {
    x *= 0x9e3779b97f4a7c15u;
    return x ^ x >> 32;
  }
  void take(const std::byte* p) noexcept {
    for (std::size_t i = 0; i < 4; ++i) {
      std::uint64_t word;
      std::memcpy(&word, p + 8 * i, sizeof word);
      lane_[i] = mixed(lane_[i] ^ word);
    }
  }

  std::uint64_t lane_[4] = {1, 2, 3, 4};
  std::byte rest_[32] = {};
  std::uint64_t length_ = 0;
};

}  // namespace kinglet::model

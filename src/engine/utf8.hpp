// engine/utf8.hpp: which bytes of a text are whole characters?
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kinglet::engine {

/// Bytes of the character that begins at `text`, or 0 where none does (Unicode 15, table 3-7).
inline std::size_t utf8_length(const char* text, std::size_t size) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const auto follows = [&](std::size_t i, std::uint8_t low, std::uint8_t high) {
    return i < size && byte(i) >= low && byte(i) <= high;
  };
  if (size == 0) return 0;
  const std::uint8_t b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xc2 && b <= 0xdf) return follows(1, 0x80, 0xbf) ? 2 : 0;
  if (b >= 0xe0 && b <= 0xef) {
    const std::uint8_t low = b == 0xe0 ? 0xa0 : 0x80, high = b == 0xed ? 0x9f : 0xbf;
    return follows(1, low, high) && follows(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (b >= 0xf0 && b <= 0xf4) {
    const std::uint8_t low = b == 0xf0 ? 0x90 : 0x80, high = b == 0xf4 ? 0x8f : 0xbf;
    return follows(1, low, high) && follows(2, 0x80, 0xbf) && follows(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

/// Where the first byte stands that is no part of a character; the size where there is none.
inline std::size_t find_invalid(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.data() + i, text.size() - i);
    if (length == 0) return i;
    i += length;
  }
  return text.size();
}

/// Moves the whole characters of a text together, in place, and returns how many bytes they take.
inline std::size_t keep_utf8(char* text, std::size_t size) noexcept {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size;) {
    const std::size_t length = utf8_length(text + i, size - i);
    for (std::size_t b = 0; b < length; ++b) text[kept++] = text[i + b];
    i += length != 0 ? length : 1;
  }
  return kept;
}

}  // namespace kinglet::engine

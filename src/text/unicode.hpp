// text/unicode.hpp: what kind of character is this, and is this text UTF-8 at all?
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kinglet::text {

/// What the patterns of pre-tokenizers ask of a character; several bits may be set. \s, \p{L}, \p{N}, ...
enum Kind : unsigned {
  letter = 1,
  upper = 2,  ///< Lu and Lt, beside `letter`
  lower = 4,  ///< Ll, beside `letter`
  number = 8,
  mark = 16,
  punctuation = 32,
  symbol = 64,
  space = 128,    ///< White_Space
  newline = 256,  ///< \r and \n, beside `space`
  other = 512,    ///< controls, formats, private and unassigned
};

unsigned kind_of(char32_t c) noexcept;

/// Bytes of the code point that begins with this byte, in valid UTF-8.
inline std::size_t length_of(char first) noexcept {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/// The code point at text[at] of valid UTF-8; `at` moves past it.
inline char32_t next_char(std::string_view text, std::size_t& at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  const std::size_t length = length_of(text[at]);
  char32_t c = byte(0);
  if (length == 2) c = ((c & 0x1f) << 6) | (byte(1) & 0x3f);
  if (length == 3) c = ((c & 0x0f) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f);
  if (length == 4) c = ((c & 0x07) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) | (byte(3) & 0x3f);
  at += length;
  return c;
}

/// What stands at the front of some bytes.
struct Front {
  enum State { valid, unfinished, invalid } state;
  std::size_t length;  ///< bytes of the code point, or of the maximal part that belongs to none
};

/// Never surrogates, overlong forms or more than U+10FFFF (Unicode 15, table 3-7).
/// @param bytes  not empty
Front front(std::string_view bytes) noexcept;

/// The offset of the first byte that is not UTF-8, or text.size().
std::size_t first_invalid(std::string_view text) noexcept;

}  // namespace kinglet::text

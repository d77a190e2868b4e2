// text/unicode.cpp: which class has a code point, and where does UTF-8 break?
#include "text/unicode.hpp"

#include <utf8proc.h>

#include <array>
#include <cstring>

namespace kinglet::text {
namespace {

unsigned from_category(char32_t c) noexcept {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT: return letter | upper;
    case UTF8PROC_CATEGORY_LL: return letter | lower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return letter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return mark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return number;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return punctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return symbol;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return space;
    default: return c == 0x85 ? space : other;
  }
}

constexpr unsigned of_ascii(unsigned c) noexcept {
  if (c == '\r' || c == '\n') return space | newline;
  if (c == ' ' || (c >= 9 && c <= 13)) return space;
  if (c < ' ' || c == 127) return other;
  if (c >= '0' && c <= '9') return number;
  if (c >= 'A' && c <= 'Z') return letter | upper;
  if (c >= 'a' && c <= 'z') return letter | lower;
  return std::string_view("$+<=>^`|~").find(static_cast<char>(c)) != std::string_view::npos ? symbol : punctuation;
}

constexpr std::array<std::uint16_t, 128> ascii = [] {
  std::array<std::uint16_t, 128> kinds{};
  for (unsigned c = 0; c < 128; ++c) kinds[c] = static_cast<std::uint16_t>(of_ascii(c));
  return kinds;
}();

}  // namespace

unsigned kind_of(char32_t c) noexcept { return c < 128 ? ascii[c] : from_category(c); }

Front front(std::string_view bytes) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {Front::valid, 1};
  if (first < 0xc2 || first > 0xf4) return {Front::invalid, 1};
  const std::size_t length = length_of(bytes[0]);
  unsigned least = 0x80;
  unsigned most = 0xbf;
  if (first == 0xe0) least = 0xa0;
  if (first == 0xed) most = 0x9f;
  if (first == 0xf0) least = 0x90;
  if (first == 0xf4) most = 0x8f;
  for (std::size_t i = 1; i < length; ++i, least = 0x80, most = 0xbf) {
    if (i == bytes.size()) return {Front::unfinished, i};
    if (byte(i) < least || byte(i) > most) return {Front::invalid, i};
  }
  return {Front::valid, length};
}

std::size_t first_invalid(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint64_t eight;
    if (text.size() - at >= sizeof eight) {
      std::memcpy(&eight, text.data() + at, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        at += sizeof eight;
        continue;
      }
    }
    const Front here = front(text.substr(at));
    if (here.state != Front::valid) return at;
    at += here.length;
  }
  return at;
}

}  // namespace kinglet::text

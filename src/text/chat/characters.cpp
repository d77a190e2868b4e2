// text/chat/characters.cpp: how does Python class and case characters?
#include "text/chat/characters.hpp"

#include <utf8proc.h>

#include <algorithm>

#include "text/chat/run.hpp"

namespace kinglet::text::chat {
namespace {

bool continues(std::string_view text, std::size_t i) noexcept {
  return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xc0u) == 0x80u;
}

utf8proc_category_t category(std::uint32_t code) noexcept {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

std::uint32_t upper(std::uint32_t c) noexcept {
  return static_cast<std::uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
std::uint32_t lower(std::uint32_t c) noexcept {
  return static_cast<std::uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
std::uint32_t title(std::uint32_t c) noexcept {
  return static_cast<std::uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}
bool cased(std::uint32_t c) noexcept {
  if (c == no_character) return false;
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

void write_code(Buffer& out, std::uint32_t code) {
  char room[4];
  out.append({room, encode(code, room)});
}

/// Whether the sigma that ends at `after` stands at the end of a word.
bool final_sigma(std::string_view text, std::size_t at, std::size_t after) noexcept {
  const auto ignorable = [](std::uint32_t c) {
    const auto k = c == no_character ? UTF8PROC_CATEGORY_CN : category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xb7 ||
           c == 0x2019;
  };
  std::size_t before = at;
  std::uint32_t c = no_character;
  while (before > 0) {
    before = previous_character(text, before);
    c = code_point(text.substr(before));
    if (!ignorable(c)) break;
    c = no_character;
  }
  if (!cased(c)) return false;
  while (after < text.size()) {
    c = code_point(text.substr(after));
    if (!ignorable(c)) return !cased(c);
    after += character_size(text.substr(after));
  }
  return true;
}

}  // namespace

std::size_t character_size(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0xc2) return 1;
  if (first < 0xe0) return continues(text, 1) ? 2 : 1;
  const auto second = text.size() > 1 ? static_cast<unsigned char>(text[1]) : 0u;
  if (first < 0xf0) {
    const bool good = continues(text, 1) && continues(text, 2) && !(first == 0xe0 && second < 0xa0) &&
                      !(first == 0xed && second >= 0xa0);
    return good ? 3 : 1;
  }
  const bool good = first < 0xf5 && continues(text, 1) && continues(text, 2) && continues(text, 3) &&
                    !(first == 0xf0 && second < 0x90) && !(first == 0xf4 && second >= 0x90);
  return good ? 4 : 1;
}

std::uint32_t code_point(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  switch (character_size(text)) {
    case 1: return byte(0) < 0x80 ? byte(0) : no_character;
    case 2: return (byte(0) & 31u) << 6 | (byte(1) & 63u);
    case 3: return (byte(0) & 15u) << 12 | (byte(1) & 63u) << 6 | (byte(2) & 63u);
    case 4: return (byte(0) & 7u) << 18 | (byte(1) & 63u) << 12 | (byte(2) & 63u) << 6 | (byte(3) & 63u);
    default: return no_character;
  }
}

std::size_t count_characters(std::string_view text) noexcept {
  std::size_t n = 0;
  for (std::size_t i = 0; i < text.size(); i += character_size(text.substr(i))) ++n;
  return n;
}

std::size_t character_offset(std::string_view text, std::size_t n) noexcept {
  std::size_t i = 0;
  for (; n > 0 && i < text.size(); --n) i += character_size(text.substr(i));
  return i;
}

std::size_t previous_character(std::string_view text, std::size_t end) noexcept {
  for (std::size_t n = std::min<std::size_t>(4, end); n > 1; --n) {
    if (character_size(text.substr(end - n, n)) == n) return end - n;
  }
  return end - 1;
}

std::size_t encode(std::uint32_t code, char* out) noexcept {
  const auto put = [&](std::size_t i, std::uint32_t byte) { out[i] = static_cast<char>(byte); };
  if (code < 0x80) {
    put(0, code);
    return 1;
  }
  if (code < 0x800) {
    put(0, 0xc0u | code >> 6);
    put(1, 0x80u | (code & 63u));
    return 2;
  }
  if (code < 0x10000) {
    put(0, 0xe0u | code >> 12);
    put(1, 0x80u | (code >> 6 & 63u));
    put(2, 0x80u | (code & 63u));
    return 3;
  }
  put(0, 0xf0u | (code >> 18 & 7u));
  put(1, 0x80u | (code >> 12 & 63u));
  put(2, 0x80u | (code >> 6 & 63u));
  put(3, 0x80u | (code & 63u));
  return 4;
}

bool is_space(std::uint32_t c) noexcept {
  return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

std::string_view trim_left(std::string_view text) noexcept {
  while (!text.empty() && is_space(code_point(text))) text.remove_prefix(character_size(text));
  return text;
}

std::string_view trim_right(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t start = previous_character(text, text.size());
    if (!is_space(code_point(text.substr(start)))) break;
    text = text.substr(0, start);
  }
  return text;
}

bool has_character(std::string_view set, std::string_view character) noexcept {
  for (std::size_t i = 0; i < set.size(); i += character_size(set.substr(i))) {
    if (set.substr(i, character_size(set.substr(i))) == character) return true;
  }
  return false;
}

void write_case(Buffer& out, std::string_view text, Case how) {
  bool in_word = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = character_size(text.substr(i));
    const std::uint32_t c = code_point(text.substr(i));
    bool up = how == Case::upper;
    if (how == Case::capitalize) up = i == 0;
    if (how == Case::title) up = !in_word;
    if (how == Case::swap) up = c != no_character && category(c) == UTF8PROC_CATEGORY_LL;
    const bool first = up && (how == Case::capitalize || how == Case::title);
    if (c == no_character) {
      out.append(text.substr(i, n));
    } else if (up && c == 0xdf) {
      out.append(first ? "Ss" : "SS");
    } else if (!up && c == 0x3a3 && final_sigma(text, i, i + n)) {
      write_code(out, 0x3c2);
    } else {
      write_code(out, first ? title(c) : up ? upper(c) : lower(c));
    }
    in_word = cased(c);
    i += n;
  }
}

bool printable(std::uint32_t code) noexcept {
  if (code == ' ') return true;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

bool all_of(std::string_view text, Class what) noexcept {
  if (what == Class::ascii) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  }
  bool any = false;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size(); i += character_size(text.substr(i))) {
    const std::uint32_t c = code_point(text.substr(i));
    const auto k = c == no_character ? UTF8PROC_CATEGORY_CN : category(c);
    const bool letter = k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT ||
                        k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_LO;
    const bool numeral = k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
    bool good = false;
    switch (what) {
      case Class::alpha: good = letter; break;
      case Class::decimal: good = k == UTF8PROC_CATEGORY_ND; break;
      case Class::digit:
        good = k == UTF8PROC_CATEGORY_ND || c == 0xb2 || c == 0xb3 || c == 0xb9 || (c >= 0x2070 && c <= 0x2089);
        break;
      case Class::numeric: good = numeral; break;
      case Class::alnum: good = letter || numeral; break;
      case Class::space: good = is_space(c); break;
      case Class::lower:
      case Class::upper:
        if (!cased(c)) continue;
        good = (k == UTF8PROC_CATEGORY_LL) == (what == Class::lower) && k != UTF8PROC_CATEGORY_LT;
        break;
      case Class::title: {
        const bool was = in_word;
        in_word = cased(c);
        if (!in_word) continue;
        good = (k == UTF8PROC_CATEGORY_LL) == was;
        break;
      }
      case Class::ascii: break;
    }
    if (!good) return false;
    any = true;
  }
  return any;
}

}  // namespace kinglet::text::chat

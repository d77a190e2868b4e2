// text/scan.hpp: how far does a run of characters of one kind go?
#pragma once
#include <cstddef>
#include <string_view>

#include "text/pretokenizer.hpp"
#include "text/unicode.hpp"

namespace kinglet::text {

/// The kind of the character at `at`, which moves past it; 0 at the end.
inline unsigned take(std::string_view text, std::size_t& at) noexcept {
  return at < text.size() ? kind_of(next_char(text, at)) : 0;
}

inline unsigned peek(std::string_view text, std::size_t at) noexcept { return take(text, at); }

/// The end of the run, of `most` characters at most, that satisfies test(c), beginning at `at`.
template <class Test>
std::size_t run_while(std::string_view text, std::size_t at, Test test,
                      std::size_t most = static_cast<std::size_t>(-1)) {
  for (std::size_t next = at; next < text.size() && most != 0; at = next, --most) {
    if (!test(next_char(text, next))) break;
  }
  return at;
}

inline std::size_t run_of(std::string_view text, std::size_t at, unsigned kinds,
                          std::size_t most = static_cast<std::size_t>(-1)) noexcept {
  return run_while(
      text, at, [kinds](char32_t c) { return (kind_of(c) & kinds) != 0; }, most);
}

inline std::size_t run_without(std::string_view text, std::size_t at, unsigned kinds) noexcept {
  return run_while(text, at, [kinds](char32_t c) { return (kind_of(c) & kinds) == 0; });
}

/// A match [at, end) where that is not empty, else nothing for one character.
inline Match found_or_next(std::string_view text, std::size_t at, std::size_t end) noexcept {
  return end > at ? Match{true, end} : Match{false, at + length_of(text[at])};
}

}  // namespace kinglet::text

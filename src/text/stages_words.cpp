// text/stages_words.cpp: how are the patterns of whole words matched: GPT-2's, the family after GPT-4's, DeepSeek V3's
// and BLOOM's?
#include "text/scan.hpp"
#include "text/stages.hpp"

namespace kinglet::text::stages {
namespace {

/// The end of 's 't 're 've 'm 'll 'd at `at`, or `at`.
std::size_t contraction(std::string_view text, std::size_t at, bool any_case) noexcept {
  if (text.size() - at < 2 || text[at] != '\'') return at;
  const auto lowered = [&](std::size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  };
  const char first = lowered(at + 1);
  const char second = lowered(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
    return at + 3;
  // U+017F, the long s, is an s in any case.
  return any_case && text.substr(at + 1, 2) == "\xc5\xbf" ? at + 3 : at;
}

/// \s*[\r\n]+|\s+(?!\S)|\s+ at a space (the first part only with `lines`).
Match spaces(std::string_view text, std::size_t at, bool lines) noexcept {
  std::size_t end = at;
  std::size_t last = at;       // where the last space of the run begins
  std::size_t after_line = 0;  // behind the last line break of the run
  for (std::size_t next = at;; end = next) {
    const std::size_t here = next;
    const unsigned kind = take(text, next);
    if ((kind & space) == 0) break;
    last = here;
    if ((kind & newline) != 0) after_line = next;
  }
  if (lines && after_line != 0) return {true, after_line};
  return {true, end == text.size() || last == at ? end : last};
}

/// ` ?[^kinds]+[tail]*`, or `at` where it does not match.
std::size_t signs_with_tail(std::string_view text, std::size_t at, unsigned kinds, std::string_view tail) noexcept {
  const std::size_t from = text[at] == ' ' ? at + 1 : at;
  std::size_t end = run_without(text, from, kinds);
  if (end == from) return at;
  while (end < text.size() && tail.find(text[end]) != std::string_view::npos) ++end;
  return end;
}

constexpr unsigned not_upper(unsigned kind) noexcept {
  return (kind & mark) | ((kind & upper) == 0 ? kind & letter : 0);
}
constexpr unsigned not_lower(unsigned kind) noexcept {
  return (kind & mark) | ((kind & lower) == 0 ? kind & letter : 0);
}

/// W*w+ (`needs_lower`) or W+w* at `from`: its end, or `from` where it does not match. Greedy W* takes what is w as
/// well, and gives back only as much as w+ needs: then w+ is the last such character, for what follows it is only W.
std::size_t cased(std::string_view text, std::size_t from, bool needs_lower) noexcept {
  std::size_t end = from;
  std::size_t after_both = from;
  for (std::size_t next = from;; end = next) {
    const unsigned kind = take(text, next);
    if (not_lower(kind) == 0) break;
    if (not_upper(kind) != 0) after_both = next;
  }
  if (!needs_lower && end == from) return from;
  const std::size_t low = run_while(text, end, [](char32_t c) { return not_upper(kind_of(c)) != 0; });
  if (!needs_lower || low > end) return low;
  return after_both;
}

std::size_t cased_word_at(std::string_view text, std::size_t at, bool with_contraction) noexcept {
  std::size_t prefixed = at;
  const bool prefix = (take(text, prefixed) & (newline | letter | number)) == 0;
  for (const bool needs_lower : {true, false}) {
    std::size_t end = prefix ? cased(text, prefixed, needs_lower) : prefixed;
    if (!prefix || end == prefixed) {
      end = cased(text, at, needs_lower);
      if (end == at) continue;
    }
    return with_contraction ? contraction(text, end, true) : end;
  }
  return at;
}

/// `[^\r\n..]?[word]+`, or `at`. @param not_before  kinds that may not stand before the word
std::size_t word_at(std::string_view text, std::size_t at, unsigned word, unsigned not_before) noexcept {
  std::size_t from = at;
  const unsigned first = take(text, from);
  if ((first & (not_before | newline)) != 0) return (first & word) != 0 ? run_of(text, at, word) : at;
  const std::size_t end = run_of(text, from, word);
  if (end > from) return end;
  return (first & word) != 0 ? from : at;
}

bool ends_a_bloom_word(char32_t c) noexcept {
  switch (c) {
    case U'(':
    case U')':
    case U'|':
    case U'.':
    case U',':
    case U'!':
    case U'?':
    case U'\u2026':
    case U'\u3002':
    case U'\uff0c':
    case U'\u3001':
    case U'\u0964':
    case U'\u06d4':
    case U'\u060c': return true;
    default: return (kind_of(c) & space) != 0;
  }
}

}  // namespace

Match modern_at(const Modern& form, std::string_view text, std::size_t at) noexcept {
  if (form.contractions == Contractions::first) {
    const std::size_t end = contraction(text, at, true);
    if (end > at) return {true, end};
  }
  const std::size_t word = form.cased ? cased_word_at(text, at, form.contractions == Contractions::after)
                                      : word_at(text, at, form.word, letter | number);
  if (word > at) return {true, word};
  const unsigned kind = peek(text, at);
  if ((kind & number) != 0) return {true, run_of(text, at, number, static_cast<std::size_t>(form.digits))};
  const std::size_t end = signs_with_tail(text, at, space | number | form.word, form.tail);
  if (end > at) return {true, end};
  return (kind & space) != 0 ? spaces(text, at, true) : found_or_next(text, at, at);
}

Match gpt2(std::string_view text, std::size_t at) noexcept {
  if (const std::size_t end = contraction(text, at, false); end > at) return {true, end};
  const std::size_t from = text[at] == ' ' ? at + 1 : at;
  const unsigned kind = peek(text, from);
  if ((kind & letter) != 0) return {true, run_of(text, from, letter)};
  if ((kind & number) != 0) return {true, run_of(text, from, number)};
  if (from < text.size() && (kind & space) == 0) return {true, run_without(text, from, space | letter | number)};
  return spaces(text, at, false);
}

Match deepseek3(std::string_view text, std::size_t at) noexcept {
  const auto is_ascii_letter = [](char32_t c) { return c < 128 && (kind_of(c) & letter) != 0; };
  if (static_cast<unsigned char>(text[at]) < 128 && (peek(text, at) & (punctuation | symbol)) != 0) {
    const std::size_t end = run_while(text, at + 1, is_ascii_letter);
    if (end > at + 1) return {true, end};
  }
  const std::size_t word = word_at(text, at, letter | mark, letter | punctuation | symbol);
  if (word > at) return {true, word};
  const std::size_t end = signs_with_tail(text, at, ~0u ^ (punctuation | symbol), "\r\n");
  if (end > at) return {true, end};
  return (peek(text, at) & space) != 0 ? spaces(text, at, true) : found_or_next(text, at, at);
}

Match bloom(std::string_view text, std::size_t at) noexcept {
  const std::size_t from = text[at] == ' ' ? at + 1 : at;
  const std::size_t end = run_while(text, from, [](char32_t c) { return !ends_a_bloom_word(c); });
  return found_or_next(text, at, end > from ? end : at);
}

}  // namespace kinglet::text::stages

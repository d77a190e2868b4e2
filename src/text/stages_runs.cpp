// text/stages_runs.cpp: how are the stages matched that take one character or a run of them?
#include <algorithm>
#include <iterator>

#include "text/scan.hpp"
#include "text/stages.hpp"

namespace kinglet::text::stages {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

template <std::size_t count>
bool in(const Range (&ranges)[count], char32_t c) noexcept {
  const auto after =
      std::upper_bound(std::begin(ranges), std::end(ranges), c, [](char32_t x, const Range& r) { return x < r.first; });
  return after != std::begin(ranges) && c <= std::prev(after)->last;
}

// The letters of deepseek-llm's pattern: scripts that have cases, as of Unicode 11.
constexpr Range cased_letters[] = {
    {0x41, 0x5a},       {0x61, 0x7a},       {0xb5, 0xb5},       {0xc0, 0xd6},       {0xd8, 0xf6},
    {0xf8, 0x1ba},      {0x1bc, 0x1bf},     {0x1c4, 0x293},     {0x295, 0x2af},     {0x370, 0x373},
    {0x376, 0x377},     {0x37b, 0x37d},     {0x37f, 0x37f},     {0x386, 0x386},     {0x388, 0x38a},
    {0x38c, 0x38c},     {0x38e, 0x3a1},     {0x3a3, 0x3f5},     {0x3f7, 0x481},     {0x48a, 0x52f},
    {0x531, 0x556},     {0x10a0, 0x10c5},   {0x13a0, 0x13f5},   {0x13f8, 0x13fd},   {0x1c90, 0x1cba},
    {0x1cbd, 0x1cbf},   {0x1d00, 0x1d2b},   {0x1d6b, 0x1d77},   {0x1d79, 0x1d9a},   {0x1e00, 0x1f15},
    {0x1f18, 0x1f1d},   {0x1f20, 0x1f45},   {0x1f48, 0x1f4d},   {0x1f50, 0x1f57},   {0x1f59, 0x1f59},
    {0x1f5b, 0x1f5b},   {0x1f5d, 0x1f5d},   {0x1f5f, 0x1f7d},   {0x1f80, 0x1fb4},   {0x1fb6, 0x1fbc},
    {0x1fbe, 0x1fbe},   {0x1fc2, 0x1fc4},   {0x1fc6, 0x1fcc},   {0x1fd0, 0x1fd3},   {0x1fd6, 0x1fdb},
    {0x1fe0, 0x1fec},   {0x1ff2, 0x1ff4},   {0x1ff6, 0x1ffc},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210a, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211d},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212a, 0x212d},   {0x212f, 0x2134},   {0x2139, 0x2139},   {0x213c, 0x213f},
    {0x2145, 0x2149},   {0x214e, 0x214e},   {0x2183, 0x2184},   {0x2c00, 0x2c7b},   {0x2c7e, 0x2ce4},
    {0x2ceb, 0x2cee},   {0x2cf2, 0x2cf3},   {0xa640, 0xa66d},   {0xa680, 0xa69b},   {0xa722, 0xa76f},
    {0xa771, 0xa787},   {0xa78b, 0xa78e},   {0xab70, 0xabbf},   {0xfb00, 0xfb06},   {0xfb13, 0xfb17},
    {0xff21, 0xff3a},   {0xff41, 0xff5a},   {0x10400, 0x1044f}, {0x104b0, 0x104d3}, {0x104d8, 0x104fb},
    {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df}, {0x1e900, 0x1e943}};

constexpr Range sign_ranges[] = {{'!', '/'},       {':', '~'},       {0x2018, 0x201f},
                                 {0x3000, 0x3002}, {0xff01, 0xff0f}, {0xff1a, 0xff5e}};
constexpr Range korean_ranges[] = {{0x800, 0x9fa5}, {0xac00, 0xd7ff}};
constexpr Range kana_ranges[] = {{0x3040, 0x30ff}, {0x4e00, 0x9fa5}};

constexpr Range hangul[] = {{0x3131, 0x318e}, {0xac00, 0xd7a3}};
constexpr Range asian_signs[] = {{0x2014, 0x2014}, {0x2018, 0x2019}, {0x201c, 0x201d},
                                 {0x2026, 0x2026}, {0x3001, 0x303f}, {0xfe30, 0xfe4f},
                                 {0xff01, 0xff01}, {0xff0c, 0xff0c}, {0xff1a, 0xff1b}};
constexpr Range bopomofo[] = {{0x3105, 0x312f}};

template <std::size_t count>
Match run_in(const Range (&ranges)[count], std::string_view text, std::size_t at) noexcept {
  return found_or_next(text, at, run_while(text, at, [&](char32_t c) { return in(ranges, c); }));
}

bool is_sign(char32_t c) noexcept {
  const unsigned kind = kind_of(c);
  return (kind & punctuation) != 0 || (c < 128 && (kind & symbol) != 0);
}

/// `\s?[test]+`
template <class Test>
Match after_space(std::string_view text, std::size_t at, Test test) noexcept {
  std::size_t from = at;
  if ((take(text, from) & space) != 0) {
    const std::size_t end = run_while(text, from, test);
    if (end > from) return {true, end};
  }
  return found_or_next(text, at, run_while(text, at, test));
}

}  // namespace

Match one_number(std::string_view text, std::size_t at) noexcept {
  return found_or_next(text, at, run_of(text, at, number, 1));
}

Match numbers(std::string_view text, std::size_t at) noexcept {
  return found_or_next(text, at, run_of(text, at, number));
}

Match numbers_by_three(std::string_view text, std::size_t at) noexcept {
  return found_or_next(text, at, run_of(text, at, number, 3));
}

Match three_digits(std::string_view text, std::size_t at) noexcept {
  const std::size_t end = run_while(
      text, at, [](char32_t c) { return c >= '0' && c <= '9'; }, 3);
  return found_or_next(text, at, end == at + 3 ? end : at);
}

Match signs(std::string_view text, std::size_t at) noexcept {
  return found_or_next(text, at, run_while(text, at, is_sign));
}

Match signs_but_backtick(std::string_view text, std::size_t at) noexcept {
  return found_or_next(text, at, run_while(text, at, [](char32_t c) { return c != '`' && is_sign(c); }));
}

Match line_break(std::string_view text, std::size_t at) noexcept {
  return found_or_next(text, at, run_of(text, at, newline, 1));
}

Match final_space(std::string_view text, std::size_t at) noexcept {
  const std::size_t end = run_of(text, at, space);
  if (end == at) return found_or_next(text, at, at);
  return {end == text.size(), end};
}

Match letters_after_space(std::string_view text, std::size_t at) noexcept {
  return after_space(text, at, [](char32_t c) { return (kind_of(c) & letter) != 0; });
}

Match points_after_space(std::string_view text, std::size_t at) noexcept {
  return after_space(text, at, [](char32_t c) { return (kind_of(c) & punctuation) != 0; });
}

Match cased_word(std::string_view text, std::size_t at) noexcept {
  return after_space(text, at, [](char32_t c) { return in(cased_letters, c); });
}

Match full_width_signs(std::string_view text, std::size_t at) noexcept {
  return after_space(text, at, [](char32_t c) { return in(sign_ranges, c); });
}

Match cjk_korean(std::string_view text, std::size_t at) noexcept { return run_in(korean_ranges, text, at); }

Match cjk_kana(std::string_view text, std::size_t at) noexcept { return run_in(kana_ranges, text, at); }

Match asian_runs(std::string_view text, std::size_t at) noexcept {
  for (const Match match : {run_in(hangul, text, at), run_in(asian_signs, text, at), run_in(bopomofo, text, at)}) {
    if (match.found) return match;
  }
  return run_in(kana_ranges, text, at);
}

}  // namespace kinglet::text::stages

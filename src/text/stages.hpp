// text/stages.hpp: how is each published pattern matched at one place of a text?
//
// Every function here is a Stage of text/pretokenizer.hpp, or makes one; the expressions stand beside the lists of
// stages in pretokenizer.cpp. A scan that fails says how far no match can begin, so that runs are never scanned again
// and again.
#pragma once
#include <cstddef>
#include <string_view>

#include "text/pretokenizer.hpp"
#include "text/unicode.hpp"

namespace kinglet::text::stages {

enum class Contractions { first, after, none };

/// The family that began with GPT-4's pattern.
struct Modern {
  unsigned word = letter;                           ///< what words are made of
  int digits = 1;                                   ///< most digits in a number
  bool cased = false;                               ///< words also end where lower case turns to upper
  Contractions contractions = Contractions::first;  ///< 's, 'll, ...: a word of its own, or the end of a word
  std::string_view tail = "\r\n";                   ///< what may follow signs
};

Match modern_at(const Modern& form, std::string_view text, std::size_t at) noexcept;

template <const Modern& form>
Match modern(std::string_view text, std::size_t at) noexcept {
  return modern_at(form, text, at);
}

Match gpt2(std::string_view text, std::size_t at) noexcept;
Match deepseek3(std::string_view text, std::size_t at) noexcept;
Match bloom(std::string_view text, std::size_t at) noexcept;

Match one_number(std::string_view text, std::size_t at) noexcept;
Match numbers(std::string_view text, std::size_t at) noexcept;
Match numbers_by_three(std::string_view text, std::size_t at) noexcept;
Match three_digits(std::string_view text, std::size_t at) noexcept;
Match signs(std::string_view text, std::size_t at) noexcept;
Match signs_but_backtick(std::string_view text, std::size_t at) noexcept;
Match line_break(std::string_view text, std::size_t at) noexcept;
Match final_space(std::string_view text, std::size_t at) noexcept;
Match letters_after_space(std::string_view text, std::size_t at) noexcept;
Match points_after_space(std::string_view text, std::size_t at) noexcept;
Match cased_word(std::string_view text, std::size_t at) noexcept;
Match full_width_signs(std::string_view text, std::size_t at) noexcept;
Match cjk_korean(std::string_view text, std::size_t at) noexcept;
Match cjk_kana(std::string_view text, std::size_t at) noexcept;
Match asian_runs(std::string_view text, std::size_t at) noexcept;

}  // namespace kinglet::text::stages

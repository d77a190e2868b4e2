// text/pretokenizer.hpp: where does a model cut a text into words before it merges?
//
// Models publish regular expressions for it. Each is matched here by hand, in one pass, so that no text takes more than
// linear time. A pattern is a list of stages: the first cuts the text, each further one cuts the words so far; what a
// stage does not match stays a word as well.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace kinglet::text {

/// What a stage says of text[at..]: a word [at, end), or that none begins in [at, end).
struct Match {
  bool found;
  std::size_t end;  ///< > at
};

/// @param text  valid UTF-8, at < text.size() on a code point
using Stage = Match (*)(std::string_view text, std::size_t at) noexcept;

struct PreTokenizer {
  std::span<const Stage> stages;
  bool whole_words = false;  ///< a word that is a piece is not merged up but taken (`ignore_merges`)
};

/// The pattern of a name as in `tokenizer.ggml.pre`, or null.
const PreTokenizer* find_pre_tokenizer(std::string_view name) noexcept;

/// Calls emit(word) for each word of a text, in order. Together they are the text.
template <class Emit>
void split(std::span<const Stage> stages, std::string_view text, Emit&& emit) {
  if (stages.empty()) return emit(text);
  const auto rest = stages.subspan(1);
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Match match = stages[0](text, at);
    if (match.found) {
      if (begin < at) split(rest, text.substr(begin, at - begin), emit);
      split(rest, text.substr(at, match.end - at), emit);
      begin = match.end;
    }
    at = match.end;
  }
  if (begin < text.size()) split(rest, text.substr(begin), emit);
}

}  // namespace kinglet::text

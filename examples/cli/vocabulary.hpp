// examples/cli/vocabulary.hpp: which vocabulary does a synthetic model get?
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace kinglet::cli {

/// A byte-level BPE vocabulary, as GGUF spells it.
struct GeneratedVocabulary {
  std::vector<std::string> pieces;
  std::vector<std::int32_t> types;  ///< tokenizer.ggml.token_type: 1 normal, 3 control
  std::vector<std::string> merges;  ///< "left right"
  std::int32_t bos = -1;
  std::int32_t eos = -1;  ///< of a text
  std::int32_t eot = -1;  ///< of a turn
};

/// The 256 bytes, then made-up words, then control tokens. Every word is reachable: its merge joins exactly the two
/// pieces that the merges before it leave of the word, and merges learned later are applied later.
/// @param base   pieces before the control tokens, >= 256
/// @param total  > base + 3
/// @param seed   of the words
GeneratedVocabulary generate_vocabulary(std::uint32_t base, std::uint32_t total, std::uint64_t seed);

}  // namespace kinglet::cli

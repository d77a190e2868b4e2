#include "vocabulary.hpp"

#include <array>
#include <string_view>
#include <unordered_map>

#include "random.hpp"

namespace kinglet::cli {
namespace {

std::string utf8(std::uint32_t code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
}

/// The character that stands for a byte in GPT-2's spelling.
/// Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
std::array<std::string, 256> byte_alphabet() {
  std::array<std::string, 256> alphabet;
  std::uint32_t next = 256;
  for (std::uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    alphabet[b] = utf8(printable ? b : next++);
  }
  return alphabet;
}

/// Merges as they are learned, and what they leave of a word.
class Learner {
 public:
  explicit Learner(GeneratedVocabulary& vocabulary) : out_(vocabulary) {
    for (std::string& spelling : byte_alphabet()) add(std::move(spelling));
  }

  std::uint32_t byte(unsigned char b) const { return b; }

  /// Applies the merges to a word, the one learned first first.
  void encode(std::vector<std::uint32_t>& word) const {
    for (;;) {
      std::uint32_t rank = UINT32_MAX;
      std::size_t at = 0;
      for (std::size_t i = 0; i + 1 < word.size(); ++i) {
        const auto found = ranks_.find(key(word[i], word[i + 1]));
        if (found != ranks_.end() && found->second < rank) {
          rank = found->second;
          at = i;
        }
      }
      if (rank == UINT32_MAX) return;
      word[at] = 256 + rank;  // a merge's piece has the same number, after the bytes
      word.erase(word.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }

  /// Learns the word where exactly two pieces are left of it.
  void learn(std::vector<std::uint32_t> word) {
    encode(word);
    if (word.size() != 2) return;
    const std::string& left = out_.pieces[word[0]];
    const std::string& right = out_.pieces[word[1]];
    ranks_.emplace(key(word[0], word[1]), static_cast<std::uint32_t>(out_.merges.size()));
    out_.merges.push_back(left + " " + right);
    add(left + right);
  }

 private:
  static std::uint64_t key(std::uint32_t left, std::uint32_t right) { return (std::uint64_t{left} << 32) | right; }

  void add(std::string spelling) {
    out_.pieces.push_back(std::move(spelling));
    out_.types.push_back(1);
  }

  GeneratedVocabulary& out_;
  std::unordered_map<std::uint64_t, std::uint32_t> ranks_;
};

/// A made-up word of consonants and vowels, mostly with the space before it.
std::vector<std::uint32_t> make_word(const Learner& learner, Random& random) {
  constexpr std::string_view consonants = "ttnnsshhrrdlcmwfgypbvkxjqz";
  constexpr std::string_view vowels = "eeeaaooiiu";
  std::vector<std::uint32_t> word;
  if (random.below(4) != 0) word.push_back(learner.byte(' '));
  bool vowel = random.below(2) == 0;
  for (std::uint32_t letters = 1 + random.below(10); letters != 0; --letters) {
    const std::string_view from = vowel ? vowels : consonants;
    word.push_back(
        learner.byte(static_cast<unsigned char>(from[random.below(static_cast<std::uint32_t>(from.size()))])));
    if (random.below(5) != 0) vowel = !vowel;
  }
  return word;
}

}  // namespace

GeneratedVocabulary generate_vocabulary(std::uint32_t base, std::uint32_t total, std::uint64_t seed) {
  GeneratedVocabulary out;
  out.pieces.reserve(total);
  Learner learner(out);
  Random random(seed);
  while (out.pieces.size() < base) learner.learn(make_word(learner, random));

  const auto control = [&](std::string spelling) {
    out.pieces.push_back(std::move(spelling));
    out.types.push_back(3);
    return static_cast<std::int32_t>(out.pieces.size()) - 1;
  };
  out.bos = control("<|begin_of_text|>");
  out.eos = control("<|end_of_text|>");
  control("<|im_start|>");
  out.eot = control("<|im_end|>");
  for (std::uint32_t n = 0; out.pieces.size() < total; ++n) control("<|reserved_" + std::to_string(n) + "|>");
  return out;
}

}  // namespace kinglet::cli

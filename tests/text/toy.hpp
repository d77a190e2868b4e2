// tests/text/toy.hpp: small vocabularies, and a slow and simple encoder to hold the real one to.
#pragma once
#include <cstdint>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <kinglet/text/tokenizer.hpp>

namespace kinglet::test {

/// A vocabulary that owns its strings.
struct Toy {
  std::string model = "gpt2";
  std::string pre = "gpt-2";
  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<text::TokenType> types;
  std::vector<std::string> merges;
  text::Vocabulary ids;  // only the ids and switches count

  std::int32_t add(std::string piece, text::TokenType type = text::TokenType::normal, float score = 0) {
    pieces.push_back(std::move(piece));
    types.push_back(type);
    if (model == "llama") scores.push_back(score);
    return static_cast<std::int32_t>(pieces.size() - 1);
  }

  Result<text::Tokenizer> create(std::pmr::memory_resource* memory = std::pmr::get_default_resource()) const {
    const std::vector<std::string_view> piece_views(pieces.begin(), pieces.end());
    const std::vector<std::string_view> merge_views(merges.begin(), merges.end());
    text::Vocabulary v = ids;
    v.model = model;
    v.pre = pre;
    v.pieces = piece_views;
    v.scores = scores;
    v.types = types;
    v.merges = merge_views;
    return text::Tokenizer::create(v, memory);
  }
};

/// GPT-2's alphabet, from its definition: printable Latin-1 is itself, the others follow from U+0100.
inline std::string alphabet(unsigned char byte) {
  const auto printable = [](unsigned b) { return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xff && b != 0xad); };
  unsigned c = byte;
  if (!printable(byte)) {
    c = 0x100;
    for (unsigned b = 0; b < byte; ++b) c += printable(b) ? 0 : 1;
  }
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xc0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3f))};
}

inline std::string spelt(std::string_view text) {
  std::string out;
  for (const char byte : text) out += alphabet(static_cast<unsigned char>(byte));
  return out;
}

/// All bytes, and the merges given as plain text ("a b"), best first.
inline Toy byte_toy(const std::vector<std::pair<std::string, std::string>>& merges) {
  Toy toy;
  for (unsigned byte = 0; byte < 256; ++byte) toy.add(alphabet(static_cast<unsigned char>(byte)));
  for (const auto& [left, right] : merges) {
    toy.merges.push_back(spelt(left) + ' ' + spelt(right));
    toy.add(spelt(left + right));
  }
  return toy;
}

/// SentencePiece: <unk>, <s>, </s>, the bytes, then pieces with scores.
inline Toy spm_toy(const std::vector<std::pair<std::string, float>>& pieces) {
  Toy toy;
  toy.model = "llama";
  toy.ids.unknown = toy.add("<unk>", text::TokenType::unknown);
  toy.ids.bos = toy.add("<s>", text::TokenType::control);
  toy.ids.eos = toy.add("</s>", text::TokenType::control);
  const char* hex = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < 256; ++byte) {
    toy.add(std::string("<0x") + hex[byte / 16] + hex[byte % 16] + ">", text::TokenType::byte);
  }
  for (const auto& [piece, score] : pieces) toy.add(piece, text::TokenType::normal, score);
  return toy;
}

/// Random merges, each of two earlier pieces.
inline std::vector<std::pair<std::string, std::string>> random_merges(std::mt19937& rng, std::string_view letters,
                                                                      std::size_t count) {
  std::vector<std::string> known;
  for (const char letter : letters) known.emplace_back(1, letter);
  std::vector<std::pair<std::string, std::string>> merges;
  std::map<std::string, bool> seen;
  while (merges.size() < count) {
    const std::string& left = known[rng() % known.size()];
    const std::string& right = known[rng() % known.size()];
    const std::string both = left + right;
    if (both.size() > 12 || !seen.emplace(both, true).second) continue;
    merges.emplace_back(left, right);
    known.push_back(both);
  }
  return merges;
}

/// Merges the best-ranked neighbours, the leftmost of equal ones, until there are none. `rank` gives the smaller the
/// better, or a negative number.
template <class Rank>
std::vector<std::string> merge_slowly(const std::vector<std::string>& letters, Rank rank) {
  std::map<std::size_t, std::string> symbols;  // by where they begin
  for (const std::string& letter : letters) symbols.emplace(symbols.size(), letter);
  std::set<std::pair<double, std::size_t>> pairs;  // rank, and where the left one begins
  const auto change = [&](auto left, bool add) {
    const auto right = std::next(left);
    const double r = right == symbols.end() ? -1 : rank(left->second, right->second);
    if (r >= 0 && add) pairs.emplace(r, left->first);
    if (r >= 0 && !add) pairs.erase({r, left->first});
  };
  for (auto s = symbols.begin(); s != symbols.end(); ++s) change(s, true);
  while (!pairs.empty()) {
    const auto left = symbols.find(pairs.begin()->second);
    const auto right = std::next(left);
    if (left != symbols.begin()) change(std::prev(left), false);
    change(left, false);
    change(right, false);
    left->second += right->second;
    symbols.erase(right);
    if (left != symbols.begin()) change(std::prev(left), true);
    change(left, true);
  }
  std::vector<std::string> out;
  for (const auto& [at, symbol] : symbols) out.push_back(symbol);
  return out;
}

/// Random text over code points of one to four bytes.
inline std::string random_text(std::mt19937& rng, std::size_t length) {
  static const char* const parts[] = {
      "a",  "b",  "lo", "w", " ", "  ",  "\n",  "\t",        "1",        "'s",           "<",    "|", ">", "é", "ß",
      "漢", "字", "😀",  "Ω", ".", "ing", "The", "e\xcc\x81", "\xc2\xa0", "\xe3\x80\x80", "\r\n", "x", "Q", "_"};
  std::string text;
  for (std::size_t i = 0; i < length; ++i) text += parts[rng() % (sizeof parts / sizeof *parts)];
  return text;
}

}  // namespace kinglet::test

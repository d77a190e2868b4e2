// text/encode.cpp: how does a text become tokens? Special pieces first, then words, then merges.
#include <algorithm>
#include <array>
#include <bit>

#include <kinglet/core/memory.hpp>

#include "core/fail.hpp"
#include "text/merge.hpp"
#include "text/tables.hpp"
#include "text/unicode.hpp"

namespace kinglet::text {
namespace {

using core::fail;

constexpr std::size_t longest_text = std::size_t{1} << 30;

class Encoder {
 public:
  Encoder(const Tokenizer::Tables& tables, std::pmr::vector<std::int32_t>& out)
      : t_(tables),
        out_(out),
        word_(out.get_allocator().resource()),
        plain_(out.get_allocator()),
        spelt_(out.get_allocator()) {}

  void trusted(std::string_view text);
  void plain(std::string_view text);
  /// The first byte for which there was no piece, or -1.
  int missing() const noexcept { return missing_; }

 private:
  void words(std::string_view text);
  void byte_level_word(std::string_view word);
  void segments(std::string_view text);
  void pieces_of(std::string_view word);
  void merge(std::string_view text);
  void take(std::string_view text, const Symbol& symbol);
  void in_bytes(std::string_view text);
  bool neighbours(char32_t left, char32_t right) const noexcept {
    const std::size_t bit = neighbour_bit(left, right);
    return (t_.neighbours[bit / 64] >> (bit % 64) & 1) != 0;
  }

  const Tokenizer::Tables& t_;
  std::pmr::vector<std::int32_t>& out_;
  Word word_;
  std::pmr::string plain_;  // a fragment without its guards
  std::pmr::string spelt_;  // a word as pieces spell it
  bool after_special_ = true;
  int missing_ = -1;
};

/// Control pieces become themselves; the fragments between them are plain, and lose their guards.
void Encoder::trusted(std::string_view text) {
  const auto fragment = [this](std::string_view part) {
    if (part.find(Tokenizer::guard) == part.npos) return plain(part);
    plain_.clear();
    for (const char byte : part) {
      if (byte != Tokenizer::guard) plain_.push_back(byte);
    }
    plain(plain_);
  };
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Trie::Found found = t_.specials.longest(text, at, true);
    if (found.length == 0) {
      at += 1;
      continue;
    }
    fragment(text.substr(begin, at - begin));
    out_.push_back(found.id);
    after_special_ = true;
    begin = at = at + found.length;
  }
  fragment(text.substr(begin));
}

void Encoder::plain(std::string_view text) {
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Trie::Found found = t_.specials.longest(text, at, false);
    if (found.length == 0) {
      at += 1;
      continue;
    }
    words(text.substr(begin, at - begin));
    out_.push_back(found.id);
    after_special_ = true;
    begin = at = at + found.length;
  }
  words(text.substr(begin));
}

void Encoder::words(std::string_view text) {
  if (text.empty()) return;
  if (t_.byte_level) {
    split(t_.words->stages, text, [this](std::string_view word) { byte_level_word(word); });
  } else {
    segments(text);
  }
  after_special_ = false;
}

void Encoder::byte_level_word(std::string_view word) {
  if (word.size() == 1 && t_.of_byte[static_cast<unsigned char>(word[0])] >= 0) {
    out_.push_back(t_.of_byte[static_cast<unsigned char>(word[0])]);
    return;
  }
  if (t_.words->whole_words && word.size() <= t_.longest_normal) {
    spelt_.clear();
    for (const char byte : word) {
      char spelt[2];
      spelt_.append(spelt, spell_byte(static_cast<unsigned char>(byte), spelt));
    }
    const std::int32_t whole = t_.index.find(t_.pieces, spelt_, true);
    if (t_.has(whole)) {
      out_.push_back(whole);
      return;
    }
  }
  pieces_of(word);
}

/// Cuts the text where no piece has those two characters side by side: no merge crosses such a place, so that the parts
/// may be merged one by one.
void Encoder::segments(std::string_view text) {
  constexpr char32_t blank = 0x2581;
  spelt_.clear();
  char32_t left = 0;
  const auto add = [&](char32_t c, std::string_view spelling) {
    if (!spelt_.empty() && !neighbours(left, c)) {
      pieces_of(spelt_);
      spelt_.clear();
    }
    spelt_.append(spelling);
    left = c;
  };
  if (t_.add_space_prefix && after_special_) add(blank, "\xe2\x96\x81");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_char(text, at);
    if (c == ' ') {
      add(blank, "\xe2\x96\x81");
    } else {
      add(c, text.substr(begin, at - begin));
    }
  }
  pieces_of(spelt_);
}

/// Merges a stretch of a word into `word_`.
void Encoder::merge(std::string_view text) {
  word_.clear();
  if (t_.byte_level) {
    for (const char byte : text) word_.add(1, t_.symbol_of_byte[static_cast<unsigned char>(byte)]);
    word_.merge([this](std::uint32_t at, const Symbol& left, const Symbol& right) {
      const Merge merge = t_.merges.find(left.id, right.id);
      return Candidate{merge.rank, at, left.length + right.length, merge.result};
    });
    return;
  }
  for (std::size_t at = 0, length; at < text.size(); at += length) {
    length = length_of(text[at]);
    word_.add(static_cast<std::uint32_t>(length), t_.index.find(t_.pieces, text.substr(at, length), true));
  }
  word_.merge([&](std::uint32_t at, const Symbol& left, const Symbol& right) {
    const std::uint32_t length = left.length + right.length;
    if (length > t_.longest_normal) return Candidate{0, at, length, -1};
    const std::int32_t id = t_.index.find(t_.pieces, text.substr(at, length), true);
    if (id < 0 || t_.scores.empty()) return Candidate{0, at, length, id};
    // The bits of a float in an order that an unsigned comparison keeps, the best score first.
    const auto bits = std::bit_cast<std::uint32_t>(t_.scores[static_cast<std::size_t>(id)]);
    return Candidate{(bits >> 31) != 0 ? bits : ~bits & 0x7fffffffu, at, length, id};
  });
}

void Encoder::take(std::string_view text, const Symbol& symbol) {
  if (t_.has(symbol.id)) return out_.push_back(symbol.id);
  if (!t_.byte_level) return in_bytes(text);
  for (const char& byte : text) in_bytes({&byte, 1});
}

/// Appends the pieces of a word. A long one is merged window by window, so that memory stays small: pieces are what a
/// word merges to just where each two neighbours alone would stay apart. So a window may begin at any cut of the one
/// before, if its first piece is the one that stood behind that cut.
void Encoder::pieces_of(std::string_view word) {
  struct Cut {
    std::size_t at;
    std::size_t tokens;    // how many there were before it
    std::uint32_t length;  // of the piece behind it
  };
  std::array<Cut, 16> cuts;  // the latest of the last window, as a ring
  std::size_t count = 0, oldest = 0;
  const std::size_t before = out_.size();
  const std::size_t margin = 4 * t_.longest_normal + 64;
  std::size_t window = std::max(std::size_t{1} << 14, 4 * margin);
  std::uint32_t expected = 0;
  for (std::size_t begin = 0;;) {
    std::size_t end = word.size() - begin <= window ? word.size() : begin + window;
    while (!t_.byte_level && end < word.size() && (word[end] & 0xc0) == 0x80) --end;
    merge(word.substr(begin, end - begin));
    if (expected != 0 && word_.first().length != expected) {
      if (count == oldest) {
        window = word.size();  // no cut holds: all at once
        cuts[0] = {0, before, 0};
        count = 1, oldest = 0;
      }
    } else {
      const bool last = end == word.size();
      count = oldest = 0;
      word_.for_each([&](std::size_t at, const Symbol& symbol) {
        if (!last && begin + at + margin > end) return;
        cuts[count++ % cuts.size()] = {begin + at, out_.size(), symbol.length};
        take(word.substr(begin + at, symbol.length), symbol);
      });
      if (last) return;
      oldest = count > cuts.size() ? count - cuts.size() : 1;  // the first of all would bring nothing new
    }
    const Cut cut = cuts[--count % cuts.size()];
    begin = cut.at;
    expected = cut.length;
    out_.resize(cut.tokens);
  }
}

/// One character (or byte) that is no piece.
void Encoder::in_bytes(std::string_view text) {
  for (const char byte : text) {
    if (t_.of_byte[static_cast<unsigned char>(byte)] >= 0) continue;
    if (t_.unknown >= 0) {
      out_.push_back(t_.unknown);
    } else if (missing_ < 0) {
      missing_ = static_cast<unsigned char>(byte);
    }
    return;
  }
  for (const char byte : text) out_.push_back(t_.of_byte[static_cast<unsigned char>(byte)]);
}

/// The offset of the first byte that is neither UTF-8 nor, where they are allowed, a guard; or text.size().
std::size_t first_bad(std::string_view text, bool guards) noexcept {
  std::size_t at = 0;
  while ((at += first_invalid(text.substr(at))) < text.size() && guards && text[at] == Tokenizer::guard) at += 1;
  return at;
}

}  // namespace

Status Tokenizer::encode(std::string_view text, EncodeOptions options,
                         std::pmr::vector<std::int32_t>& out) const noexcept {
  return core::guarded([&]() -> Status {
    if (tables_ == nullptr) return core::fail(Errc::moved_from, "this tokenizer holds nothing: it was moved from");
    if (text.size() > longest_text) {
      return fail(Errc::invalid_argument, "the text has {} bytes; at most {} are possible", text.size(), longest_text);
    }
    const std::size_t bad = first_bad(text, options.parse_special);
    if (bad < text.size()) {
      return fail(Errc::invalid_argument, "the text is not UTF-8: byte {} of {}", bad, text.size());
    }
    const std::size_t before = out.size();
    int missing = -1;
    try {
      if (options.add_special && tables_->add_bos) out.push_back(tables_->bos);
      Encoder encoder(*tables_, out);
      options.parse_special ? encoder.trusted(text) : encoder.plain(text);
      if (options.add_special && tables_->add_eos) out.push_back(tables_->eos);
      missing = encoder.missing();
    } catch (...) {
      out.resize(before);
      throw;
    }
    if (missing < 0) return {};
    out.resize(before);
    return fail(Errc::unsupported, "the vocabulary has no piece for the byte 0x{:02x}, and no unknown token", missing);
  });
}

}  // namespace kinglet::text

// text/tables.hpp: in which form does a tokenizer keep its vocabulary?
//
// Flat arrays and open addressing: a vocabulary of 128,000 pieces and 280,000 merges takes 12 MB. Probes are
// bounded, so that a file whose pieces collide on purpose is refused, not slow.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string_view>
#include <vector>

#include <kinglet/text/tokenizer.hpp>

#include "text/pretokenizer.hpp"

namespace kinglet::text {

/// Strings end to end.
class Strings {
 public:
  explicit Strings(std::pmr::memory_resource* memory) : bytes_(memory), ends_(memory) {}

  void reserve(std::size_t count, std::size_t bytes);
  /// Throws std::length_error past 4 GiB of bytes.
  void add(std::string_view string);
  std::size_t size() const noexcept { return ends_.size(); }
  std::string_view operator[](std::size_t i) const noexcept {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + begin, ends_[i] - begin};
  }

 private:
  std::pmr::vector<char> bytes_;
  std::pmr::vector<std::uint32_t> ends_;  // [size]
};

/// Finds strings by their text. The first of equal ones is found; normal pieces and the others are told apart.
class Index {
 public:
  explicit Index(std::pmr::memory_resource* memory) : slots_(memory) {}

  /// Forgets everything and makes room.
  void clear(std::size_t count);
  /// @param twins  set where an equal one is there already
  /// @return false where too many collide
  bool add(const Strings& strings, std::uint32_t id, bool normal, bool& twins);
  /// @param normal  look among the normal pieces only, else among the others only
  std::int32_t find(const Strings& strings, std::string_view text, bool normal) const noexcept {
    return find(strings, text, hash(text), normal);
  }
  /// The same, of a text whose hash is known.
  std::int32_t find(const Strings& strings, std::string_view text, std::uint64_t hash, bool normal) const noexcept;
  static std::uint64_t hash(std::string_view text) noexcept;
  /// Has the place of a hash fetched: it is looked at soon.
  void fetch(std::uint64_t hash) const noexcept;
  std::size_t capacity() const noexcept { return slots_.size(); }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t id_and_normal = none;
    static constexpr std::uint32_t none = ~0u;
  };
  std::pmr::vector<Slot> slots_;
};

struct Merge {
  std::uint32_t rank;
  std::int32_t result;  // -1 = there is none
};

/// Which pairs of pieces merge.
class Merges {
 public:
  explicit Merges(std::pmr::memory_resource* memory) : slots_(memory) {}

  void reserve(std::size_t count);
  /// The first of equal pairs counts. @return false where too many collide
  bool add(std::int32_t left, std::int32_t right, Merge merge);
  Merge find(std::int32_t left, std::int32_t right) const noexcept;
  /// Has the place of a pair fetched: it is added soon.
  void fetch(std::int32_t left, std::int32_t right) const noexcept;

 private:
  struct Slot {
    std::int32_t left = -1;
    std::int32_t right = -1;
    Merge merge{0, -1};
  };
  std::pmr::vector<Slot> slots_;
};

/// Finds the longest special piece that begins at a place of a text.
class Trie {
 public:
  explicit Trie(std::pmr::memory_resource* memory) : nodes_(memory) { nodes_.emplace_back(); }

  /// @param control  else user-defined; a text that is both is a control piece
  void add(std::string_view piece, std::int32_t id, bool control);

  struct Found {
    std::int32_t id = -1;
    std::size_t length = 0;
  };
  Found longest(std::string_view text, std::size_t at, bool control) const noexcept;
  /// True where a control piece begins at `at`, also one that the end of the text cuts short.
  bool control_begins(std::string_view text, std::size_t at) const noexcept;

 private:
  struct Node {
    std::uint32_t child = 0;    // the first; 0 = none
    std::uint32_t sibling = 0;  // the next; 0 = none
    std::int32_t id = -1;
    char byte = 0;
    bool control = false;        // what `id` is
    bool control_below = false;  // a longer control piece goes on from here
  };
  std::uint32_t child(std::uint32_t node, char byte) const noexcept;

  std::pmr::vector<Node> nodes_;
  std::uint32_t roots_[256] = {};
};

struct Tokenizer::Tables {
  explicit Tables(std::pmr::memory_resource* m)
      : memory(m), pieces(m), texts(m), flags(m), scores(m), index(m), merges(m), specials(m), neighbours(m) {}

  std::pmr::memory_resource* memory;
  bool byte_level = false;               // "gpt2"
  const PreTokenizer* words = nullptr;   // for "gpt2"
  std::int32_t size = 0;                 // pieces of the vocabulary; those behind them only appear in merges
  Strings pieces;                        // [size + extra] as spelt
  Strings texts;                         // [size + extra] as bytes
  std::pmr::vector<std::uint8_t> flags;  // [size] type, and `ends` where it ends a reply
  std::pmr::vector<float> scores;        // [size], for "llama"
  Index index;
  Merges merges;  // for "gpt2"
  Trie specials;
  std::pmr::vector<std::uint64_t> neighbours;  // for "llama": bits of hashed pairs of characters inside of pieces
  std::int32_t of_byte[256] = {};              // the piece of each byte; -1 = there is none
  std::int32_t symbol_of_byte[256] = {};  // for "gpt2": the same, with pieces behind the vocabulary where it has none
  std::int32_t bos = -1, eos = -1, eot = -1, eom = -1, unknown = -1, pad = -1;
  bool add_bos = false, add_eos = false, add_space_prefix = false;
  std::size_t longest = 0;
  std::size_t longest_normal = 0;

  static constexpr std::uint8_t ends = 0x80;
  TokenType type(std::int32_t id) const noexcept {
    return static_cast<TokenType>(flags[static_cast<std::size_t>(id)] & 7);
  }
  bool has(std::int32_t id) const noexcept { return id >= 0 && id < size; }
};

/// The bit of `neighbours` for two characters side by side.
std::size_t neighbour_bit(char32_t left, char32_t right) noexcept;
inline constexpr std::size_t neighbour_bits = std::size_t{1} << 20;

/// The character that byte-level pieces spell a byte with (GPT-2's alphabet), at most two bytes of UTF-8.
/// @return how many were written
std::size_t spell_byte(unsigned char byte, char* out) noexcept;
/// The byte that a character of that alphabet stands for, or -1.
int spelt_byte(char32_t c) noexcept;

}  // namespace kinglet::text

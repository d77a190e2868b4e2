// text/tables.cpp: how are pieces, merges and prefixes found?
#include "text/tables.hpp"

#include <array>
#include <cstring>
#include <stdexcept>

namespace kinglet::text {
namespace {

// Far beyond what happens by chance at two thirds full.
constexpr std::size_t most_probes = 2048;

std::uint64_t mix(std::uint64_t x) noexcept {
  x ^= x >> 32;
  x *= 0x9fb21c651e98df25u;
  x ^= x >> 28;
  x *= 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

std::uint64_t hash_of(std::string_view text) noexcept {
  std::uint64_t h = text.size() * 0x9e3779b97f4a7c15u;
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, text.data() + at, 8);
    h = (h ^ eight) * 0xd6e8feb86659fd93u;
    h ^= h >> 29;
  }
  std::uint64_t rest = 0;
  if (at < text.size()) std::memcpy(&rest, text.data() + at, text.size() - at);
  return mix(h ^ rest);
}

/// A place in [0, count), by the hash's upper half.
std::size_t place(std::uint64_t h, std::size_t count) noexcept {
  return static_cast<std::size_t>(((h >> 32) * static_cast<std::uint64_t>(count)) >> 32);
}

std::uint64_t pair_hash(std::int32_t left, std::int32_t right) noexcept {
  return mix((static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right));
}

std::size_t room_for(std::size_t count) {
  if (count > (std::size_t{1} << 31) - 1) throw std::length_error("a vocabulary of more than 2^31 pieces");
  return count + count / 2 + 8;
}

// GPT-2's alphabet: printable Latin-1 stands for itself, the 68 other bytes are U+0100 and on, in order.
constexpr bool spells_itself(unsigned byte) noexcept {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

struct Alphabet {
  std::array<std::uint16_t, 256> of_byte{};
  std::array<std::int16_t, 0x144> of_char{};
};

constexpr Alphabet alphabet = [] {
  Alphabet a;
  for (auto& byte : a.of_char) byte = -1;
  std::uint16_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    a.of_byte[byte] = spells_itself(byte) ? static_cast<std::uint16_t>(byte) : next++;
    a.of_char[a.of_byte[byte]] = static_cast<std::int16_t>(byte);
  }
  return a;
}();

}  // namespace

void Strings::reserve(std::size_t count, std::size_t bytes) {
  bytes_.reserve(bytes);
  ends_.reserve(count);
}

void Strings::add(std::string_view string) {
  if (string.size() > ~std::uint32_t{0} - bytes_.size()) throw std::length_error("pieces of more than 4 GiB");
  bytes_.insert(bytes_.end(), string.begin(), string.end());
  ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
}

void Index::clear(std::size_t count) { slots_.assign(room_for(count), Slot{}); }

bool Index::add(const Strings& strings, std::uint32_t id, bool normal, bool& twins) {
  const std::string_view text = strings[id];
  const std::uint64_t h = hash_of(text);
  const auto tag = static_cast<std::uint32_t>(h);
  std::size_t at = place(h, slots_.size());
  for (std::size_t probes = 0; probes < most_probes; ++probes) {
    Slot& slot = slots_[at];
    if (slot.id_and_normal == Slot::none) {
      slot = {tag, (id << 1) | (normal ? 1u : 0u)};
      return true;
    }
    if (slot.tag == tag && ((slot.id_and_normal & 1) != 0) == normal && strings[slot.id_and_normal >> 1] == text) {
      twins = true;
      return true;
    }
    at = at + 1 == slots_.size() ? 0 : at + 1;
  }
  return false;
}

std::uint64_t Index::hash(std::string_view text) noexcept { return hash_of(text); }

void Index::fetch(std::uint64_t h) const noexcept {
  if (!slots_.empty()) __builtin_prefetch(slots_.data() + place(h, slots_.size()));
}

std::int32_t Index::find(const Strings& strings, std::string_view text, std::uint64_t h, bool normal) const noexcept {
  if (slots_.empty()) return -1;
  const auto tag = static_cast<std::uint32_t>(h);
  std::size_t at = place(h, slots_.size());
  for (std::size_t probes = 0; probes < most_probes; ++probes) {
    const Slot& slot = slots_[at];
    if (slot.id_and_normal == Slot::none) return -1;
    if (slot.tag == tag && ((slot.id_and_normal & 1) != 0) == normal && strings[slot.id_and_normal >> 1] == text) {
      return static_cast<std::int32_t>(slot.id_and_normal >> 1);
    }
    at = at + 1 == slots_.size() ? 0 : at + 1;
  }
  return -1;
}

void Merges::reserve(std::size_t count) { slots_.assign(room_for(count), Slot{}); }

bool Merges::add(std::int32_t left, std::int32_t right, Merge merge) {
  std::size_t at = place(pair_hash(left, right), slots_.size());
  for (std::size_t probes = 0; probes < most_probes; ++probes) {
    Slot& slot = slots_[at];
    if (slot.left == left && slot.right == right) return true;
    if (slot.left < 0) {
      slot = {left, right, merge};
      return true;
    }
    at = at + 1 == slots_.size() ? 0 : at + 1;
  }
  return false;
}

void Merges::fetch(std::int32_t left, std::int32_t right) const noexcept {
  if (!slots_.empty()) __builtin_prefetch(slots_.data() + place(pair_hash(left, right), slots_.size()));
}

Merge Merges::find(std::int32_t left, std::int32_t right) const noexcept {
  if (slots_.empty()) return {0, -1};
  std::size_t at = place(pair_hash(left, right), slots_.size());
  for (std::size_t probes = 0; probes < most_probes; ++probes) {
    const Slot& slot = slots_[at];
    if (slot.left == left && slot.right == right) return slot.merge;
    if (slot.left < 0) break;
    at = at + 1 == slots_.size() ? 0 : at + 1;
  }
  return {0, -1};
}

std::uint32_t Trie::child(std::uint32_t node, char byte) const noexcept {
  if (node == 0) return roots_[static_cast<unsigned char>(byte)];
  std::uint32_t next = nodes_[node].child;
  while (next != 0 && nodes_[next].byte != byte) next = nodes_[next].sibling;
  return next;
}

void Trie::add(std::string_view piece, std::int32_t id, bool control) {
  std::uint32_t at = 0;
  for (const char byte : piece) {
    nodes_[at].control_below |= control;
    std::uint32_t next = child(at, byte);
    if (next == 0) {
      next = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
      nodes_[next].byte = byte;
      if (at == 0) {
        roots_[static_cast<unsigned char>(byte)] = next;
      } else {
        nodes_[next].sibling = nodes_[at].child;
        nodes_[at].child = next;
      }
    }
    at = next;
  }
  if (at == 0 || (nodes_[at].id >= 0 && (nodes_[at].control || !control))) return;
  nodes_[at].id = id;
  nodes_[at].control = control;
}

Trie::Found Trie::longest(std::string_view text, std::size_t at, bool control) const noexcept {
  Found found;
  const std::size_t begin = at;
  for (std::uint32_t node = 0; at < text.size();) {
    node = child(node, text[at++]);
    if (node == 0) break;
    if (nodes_[node].id >= 0 && nodes_[node].control == control) found = {nodes_[node].id, at - begin};
  }
  return found;
}

bool Trie::control_begins(std::string_view text, std::size_t at) const noexcept {
  std::uint32_t node = 0;
  for (; at < text.size(); ++at) {
    node = child(node, text[at]);
    if (node == 0) return false;
    if (nodes_[node].control) return true;
  }
  return node != 0 && nodes_[node].control_below;
}

std::size_t neighbour_bit(char32_t left, char32_t right) noexcept {
  return mix((static_cast<std::uint64_t>(left) << 32) | right) % neighbour_bits;
}

std::size_t spell_byte(unsigned char byte, char* out) noexcept {
  const unsigned c = alphabet.of_byte[byte];
  if (c < 0x80) {
    out[0] = static_cast<char>(c);
    return 1;
  }
  out[0] = static_cast<char>(0xc0 | (c >> 6));
  out[1] = static_cast<char>(0x80 | (c & 0x3f));
  return 2;
}

int spelt_byte(char32_t c) noexcept { return c < alphabet.of_char.size() ? alphabet.of_char[c] : -1; }

}  // namespace kinglet::text

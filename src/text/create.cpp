// text/create.cpp: how does what a model file says become tables that encode and decode?
#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include <kinglet/core/memory.hpp>

#include "core/fail.hpp"
#include "text/ends.hpp"
#include "text/tables.hpp"
#include "text/unicode.hpp"

namespace kinglet::text {
namespace {

using core::fail;

constexpr std::size_t most_pieces = std::size_t{1} << 30;
/// Bytes of a piece. What is looked for at every place of a text must be short: a text of such pieces' beginnings takes
/// their length times its own. The longest known are of 256 and of 64 bytes.
constexpr std::size_t longest_allowed = 65536, longest_special = 1024;
constexpr std::size_t merges_ahead = 16;
constexpr std::string_view blank = "\xe2\x96\x81";  // U+2581, a space in SentencePiece's pieces

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/// The byte of a piece spelt <0x0A>, or -1.
int fallback_byte(std::string_view piece) noexcept {
  if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') return -1;
  const int high = hex_digit(piece[3]);
  const int low = hex_digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

class Maker {
 public:
  Maker(const Vocabulary& vocabulary, Tokenizer::Tables& tables)
      : v_(vocabulary), t_(tables), scratch_(tables.memory) {}

  Status make() {
    if (Status status = check(); !status) return status;
    if (Status status = check_ids(); !status) return status;
    if (Status status = take_types(); !status) return status;
    take_pieces();
    if (!index_pieces()) return collided();
    find_bytes();
    if (!t_.byte_level) {
      t_.scores.assign(v_.scores.begin(), v_.scores.end());
      for (float& score : t_.scores) score = score == 0 ? 0.0f : score;  // -0 is no worse than 0
      find_neighbours();
      return {};
    }
    return take_merges();
  }

 private:
  static Error collided() noexcept {
    return fail(Errc::bad_format,
                "tokenizer.ggml.tokens or merges: too many entries share a hash; the file is damaged");
  }

  Status check() const;
  Status check_ids();
  Status take_types();
  void take_pieces();
  void add_text(std::string_view piece, bool normal, TokenType type);
  bool index_pieces();
  bool index(std::size_t id, bool normal);
  void find_bytes();
  void find_neighbours();
  Status take_merges();
  std::int32_t normal_piece(std::string_view text) { return normal_piece(text, Index::hash(text)); }
  std::int32_t normal_piece(std::string_view text, std::uint64_t hash);
  bool is_piece(std::int32_t id, std::string_view text) const noexcept {
    return !twins_ && t_.has(id) && t_.type(id) == TokenType::normal && t_.pieces[static_cast<std::size_t>(id)] == text;
  }

  const Vocabulary& v_;
  Tokenizer::Tables& t_;
  std::pmr::string scratch_;
  std::size_t indexed_ = 0;
  bool twins_ = false;  // some pieces are spelt alike
};

Status Maker::check() const {
  const std::size_t size = v_.pieces.size();
  if (size == 0) return fail(Errc::bad_format, "tokenizer.ggml.tokens: the vocabulary is empty");
  if (size > most_pieces || v_.merges.size() > most_pieces) {
    return fail(Errc::bad_format, "the vocabulary has {} pieces and {} merges; at most 2^30 are possible", size,
                v_.merges.size());
  }
  if (!v_.scores.empty() && v_.scores.size() != size) {
    return fail(Errc::bad_format, "tokenizer.ggml.scores has {} entries for {} pieces", v_.scores.size(), size);
  }
  if (!v_.types.empty() && v_.types.size() != size) {
    return fail(Errc::bad_format, "tokenizer.ggml.token_type has {} entries for {} pieces", v_.types.size(), size);
  }
  for (std::size_t i = 0; i < v_.scores.size(); ++i) {
    if (std::isnan(v_.scores[i])) return fail(Errc::bad_format, "tokenizer.ggml.scores[{}] is not a number", i);
  }
  return {};
}

Status Maker::check_ids() {
  const struct {
    const char* name;
    std::int32_t id;
    std::int32_t* to;
  } ids[] = {{"bos", v_.bos, &t_.bos},
             {"eos", v_.eos, &t_.eos},
             {"eot", v_.eot, &t_.eot},
             {"eom", v_.eom, &t_.eom},
             {"unknown", v_.unknown, &t_.unknown},
             {"padding", v_.pad, &t_.pad}};
  for (const auto& [name, id, to] : ids) {
    if (id < -1 || id >= t_.size) {
      return fail(Errc::bad_format, "tokenizer.ggml.{}_token_id is {}, but the vocabulary has {} pieces", name, id,
                  t_.size);
    }
    *to = id;
  }
  t_.add_bos = v_.add_bos && t_.bos >= 0;
  t_.add_eos = v_.add_eos && t_.eos >= 0;
  t_.add_space_prefix = v_.add_space_prefix;
  return {};
}

Status Maker::take_types() {
  t_.flags.resize(v_.pieces.size(), static_cast<std::uint8_t>(TokenType::normal));
  for (std::size_t i = 0; i < v_.types.size(); ++i) {
    const auto type = static_cast<std::uint8_t>(v_.types[i]);
    if (type < 1 || type > 6) return fail(Errc::bad_format, "tokenizer.ggml.token_type[{}] is {}, not 1 to 6", i, type);
    t_.flags[i] = type;
  }
  const auto make_control = [&](std::size_t id) {
    t_.flags[id] = static_cast<std::uint8_t>(TokenType::control) | Tokenizer::Tables::ends;
  };
  for (std::size_t i = 0; i < v_.pieces.size(); ++i) {
    if (v_.pieces[i].empty() || (v_.pieces[i][0] != '<' && v_.pieces[i][0] != '[')) continue;
    for (const End& end : ends) {
      if (end.piece != v_.pieces[i]) continue;
      if (end.certain || t_.type(static_cast<std::int32_t>(i)) == TokenType::control) make_control(i);
    }
    // Some files have no types at all.
    if (v_.types.empty() && !t_.byte_level && fallback_byte(v_.pieces[i]) >= 0) {
      t_.flags[i] = static_cast<std::uint8_t>(TokenType::byte);
    }
  }
  for (const std::int32_t id : {t_.eos, t_.eot, t_.eom}) {
    if (id >= 0) make_control(static_cast<std::size_t>(id));
  }
  if (t_.bos >= 0 && t_.type(t_.bos) == TokenType::normal) {
    t_.flags[static_cast<std::size_t>(t_.bos)] = static_cast<std::uint8_t>(TokenType::control);
  }
  for (std::size_t i = 0; i < v_.pieces.size(); ++i) {
    const TokenType type = t_.type(static_cast<std::int32_t>(i));
    const bool sought = type == TokenType::control || type == TokenType::unknown || type == TokenType::user_defined;
    const std::size_t most = sought ? longest_special : longest_allowed;
    if (v_.pieces[i].size() > most) {
      return fail(Errc::bad_format, "tokenizer.ggml.tokens[{}] has {} bytes; a piece of its type has at most {}", i,
                  v_.pieces[i].size(), most);
    }
  }
  return {};
}

void Maker::take_pieces() {
  std::size_t bytes = 0;
  for (const std::string_view piece : v_.pieces) bytes += piece.size();
  t_.pieces.reserve(v_.pieces.size(), bytes);
  t_.texts.reserve(v_.pieces.size(), bytes);
  for (std::size_t i = 0; i < v_.pieces.size(); ++i) {
    const TokenType type = t_.type(static_cast<std::int32_t>(i));
    t_.pieces.add(v_.pieces[i]);
    add_text(v_.pieces[i], type == TokenType::normal, type);
    t_.longest = std::max({t_.longest, v_.pieces[i].size(), t_.texts[i].size()});
  }
}

/// Appends to `texts` what a piece stands for.
void Maker::add_text(std::string_view piece, bool normal, TokenType type) {
  scratch_.clear();
  if (type == TokenType::byte) {
    const int byte = fallback_byte(piece);
    if (byte >= 0) scratch_.push_back(static_cast<char>(byte));
  } else if (type == TokenType::user_defined || !normal) {
    if (type == TokenType::user_defined) scratch_ = piece;
  } else if (first_invalid(piece) < piece.size()) {
    scratch_ = piece;
  } else if (t_.byte_level) {
    for (std::size_t at = 0; at < piece.size();) {
      const int byte = spelt_byte(next_char(piece, at));
      if (byte < 0) {
        scratch_ = piece;
        break;
      }
      scratch_.push_back(static_cast<char>(byte));
    }
  } else {
    for (std::size_t at = 0; at < piece.size();) {
      const bool is_blank = piece.substr(at, blank.size()) == blank;
      scratch_.push_back(is_blank ? ' ' : piece[at]);
      at += is_blank ? blank.size() : 1;
    }
  }
  t_.texts.add(scratch_);
}

bool Maker::index(std::size_t id, bool normal) {
  if (t_.index.capacity() < indexed_ + indexed_ / 2) {
    // Merges may bring pieces of their own: rare, and only at the end, when all that was indexed is known by its place.
    t_.index.clear(indexed_ + indexed_ / 8 + 1024);
    indexed_ = 0;
    for (std::size_t i = 0; i < id; ++i) {
      const bool extra = i >= v_.pieces.size();
      if (!index(i, extra || t_.type(static_cast<std::int32_t>(i)) == TokenType::normal)) return false;
    }
  }
  indexed_ += 1;
  return t_.index.add(t_.pieces, static_cast<std::uint32_t>(id), normal, twins_);
}

bool Maker::index_pieces() {
  t_.index.clear(v_.pieces.size());
  for (std::size_t i = 0; i < v_.pieces.size(); ++i) {
    const std::string_view piece = t_.pieces[i];
    const TokenType type = t_.type(static_cast<std::int32_t>(i));
    if (!index(i, type == TokenType::normal)) return false;
    if (type == TokenType::normal) t_.longest_normal = std::max(t_.longest_normal, piece.size());
    if (piece.empty() || first_invalid(piece) < piece.size()) continue;
    const bool control = type == TokenType::control || type == TokenType::unknown;
    // A control piece of one character could not be guarded: it is never found in a text.
    if (control && piece.size() > length_of(piece[0])) t_.specials.add(piece, static_cast<std::int32_t>(i), true);
    if (type == TokenType::user_defined) t_.specials.add(piece, static_cast<std::int32_t>(i), false);
  }
  return true;
}

void Maker::find_bytes() {
  for (std::int32_t& id : t_.of_byte) id = -1;
  for (std::int32_t id = t_.size; id-- > 0;) {
    const std::string_view text = t_.texts[static_cast<std::size_t>(id)];
    if (t_.type(id) == TokenType::byte && text.size() == 1) t_.of_byte[static_cast<unsigned char>(text[0])] = id;
  }
  for (unsigned byte = 0; t_.byte_level && byte < 256; ++byte) {
    char spelt[2];
    const std::size_t length = spell_byte(static_cast<unsigned char>(byte), spelt);
    const std::int32_t id = t_.index.find(t_.pieces, {spelt, length}, true);
    if (id >= 0) t_.of_byte[byte] = id;
  }
}

void Maker::find_neighbours() {
  t_.neighbours.resize(neighbour_bits / 64);
  for (std::size_t i = 0; i < v_.pieces.size(); ++i) {
    const std::string_view piece = t_.pieces[i];
    if (t_.type(static_cast<std::int32_t>(i)) != TokenType::normal || piece.empty()) continue;
    if (first_invalid(piece) < piece.size()) continue;
    std::size_t at = 0;
    for (char32_t left = next_char(piece, at); at < piece.size();) {
      const char32_t right = next_char(piece, at);
      const std::size_t bit = neighbour_bit(left, right);
      t_.neighbours[bit / 64] |= std::uint64_t{1} << (bit % 64);
      left = right;
    }
  }
}

/// The normal piece spelt so; one that the vocabulary lacks is added behind it, and comes out of encode() as bytes.
/// -1 where pieces collide.
std::int32_t Maker::normal_piece(std::string_view text, std::uint64_t hash) {
  const std::int32_t known = t_.index.find(t_.pieces, text, hash, true);
  if (known >= 0) return known;
  const std::size_t id = t_.pieces.size();
  if (id >= most_pieces) throw std::length_error("pieces");
  t_.pieces.add(text);
  add_text(text, true, TokenType::normal);
  t_.longest_normal = std::max(t_.longest_normal, text.size());
  return index(id, true) ? static_cast<std::int32_t>(id) : -1;
}

Status Maker::take_merges() {
  t_.merges.reserve(v_.merges.size());
  // A byte that the vocabulary lacks still is a symbol of its word.
  for (unsigned byte = 0; byte < 256; ++byte) {
    char spelt[2];
    const std::size_t length = spell_byte(static_cast<unsigned char>(byte), spelt);
    t_.symbol_of_byte[byte] = normal_piece({spelt, length});
    if (t_.symbol_of_byte[byte] < 0) return collided();
  }
  // What a merge looks up is far apart in memory, so it is fetched some merges ahead.
  struct Ahead {
    std::string_view left, right;
    std::uint64_t left_hash, right_hash;
  } ahead[merges_ahead];
  struct Found {
    std::int32_t left, right, result;
  } found[merges_ahead];
  std::pmr::string both(t_.memory);
  std::int32_t result = 0;
  const std::size_t count = v_.merges.size();
  for (std::size_t i = 0; i < count + 2 * merges_ahead; ++i) {
    if (i >= 2 * merges_ahead) {
      const std::size_t rank = i - 2 * merges_ahead;
      const Found& f = found[rank % merges_ahead];
      if (!t_.merges.add(f.left, f.right, {static_cast<std::uint32_t>(rank), f.result})) return collided();
    }
    if (i >= merges_ahead && i - merges_ahead < count) {
      const Ahead& a = ahead[i % merges_ahead];
      Found& f = found[i % merges_ahead];
      f.left = normal_piece(a.left, a.left_hash);
      f.right = normal_piece(a.right, a.right_hash);
      both.assign(a.left).append(a.right);
      // Files mostly list merges in the order of their results; looking there first spares a third of the searches.
      if (!is_piece(result, both) && !is_piece(++result, both)) result = normal_piece(both);
      f.result = result;
      if (f.left < 0 || f.right < 0 || f.result < 0) return collided();
      t_.merges.fetch(f.left, f.right);
    }
    if (i >= count) continue;
    const std::string_view merge = v_.merges[i];
    const std::size_t space = merge.empty() ? merge.npos : merge.find(' ', 1);
    if (space == merge.npos || space + 1 == merge.size()) {
      return fail(Errc::bad_format, "tokenizer.ggml.merges[{}] is not two pieces with a space between", i);
    }
    Ahead& a = ahead[i % merges_ahead];
    a.left = merge.substr(0, space);
    a.right = merge.substr(space + 1);
    a.left_hash = Index::hash(a.left);
    a.right_hash = Index::hash(a.right);
    t_.index.fetch(a.left_hash);
    t_.index.fetch(a.right_hash);
  }
  return {};
}

struct Destroy {
  void operator()(Tokenizer::Tables* tables) const noexcept {
    std::pmr::memory_resource* memory = tables->memory;
    tables->~Tables();
    memory->deallocate(tables, sizeof *tables, alignof(Tokenizer::Tables));
  }
};

}  // namespace

Result<Tokenizer> Tokenizer::create(const Vocabulary& vocabulary, std::pmr::memory_resource* memory) noexcept {
  return core::guarded([&]() -> Result<Tokenizer> {
    const bool byte_level = vocabulary.model == "gpt2";
    if (!byte_level && vocabulary.model != "llama") {
      return fail(Errc::unsupported, "tokenizer.ggml.model is '{:.40}'; supported are 'llama' and 'gpt2'",
                  vocabulary.model);
    }
    const PreTokenizer* words = byte_level ? find_pre_tokenizer(vocabulary.pre) : nullptr;
    if (byte_level && words == nullptr) {
      return fail(Errc::unsupported,
                  "the pre-tokenizer '{:.40}' (tokenizer.ggml.pre) is not known; the option pre_tokenizer "
                  "(--pre-tokenizer NAME) picks another, for instance gpt-2, llama-bpe or qwen2",
                  vocabulary.pre);
    }
    const auto place = static_cast<Tables*>(memory->allocate(sizeof(Tables), alignof(Tables)));
    Tables* made = nullptr;
    try {
      made = new (place) Tables(memory);
    } catch (...) {
      memory->deallocate(place, sizeof(Tables), alignof(Tables));
      throw;
    }
    std::unique_ptr<Tables, Destroy> tables(made);
    tables->byte_level = byte_level;
    tables->words = words;
    tables->size = static_cast<std::int32_t>(std::min(vocabulary.pieces.size(), most_pieces + 1));
    if (Status status = Maker(vocabulary, *tables).make(); !status) return status.error();
    Tokenizer tokenizer;
    tokenizer.tables_ = tables.release();
    return tokenizer;
  });
}

Tokenizer::~Tokenizer() {
  if (tables_ != nullptr) Destroy()(tables_);
}

Tokenizer& Tokenizer::operator=(Tokenizer&& other) noexcept {
  std::swap(tables_, other.tables_);
  return *this;
}

}  // namespace kinglet::text

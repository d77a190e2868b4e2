// kinglet/text/tokenizer.hpp: how does a text become tokens, and tokens a text?
//
// The vocabulary is the model file's own. Two kinds are known: "llama" (SentencePiece BPE: the best-scored neighbours
// are merged, unknown characters fall back to bytes) and "gpt2" (byte-level BPE: the text is cut into words by a named
// pre-tokenizer, then the pair that was learned first is merged).
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>

namespace kinglet::text {

/// What a piece is for, with the numbers of `tokenizer.ggml.token_type`.
enum class TokenType : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// What a model file says of its vocabulary. The views must live only during Tokenizer::create.
struct Vocabulary {
  std::string_view model;                         ///< "llama" or "gpt2"
  std::string_view pre;                           ///< the pre-tokenizer's name, for "gpt2"
  std::span<const std::string_view> pieces = {};  ///< [vocabulary], as spelt in the file
  std::span<const float> scores = {};             ///< [vocabulary], or empty: all zero
  std::span<const TokenType> types = {};          ///< [vocabulary], or empty: all normal
  std::span<const std::string_view> merges = {};  ///< for "gpt2": "left right", the one learned first comes first
  std::int32_t bos = -1;                          ///< ids of special tokens; -1 = there is none
  std::int32_t eos = -1;
  std::int32_t eot = -1;
  std::int32_t eom = -1;
  std::int32_t unknown = -1;
  std::int32_t pad = -1;
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = true;  ///< for "llama": a text begins as if a space stood before it
};

struct EncodeOptions {
  bool add_special = true;     ///< BOS before and EOS after the text, where the model says so
  bool parse_special = false;  ///< control tokens spelt in the text become themselves; only for texts that are trusted
};

/// Movable; immutable once created, and usable from many threads at a time.
class KINGLET_API Tokenizer {
 public:
  /// A byte that UTF-8 never contains. protect() puts it into text that is not trusted, encode() drops it.
  static constexpr char guard = '\xff';
  struct Tables;  ///< what it holds; known in src/ alone

  /// @param memory  outlives the tokenizer, and gives all of its memory
  /// @return unsupported: an unknown model or pre-tokenizer; bad_format: the vocabulary contradicts itself;
  ///         out_of_memory
  static Result<Tokenizer> create(const Vocabulary& vocabulary, std::pmr::memory_resource* memory) noexcept;

  Tokenizer() noexcept = default;
  Tokenizer(Tokenizer&& other) noexcept : tables_(other.tables_) { other.tables_ = nullptr; }
  Tokenizer& operator=(Tokenizer&& other) noexcept;
  ~Tokenizer();
  /// False for one that was moved from, or never created.
  explicit operator bool() const noexcept { return tables_ != nullptr; }

  /// Appends the tokens of a text. User-defined pieces (<think>, say) are always found in it; control pieces only with
  /// parse_special, and then every guard byte is dropped from what remains.
  /// @param out  its memory resource also gives the scratch memory: a copy of the longest word and about a MiB
  /// @return invalid_argument: the text is not UTF-8 (the message says where); unsupported: a character for which the
  ///         vocabulary has no piece; out_of_memory. On an error `out` is as before.
  Status encode(std::string_view text, EncodeOptions options, std::pmr::vector<std::int32_t>& out) const noexcept;

  /// Appends `untrusted` with a guard inside every spelling of a control piece, also in one that only begins at its
  /// end, so that encode(parse_special) takes none of it for a control token. User-defined pieces are left alone.
  /// @return invalid_argument: not UTF-8; out_of_memory
  Status protect(std::string_view untrusted, std::pmr::string& out) const noexcept;

  /// Appends the text of some tokens: what encode() was given, if they came from it.
  /// @param special  spell control tokens instead of leaving them out
  /// @return invalid_argument: an id is out of range (nothing is appended); out_of_memory
  Status decode(std::span<const std::int32_t> tokens, bool special, std::pmr::string& out) const noexcept;

  /// What a token adds to a text, perhaps a part of a UTF-8 character; "" for control, unknown and unused tokens and
  /// for ids out of range. Lives as long as the tokenizer.
  std::string_view bytes(std::int32_t token) const noexcept;
  /// A token as the file spells it; "" for ids out of range.
  std::string_view piece(std::int32_t token) const noexcept;
  /// `unused` for ids out of range.
  TokenType type(std::int32_t token) const noexcept;
  /// The token spelt so (the first, if there are several), or -1.
  std::int32_t find(std::string_view piece) const noexcept;
  /// True for EOS, EOT, EOM and for the control pieces that end a turn in well-known models (<|im_end|>, </s>, ...).
  bool ends_generation(std::int32_t token) const noexcept;

  std::int32_t size() const noexcept;  ///< tokens in the vocabulary; 0 once moved from
  std::int32_t bos() const noexcept;   ///< -1 = none, as for the next five
  std::int32_t eos() const noexcept;
  std::int32_t eot() const noexcept;
  std::int32_t eom() const noexcept;
  std::int32_t unknown() const noexcept;
  std::int32_t pad() const noexcept;
  bool add_bos() const noexcept;
  bool add_eos() const noexcept;
  /// Bytes of the longest bytes() and piece().
  std::size_t longest_piece() const noexcept;

 private:
  Tables* tables_ = nullptr;
};

}  // namespace kinglet::text

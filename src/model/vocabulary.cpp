// model/vocabulary.cpp: which keys of a file describe its tokenizer?
#include <kinglet/model/vocabulary.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/fail.hpp"

namespace kinglet::model {
namespace {

using core::fail;
using text::TokenType;

/// Files with these pre-tokenizers begin texts with BOS unless they say that they do not.
bool begins_with_bos(std::string_view pre) noexcept {
  for (const char* name : {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                           "jina-v5-nano", "tekken"}) {
    if (pre == name) return true;
  }
  return false;
}

/// The bytes of a key's array, which may be missing; `count` elements of four bytes.
Status array_of_words(const Gguf& file, const char* key, bool (*fits)(ValueType), ArrayView& out) {
  out = {};
  if (!file.has(key)) return {};
  const auto array = file.get_array(key);
  if (!array || !fits(array->type)) return fail(Errc::bad_format, "{} has the wrong type", key);
  out = *array;
  return {};
}

class Reader {
 public:
  Reader(const Gguf& file, std::pmr::memory_resource* memory)
      : file_(file), pieces_(memory), merges_(memory), scores_(memory), types_(memory) {}

  Result<text::Tokenizer> read(std::string_view pre, std::pmr::memory_resource* memory) {
    const auto model = file_.get_string("tokenizer.ggml.model");
    if (!model) return fail(Errc::bad_format, "tokenizer.ggml.model is missing: the file brings no vocabulary");
    v_.model = *model;
    if (Status s = read_pre(pre); !s) return s.error();
    const bool spm = v_.model == "llama";
    if (Status s = file_.get_strings("tokenizer.ggml.tokens", pieces_); !s) return s.error();
    if (Status s = file_.get_strings("tokenizer.ggml.merges", merges_); !s) return s.error();
    if (Status s = read_scores(); !s) return s.error();
    if (Status s = read_types(); !s) return s.error();
    if (spm) {
      v_.bos = usual(1, TokenType::control);
      v_.eos = usual(2, TokenType::control);
      v_.unknown = usual(0, TokenType::unknown);
    }
    if (Status s = read_ids(); !s) return s.error();
    v_.add_bos = spm || begins_with_bos(v_.pre);
    v_.add_eos = false;
    v_.add_space_prefix = spm;
    if (Status s = read_switches(); !s) return s.error();
    v_.pieces = pieces_;
    v_.merges = merges_;
    v_.scores = scores_;
    v_.types = types_;
    return text::Tokenizer::create(v_, memory);
  }

 private:
  Status read_pre(std::string_view pre) {
    const char* const key = "tokenizer.ggml.pre";
    v_.pre = !pre.empty() ? pre : file_.get_string(key).value_or("");
    return pre.empty() && file_.has(key) && !file_.get_string(key) ? fail(Errc::bad_format, "{} is no string", key)
                                                                   : Status();
  }

  Status read_switches() {
    const struct {
      const char* key;
      bool& on;
    } switches[] = {{"tokenizer.ggml.add_bos_token", v_.add_bos},
                    {"tokenizer.ggml.add_eos_token", v_.add_eos},
                    {"tokenizer.ggml.add_space_prefix", v_.add_space_prefix}};
    for (const auto& [key, on] : switches) {
      const auto value = file_.get_bool(key);
      if (!value && file_.has(key)) return fail(Errc::bad_format, "{} is neither true nor false", key);
      on = value.value_or(on);
    }
    return {};
  }

  Status read_scores() {
    ArrayView array;
    const auto fits = [](ValueType type) { return type == ValueType::f32; };
    if (Status s = array_of_words(file_, "tokenizer.ggml.scores", fits, array); !s) return s;
    scores_.resize(array.data.size() / sizeof(float));
    if (!scores_.empty()) std::memcpy(scores_.data(), array.data.data(), scores_.size() * sizeof(float));
    return {};
  }

  Status read_types() {
    ArrayView array;
    const auto fits = [](ValueType type) { return type == ValueType::i32 || type == ValueType::u32; };
    if (Status s = array_of_words(file_, "tokenizer.ggml.token_type", fits, array); !s) return s;
    types_.resize(array.data.size() / sizeof(std::int32_t));
    for (std::size_t i = 0; i < types_.size(); ++i) {
      std::int32_t type;
      std::memcpy(&type, array.data.data() + i * sizeof type, sizeof type);
      if (type < 1 || type > 6)
        return fail(Errc::bad_format, "tokenizer.ggml.token_type[{}] is {}, not 1 to 6", i, type);
      types_[i] = static_cast<TokenType>(type);
    }
    return {};
  }

  /// The id that SentencePiece gives by itself, if the vocabulary agrees.
  std::int32_t usual(std::size_t id, TokenType type) const noexcept {
    return id < types_.size() && id < pieces_.size() && types_[id] == type ? static_cast<std::int32_t>(id) : -1;
  }

  Status read_ids() {
    const struct {
      const char* key;
      std::int32_t& id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", v_.bos},         {"tokenizer.ggml.eos_token_id", v_.eos},
               {"tokenizer.ggml.eot_token_id", v_.eot},         {"tokenizer.ggml.eom_token_id", v_.eom},
               {"tokenizer.ggml.unknown_token_id", v_.unknown}, {"tokenizer.ggml.padding_token_id", v_.pad}};
    for (const auto& [key, id] : ids) {
      if (!file_.has(key)) continue;
      const auto value = file_.get_uint(key);
      if (is_none(key)) {
        id = -1;
      } else if (!value) {
        return fail(Errc::bad_format, "{} is no token id", key);
      } else if (*value >= pieces_.size()) {
        return fail(Errc::bad_format, "{} is {}, but the vocabulary has {} pieces", key, *value, pieces_.size());
      } else {
        id = static_cast<std::int32_t>(*value);
      }
    }
    return {};
  }

  /// Some converters write -1 for "none", signed or not.
  bool is_none(std::string_view key) const noexcept {
    const auto entries = file_.entries();
    const auto entry = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.key == key; });
    if (entry == entries.end()) return false;
    const ValueType type = entry->type;
    const bool wide = type == ValueType::u32 || type == ValueType::u64 || type == ValueType::i8 ||
                      type == ValueType::i16 || type == ValueType::i32 || type == ValueType::i64;
    return wide &&
           std::all_of(entry->data.begin(), entry->data.end(), [](std::byte b) { return b == std::byte{0xff}; });
  }

  const Gguf& file_;
  text::Vocabulary v_;
  std::pmr::vector<std::string_view> pieces_;
  std::pmr::vector<std::string_view> merges_;
  std::pmr::vector<float> scores_;
  std::pmr::vector<TokenType> types_;
};

}  // namespace

Result<text::Tokenizer> load_tokenizer(const Gguf& file, std::string_view pre_tokenizer,
                                       std::pmr::memory_resource* memory) noexcept {
  return core::guarded([&] { return Reader(file, memory).read(pre_tokenizer, memory); });
}

}  // namespace kinglet::model

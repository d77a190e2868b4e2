// model/config.cpp: which keys and tensors of a file give the shape of its model, and which shapes are refused?
#include <kinglet/model/config.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include <kinglet/model/family.hpp>

#include "core/fail.hpp"

namespace kinglet::model {
namespace {

// Far above any model; with these limits no product of two sizes leaves 64 bits, and none of heads and head_dim 32.
constexpr std::uint32_t max_dim = 1u << 20, max_layers = 1u << 12, max_heads = 1u << 12, max_head_dim = 1u << 12;
constexpr std::uint32_t max_vocab = 1u << 22, max_context = 1u << 30;

/// "<family>.<suffix>" and its value, checked. The first error is kept.
class Keys {
 public:
  Keys(const Gguf& file, std::string_view family) noexcept : file_(file), family_(family) {}

  const Error& error() const noexcept { return error_; }
  std::string_view name(std::string_view suffix) noexcept {
    const auto end = fmt::format_to_n(text_, sizeof text_, "{}.{}", family_, suffix);
    return {text_, end.size < sizeof text_ ? end.size : sizeof text_};
  }
  bool has(std::string_view suffix) noexcept { return file_.has(name(suffix)); }

  /// An integer in [1, max], or `otherwise` where there is no such key (0: the key must be there).
  std::uint32_t size(std::string_view suffix, std::uint32_t max, std::uint32_t otherwise = 0) noexcept {
    const std::string_view key = name(suffix);
    if (!file_.has(key)) {
      if (otherwise == 0) fail(core::fail(Errc::bad_format, "metadata key {} is missing", key));
      return std::max(otherwise, 1u);
    }
    const auto value = file_.get_uint(key);
    if (!value) {
      if (file_.get_array(key)) {
        fail(core::fail(Errc::unsupported, "metadata key {} is an array: layers of different shapes are not handled",
                        key));
      } else {
        fail(core::fail(Errc::bad_format, "metadata key {} is not a whole number", key));
      }
      return 1;
    }
    if (*value < 1 || *value > max) {
      fail(core::fail(Errc::bad_format, "metadata key {} is {}; expected 1 to {}", key, *value, max));
      return 1;
    }
    return static_cast<std::uint32_t>(*value);
  }

  /// A positive number, or `otherwise` where there is no such key (0: it must be there).
  float number(std::string_view suffix, float otherwise) noexcept {
    const std::string_view key = name(suffix);
    if (!file_.has(key)) {
      if (otherwise == 0.0f) fail(core::fail(Errc::bad_format, "metadata key {} is missing", key));
      return otherwise;
    }
    const auto value = file_.get_float(key);
    if (!value) {
      fail(core::fail(Errc::bad_format, "metadata key {} is not a number", key));
      return 1.0f;
    }
    const float number = static_cast<float>(*value);
    if (!(number > 0.0f) || !std::isfinite(number)) {
      fail(core::fail(Errc::bad_format, "metadata key {} is {}; expected a number above 0", key, *value));
      return 1.0f;
    }
    return number;
  }

  void fail(const Error& error) noexcept {
    if (!error_) error_ = error;
  }

 private:
  const Gguf& file_;
  std::string_view family_;
  char text_[96];
  Error error_;
};

const Family* read_family(const Gguf& file, Error& error) noexcept {
  const auto name = file.get_string("general.architecture");
  if (!name) {
    error = core::fail(Errc::bad_format, "metadata key general.architecture is missing or no string");
    return nullptr;
  }
  const Family* const family = find_family(*name);
  if (family != nullptr) return family;
  char known[96];
  char* at = known;
  for (const Family* const each : families()) {
    at = fmt::format_to_n(at, static_cast<std::size_t>(known + sizeof known - 1 - at), "{}{}", at == known ? "" : ", ",
                          each->name)
             .out;
  }
  *at = '\0';
  error = core::fail(Errc::unsupported, "models of the family \"{:.60}\" are not handled; this build knows {}", *name,
                     static_cast<const char*>(known));
  return nullptr;
}

void read_attention(Keys& keys, const Gguf& file, ModelConfig& config) noexcept {
  config.heads = keys.size("attention.head_count", max_heads);
  config.kv_heads = keys.size("attention.head_count_kv", max_heads, config.heads);
  if (!keys.has("attention.key_length") && config.dim % config.heads != 0) {
    keys.fail(core::fail(Errc::bad_format, "{} heads do not divide a width of {}, and {} is missing", config.heads,
                         config.dim, keys.name("attention.key_length")));
  }
  config.head_dim = keys.size("attention.key_length", max_head_dim, std::max(config.dim / config.heads, 1u));
  const std::uint32_t value_dim = keys.size("attention.value_length", max_head_dim, config.head_dim);
  if (config.heads % config.kv_heads != 0) {
    keys.fail(core::fail(Errc::bad_format, "{} key heads do not divide {} heads", config.kv_heads, config.heads));
  }
  if (value_dim != config.head_dim) {
    keys.fail(core::fail(Errc::unsupported, "keys of {} and values of {} channels: different lengths are not handled",
                         config.head_dim, value_dim));
  }
  if (config.head_dim > max_head_dim) {
    keys.fail(
        core::fail(Errc::bad_format, "heads of {} channels; at most {} are handled", config.head_dim, max_head_dim));
  }
  if (file.get_uint(keys.name("expert_count")).value_or(0) != 0) {
    keys.fail(core::fail(Errc::unsupported, "models with experts ({}) are not handled", keys.name("expert_count")));
  }
}

void read_rotation(Keys& keys, const Gguf& file, ModelConfig& config) noexcept {
  config.rotary_dim = keys.size("rope.dimension_count", max_head_dim, config.head_dim);
  if (config.rotary_dim % 2 != 0 || config.rotary_dim > config.head_dim) {
    keys.fail(core::fail(Errc::bad_format, "{} rotated channels in heads of {}; expected an even number, at most that",
                         config.rotary_dim, config.head_dim));
  }
  config.rope_theta = keys.number("rope.freq_base", 10000.0f);
  const auto scaling = file.get_string(keys.name("rope.scaling.type"));
  if (!scaling && keys.has("rope.scaling.type")) {
    keys.fail(core::fail(Errc::bad_format, "metadata key {} is no string", keys.name("rope.scaling.type")));
  } else if (scaling && *scaling == "linear") {
    config.rope_scale = keys.number("rope.scaling.factor", 0.0f);
  } else if (scaling && *scaling != "none" && !scaling->empty()) {
    keys.fail(core::fail(Errc::unsupported,
                         "the rotary scaling \"{:.40}\" is not handled; this build knows none and linear", *scaling));
  } else if (!scaling) {
    config.rope_scale = keys.number("rope.scale_linear", 1.0f);  // what files from before rope.scaling.* said
  }
}

}  // namespace

Result<ModelConfig> read_config(const Gguf& file) noexcept {
  Error error;
  const Family* const family = read_family(file, error);
  if (family == nullptr) return error;
  ModelConfig config;
  config.family = family->name;
  config.rotary_pairs = family->rotary_pairs;
  if (const auto name = file.get_string("general.name")) {
    std::size_t size = std::min(name->size(), sizeof config.name - 1);
    while (size > 0 && size < name->size() && (static_cast<unsigned char>((*name)[size]) & 0xc0) == 0x80) --size;
    name->copy(config.name, size);
  }
  Keys keys(file, family->name);
  config.dim = keys.size("embedding_length", max_dim);
  config.layers = keys.size("block_count", max_layers);
  config.ffn = keys.size("feed_forward_length", max_dim);
  config.trained_context = keys.size("context_length", max_context);
  config.norm_eps = keys.number("attention.layer_norm_rms_epsilon", 0.0f);
  read_attention(keys, file, config);
  read_rotation(keys, file, config);
  if (keys.error()) return keys.error();

  const TensorInfo* const embedding = file.find("token_embd.weight");
  if (embedding == nullptr) return core::fail(Errc::bad_format, "tensor token_embd.weight is missing");
  if (embedding->dims[1] < 1 || embedding->dims[1] > max_vocab) {
    return core::fail(Errc::bad_format, "tensor token_embd.weight has {} rows; expected 1 to {}", embedding->dims[1],
                      max_vocab);
  }
  config.vocab = static_cast<std::uint32_t>(embedding->dims[1]);
  config.tied_output = file.find("output.weight") == nullptr;
  return config;
}

}  // namespace kinglet::model

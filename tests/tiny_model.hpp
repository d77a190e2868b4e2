// tests/tiny_model.hpp: how do tests get a GGUF file, whole or broken, without a file?
#pragma once
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace kinglet::test {

/// Writes GGUF version 3 into memory: metadata first, then tensors of FP32.
class GgufBytes {
 public:
  void u32(const std::string& key, std::uint32_t value) { add(key, 4, raw(value)); }
  void f32(const std::string& key, float value) { add(key, 6, raw(value)); }
  void boolean(const std::string& key, bool value) { add(key, 7, std::string(1, value ? '\1' : '\0')); }
  void string(const std::string& key, const std::string& value) { add(key, 8, spell(value)); }
  void strings(const std::string& key, const std::vector<std::string>& values) {
    std::string data = raw(std::uint32_t{8}) + raw(std::uint64_t{values.size()});
    for (const std::string& value : values) data += spell(value);
    add(key, 9, data);
  }
  void ints(const std::string& key, const std::vector<std::int32_t>& values) {
    std::string data = raw(std::uint32_t{5}) + raw(std::uint64_t{values.size()});
    for (const std::int32_t value : values) data += raw(value);
    add(key, 9, data);
  }
  void drop(const std::string& key) {
    std::erase_if(keys_, [&](const auto& entry) { return entry.first == key; });
  }

  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dims;  // columns first
    std::uint32_t type = 0;           // F32
    std::string data;
  };
  std::vector<Tensor> tensors;

  Tensor& tensor(const std::string& name, std::vector<std::uint64_t> dims, const std::vector<float>& values) {
    Tensor added{name, std::move(dims), 0, std::string(values.size() * 4, '\0')};
    std::memcpy(added.data.data(), values.data(), added.data.size());
    tensors.push_back(std::move(added));
    return tensors.back();
  }
  Tensor& find(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
  }
  void drop_tensor(const std::string& name) {
    std::erase_if(tensors, [&](const Tensor& t) { return t.name == name; });
  }

  std::string bytes() const {
    std::string out =
        "GGUF" + raw(std::uint32_t{3}) + raw(std::uint64_t{tensors.size()}) + raw(std::uint64_t{keys_.size()});
    for (const auto& [key, value] : keys_) out += spell(key) + value;
    std::uint64_t offset = 0;
    for (const Tensor& t : tensors) {
      out += spell(t.name) + raw(static_cast<std::uint32_t>(t.dims.size()));
      for (const std::uint64_t d : t.dims) out += raw(d);
      out += raw(t.type) + raw(offset);
      offset += (t.data.size() + 31) / 32 * 32;
    }
    out.resize((out.size() + 31) / 32 * 32);
    for (const Tensor& t : tensors) {
      out += t.data;
      out.resize((out.size() + 31) / 32 * 32);
    }
    return out;
  }

 private:
  template <class T>
  static std::string raw(T value) {
    std::string data(sizeof value, '\0');
    std::memcpy(data.data(), &value, sizeof value);
    return data;
  }
  static std::string spell(const std::string& text) { return raw(std::uint64_t{text.size()}) + text; }
  void add(const std::string& key, std::uint32_t type, const std::string& data) {
    drop(key);
    keys_.emplace_back(key, raw(type) + data);
  }

  std::vector<std::pair<std::string, std::string>> keys_;
};

struct TinyShape {
  std::string family = "llama";
  std::uint32_t dim = 32, layers = 2, heads = 4, kv_heads = 2, head_dim = 8, ffn = 40, context = 512;
  bool tied = false;
  std::string chat_template;  // "" = none
  std::string piece = "th";   // id 256
  std::int32_t piece_type = 1;
};

/// A model with random weights and a vocabulary of the 256 bytes, "the", "<|im_start|>" and "<|im_end|>" (which ends
/// turns).
inline GgufBytes tiny_model(const TinyShape& shape = {}) {
  GgufBytes file;
  const auto key = [&](const char* suffix) { return shape.family + "." + suffix; };
  file.string("general.architecture", shape.family);
  file.string("general.name", "tiny");
  file.u32(key("embedding_length"), shape.dim);
  file.u32(key("block_count"), shape.layers);
  file.u32(key("feed_forward_length"), shape.ffn);
  file.u32(key("context_length"), shape.context);
  file.u32(key("attention.head_count"), shape.heads);
  file.u32(key("attention.head_count_kv"), shape.kv_heads);
  file.u32(key("attention.key_length"), shape.head_dim);
  file.u32(key("attention.value_length"), shape.head_dim);
  file.f32(key("attention.layer_norm_rms_epsilon"), 1e-5f);

  std::vector<std::string> pieces;
  for (int byte = 0, next = 256; byte < 256; ++byte) {
    const bool plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int code = plain ? byte : next++;
    pieces.push_back(code < 128
                         ? std::string(1, static_cast<char>(code))
                         : std::string{static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))});
  }
  pieces.insert(pieces.end(), {shape.piece, "the", "<|im_start|>", "<|im_end|>"});
  std::vector<std::int32_t> types(pieces.size(), 1);
  types[256] = shape.piece_type;
  types[258] = types[259] = 3;
  file.string("tokenizer.ggml.model", "gpt2");
  file.string("tokenizer.ggml.pre", "gpt-2");
  file.strings("tokenizer.ggml.tokens", pieces);
  file.ints("tokenizer.ggml.token_type", types);
  file.strings("tokenizer.ggml.merges", {"t h", "th e"});
  file.u32("tokenizer.ggml.eos_token_id", 259);
  file.boolean("tokenizer.ggml.add_bos_token", false);
  if (!shape.chat_template.empty()) file.string("tokenizer.chat_template", shape.chat_template);

  std::uint32_t seed = 1;
  const auto random = [&](std::uint64_t n, float scale, float middle) {
    std::vector<float> values(n);
    for (float& value : values) {
      seed = seed * 1664525u + 1013904223u;
      value = middle + scale * (static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f);
    }
    return values;
  };
  const auto matrix = [&](const std::string& name, std::uint64_t rows, std::uint64_t cols, float gain = 1.7f) {
    file.tensor(name, {cols, rows}, random(rows * cols, gain / std::sqrt(static_cast<float>(cols)), 0.0f));
  };
  const auto norm = [&](const std::string& name, std::uint64_t n) { file.tensor(name, {n}, random(n, 0.2f, 1.0f)); };
  const std::uint64_t q = std::uint64_t{shape.heads} * shape.head_dim,
                      kv = std::uint64_t{shape.kv_heads} * shape.head_dim;
  matrix("token_embd.weight", pieces.size(), shape.dim, 6.0f);
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    std::string at("blk.");
    at.append(std::to_string(layer)).append(".");
    norm(at + "attn_norm.weight", shape.dim);
    matrix(at + "attn_q.weight", q, shape.dim);
    matrix(at + "attn_k.weight", kv, shape.dim);
    matrix(at + "attn_v.weight", kv, shape.dim);
    matrix(at + "attn_output.weight", shape.dim, q);
    if (shape.family == "qwen2") {
      file.tensor(at + "attn_q.bias", {q}, random(q, 0.5f, 0.0f));
      file.tensor(at + "attn_k.bias", {kv}, random(kv, 0.5f, 0.0f));
      file.tensor(at + "attn_v.bias", {kv}, random(kv, 0.5f, 0.0f));
    }
    if (shape.family == "qwen3") {
      norm(at + "attn_q_norm.weight", shape.head_dim);
      norm(at + "attn_k_norm.weight", shape.head_dim);
    }
    norm(at + "ffn_norm.weight", shape.dim);
    matrix(at + "ffn_gate.weight", shape.ffn, shape.dim);
    matrix(at + "ffn_up.weight", shape.ffn, shape.dim);
    matrix(at + "ffn_down.weight", shape.dim, shape.ffn);
  }
  norm("output_norm.weight", shape.dim);
  if (!shape.tied) matrix("output.weight", pieces.size(), shape.dim, 8.0f);
  return file;
}

/// A file in the temporary folder that goes with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& bytes, const std::string& name = "tiny.gguf") {
    static int count = 0;
    const auto unique = std::chrono::steady_clock::now().time_since_epoch().count();
    std::string unique_name("kinglet_");
    unique_name.append(std::to_string(unique)).append("_").append(std::to_string(++count)).append("_").append(name);
    path_ = (std::filesystem::temp_directory_path() / unique_name).string();
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace kinglet::test

#include "layout.hpp"

#include <array>
#include <cmath>
#include <utility>

#include "failure.hpp"

namespace kinglet::cli {

quant::Format parse_type(const std::string& name, const char* option) {
  using quant::Format;
  constexpr std::array<std::pair<const char*, Format>, 9> names = {{{"f32", Format::f32},
                                                                    {"f16", Format::f16},
                                                                    {"fp16", Format::f16},
                                                                    {"bf16", Format::bf16},
                                                                    {"q8_0", Format::q8_0},
                                                                    {"int8", Format::q8_0},
                                                                    {"q4_0", Format::q4_0},
                                                                    {"int4", Format::q4_0},
                                                                    {"q6_k", Format::q6_k}}};
  for (const auto& [known, format] : names)
    if (name == known) return format;
  bad_usage("{} {}: no such type; it is one of f32, f16, bf16, q8_0 (int8), q4_0 (int4)", option, name);
}

quant::Format output_format(quant::Format weights, std::uint64_t cols) {
  if (weights != quant::Format::q4_0) return weights;
  return cols % 256 == 0 ? quant::Format::q6_k : quant::Format::q8_0;
}

std::uint32_t file_type(quant::Format weights) {
  switch (weights) {
    case quant::Format::f16: return 1;
    case quant::Format::q4_0: return 2;
    case quant::Format::q8_0: return 7;
    case quant::Format::bf16: return 32;
    default: return 0;
  }
}

std::vector<TensorPlan> tensors_of(const Shape& shape, quant::Format weights, quant::Format output) {
  std::vector<TensorPlan> all;
  const auto root = [](std::uint64_t n) { return 1.0f / std::sqrt(static_cast<float>(n)); };
  const auto norm = [&](std::string name, std::uint64_t n) {
    all.push_back({std::move(name), 0, n, quant::Format::f32, 1.0f, 0.1f});
  };
  const auto matrix = [&](std::string name, std::uint64_t rows, std::uint64_t cols, quant::Format format, float gain) {
    all.push_back({std::move(name), rows, cols, format, 0.0f, gain * root(cols)});
  };
  const bool qwen2 = std::string_view(shape.family) == "qwen2";
  const bool qwen3 = std::string_view(shape.family) == "qwen3";
  const std::uint64_t dim = shape.dim;
  const std::uint64_t q = std::uint64_t{shape.heads} * shape.head_dim;
  const std::uint64_t kv = std::uint64_t{shape.kv_heads} * shape.head_dim;
  const float residual = root(2 * std::uint64_t{shape.layers});

  matrix("token_embd.weight", shape.vocab, dim, shape.tied ? output : weights, 1.0f);
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string at = "blk." + std::to_string(layer) + ".";
    norm(at + "attn_norm.weight", dim);
    for (const auto& [name, rows] : {std::pair<const char*, std::uint64_t>{"q", q}, {"k", kv}, {"v", kv}}) {
      matrix(at + "attn_" + name + ".weight", rows, dim, weights, 1.0f);
      if (qwen2) all.push_back({at + "attn_" + name + ".bias", 0, rows, quant::Format::f32, 0.0f, 0.1f});
      if (qwen3 && *name != 'v') norm(at + "attn_" + name + "_norm.weight", shape.head_dim);
    }
    matrix(at + "attn_output.weight", dim, q, weights, residual);
    norm(at + "ffn_norm.weight", dim);
    matrix(at + "ffn_gate.weight", shape.ffn, dim, weights, 1.0f);
    matrix(at + "ffn_up.weight", shape.ffn, dim, weights, 1.0f);
    matrix(at + "ffn_down.weight", dim, shape.ffn, weights, residual);
  }
  norm("output_norm.weight", dim);
  if (!shape.tied) matrix("output.weight", shape.vocab, dim, output, 1.0f);
  return all;
}

}  // namespace kinglet::cli

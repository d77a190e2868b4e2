// examples/cli/shapes.hpp: which model shapes can `kinglet synth` make?
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace kinglet::cli {

/// The sizes of a published model, or of a tiny one of the same family.
struct Shape {
  const char* name;
  const char* family;  ///< "llama", "qwen2", "qwen3"
  const char* pre;     ///< the pre-tokenizer's name
  std::uint32_t dim, layers, heads, kv_heads, head_dim, ffn;
  std::uint32_t vocab;
  std::uint32_t base_vocab;  ///< pieces before the special tokens
  std::uint32_t context;     ///< tokens
  float rope_theta;
  float norm_eps;
  bool tied;  ///< the embedding is the output layer too
  bool add_bos;
};

std::span<const Shape> shapes();

/// Null where there is none of that name.
const Shape* find_shape(std::string_view name);

/// All names, for a message.
std::string shape_names();

}  // namespace kinglet::cli

// kinglet/model/config.hpp: what shape does a model have?
#pragma once
#include <cstdint>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/ops/rope.hpp>

namespace kinglet::model {

struct ModelConfig {
  const char* family = "";           ///< "llama", "qwen2", "qwen3"
  char name[64] = {};                ///< general.name, cut
  std::uint32_t dim = 0;             ///< channels of a token's state
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;        ///< divides heads
  std::uint32_t head_dim = 0;
  std::uint32_t rotary_dim = 0;      ///< rotated channels of a head, even, <= head_dim
  std::uint32_t ffn = 0;             ///< inner channels of the feed-forward part
  std::uint32_t vocab = 0;
  std::uint32_t trained_context = 0; ///< tokens
  float norm_eps = 0.0f;
  float rope_theta = 0.0f;
  float rope_scale = 1.0f;           ///< linear scaling's factor
  ops::RotaryPairs rotary_pairs = ops::RotaryPairs::interleaved;
  bool tied_output = false;          ///< the embedding is the output layer too
};

/// Reads the shape from a file's metadata and checks it (every product of sizes fits).
/// unsupported: a family this build does not know (the message lists those it knows), or a scaling that is not handled;
/// bad_format: a key is missing, of the wrong type or out of range.
KINGLET_API Result<ModelConfig> read_config(const Gguf& file) noexcept;

}  // namespace kinglet::model

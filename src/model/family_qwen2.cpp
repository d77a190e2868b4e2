// model/family_qwen2.cpp: what do Qwen 1.5, 2 and 2.5 add? Biases on the queries, keys and values.
#include <kinglet/model/family.hpp>

namespace kinglet::model {
namespace {

Status attention_input(const Weights& weights, const ModelConfig& config, std::uint32_t layer, ops::Op& op) noexcept {
  const std::uint32_t q = config.heads * config.head_dim, kv = config.kv_heads * config.head_dim;
  if (const Status status = weights.vector({"attn_q.bias", layer}, q, op.bias[0]); !status) return status;
  if (const Status status = weights.vector({"attn_k.bias", layer}, kv, op.bias[1]); !status) return status;
  return weights.vector({"attn_v.bias", layer}, kv, op.bias[2]);
}

}  // namespace

const Family qwen2_family{"qwen2", ops::RotaryPairs::halves, nullptr, attention_input};

}  // namespace kinglet::model

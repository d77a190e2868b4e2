// model/family_qwen3.cpp: what does Qwen 3 add? The queries and keys of each head are normed before the rotation.
#include <kinglet/model/family.hpp>

namespace kinglet::model {
namespace {

Status attention_input(const Weights& weights, const ModelConfig& config, std::uint32_t layer, ops::Op& op) noexcept {
  if (const Status status = weights.vector({"attn_q_norm.weight", layer}, config.head_dim, op.head_norm[0]); !status) {
    return status;
  }
  return weights.vector({"attn_k_norm.weight", layer}, config.head_dim, op.head_norm[1]);
}

}  // namespace

const Family qwen3_family{"qwen3", ops::RotaryPairs::halves, nullptr, attention_input};

}  // namespace kinglet::model

// ops/cpu_attention.cpp: which queries share the pages that a tile of attention reads?
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/cpu_backend.hpp"

namespace kinglet::ops {

/// One sequence's KV head and up to query_block of the queries that read it, over all stretches in ascending order.
void CpuBackend::attention_tile(const Op& op, std::uint32_t tile, ThreadScratch& scratch) noexcept {
  const auto* first_tile = at<std::uint32_t>(layout_.first_tile);
  const auto index = static_cast<std::size_t>(
      std::upper_bound(first_tile, first_tile + batch_.sequences.size() + 1, tile) - first_tile - 1);
  const Sequence& sequence = batch_.sequences[index];
  const std::uint32_t each = shape_.heads / shape_.kv_heads;
  const std::uint32_t all = sequence.rows * each;
  const std::uint32_t query_blocks = (all + query_block - 1) / query_block;
  const std::uint32_t kv_head = (tile - first_tile[index]) / query_blocks;
  const std::uint32_t first = (tile - first_tile[index]) % query_blocks * query_block;

  AttendArgs a{};
  a.queries = std::min(query_block, all - first);
  a.head_dim = shape_.head_dim;
  a.window = shape_.window;
  a.globals = shape_.globals;
  a.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  a.fp16_kv = shape_.kv == KvFormat::fp16;
  a.fp16_scores = shape_.scores == ScoreFormat::fp16;
  for (std::uint32_t i = 0; i < a.queries; ++i) {
    const std::uint32_t row = sequence.first_row + (first + i) / each;
    const std::uint32_t head = kv_head * each + (first + i) % each;
    a.q[i] = qkv_row(row) + std::size_t{head} * shape_.head_dim;
    a.position[i] = batch_.rows[row].position;
    a.state[i] = at<float>(layout_.states) + (std::size_t{row} * shape_.heads + head) * layout_.state;
    a.state[i][0] = -std::numeric_limits<float>::infinity();
    a.state[i][1] = 0.0f;
  }
  const std::uint32_t last = a.position[a.queries - 1];
  const std::uint32_t oldest = a.window != 0 && a.position[0] >= a.window ? a.position[0] - a.window + 1 : 0;
  for (a.start = 0; a.start <= last; a.start += stretch_tokens) {
    if (a.start >= a.globals && a.start + stretch_tokens <= oldest) continue;  // nobody sees any of it
    for (std::uint32_t p = 0; p < stretch_tokens / page_tokens; ++p) {
      const std::uint32_t at_page = a.start / page_tokens + p;
      const bool there = at_page <= last / page_tokens;
      a.keys[p] = there ? page(sequence.pages[at_page], op.layer, kv_head, 0) : nullptr;
      a.values[p] = there ? page(sequence.pages[at_page], op.layer, kv_head, 1) : nullptr;
    }
    kernels_.attend(a, scratch.attend);
  }
  for (std::uint32_t i = 0; i < a.queries; ++i) {
    const std::uint32_t row = sequence.first_row + (first + i) / each;
    const std::uint32_t head = kv_head * each + (first + i) % each;
    float* out = wide_row(row) + std::size_t{head} * shape_.head_dim;
    for (std::uint32_t d = 0; d < shape_.head_dim; ++d) out[d] = a.state[i][2 + d] / a.state[i][1];
  }
}

}  // namespace kinglet::ops

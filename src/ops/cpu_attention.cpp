// ops/cpu_attention.cpp: which queries and positions does a tile of attention put together?
//
// Attention goes in rounds. In a round each sequence has up to `waves_` stretches computed side by side: the first is
// merged into the queries' states at once, the others into slots of their own, which the round's second phase merges in
// ascending order. So memory is bounded, many threads can share one long sequence, and the result is as if the
// stretches had come one by one.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/cpu_backend.hpp"

namespace kinglet::ops {
namespace {

void clear_state(float* state) noexcept {
  state[0] = -std::numeric_limits<float>::infinity();
  state[1] = 0.0f;
}

}  // namespace

/// The stretches that any row of a sequence can see.
CpuBackend::Stretches CpuBackend::stretches(const Sequence& s) const noexcept {
  Stretches result{0, 0, (s.first_position + s.rows - 1) / stretch_tokens};
  if (shape_.window != 0 && s.first_position >= shape_.window) {
    result.first = (s.first_position - shape_.window + 1) / stretch_tokens;
    const std::uint32_t globals = shape_.globals / stretch_tokens + (shape_.globals % stretch_tokens != 0 ? 1 : 0);
    result.globals = std::min(globals, result.first);
  }
  return result;
}

/// Blocks of queries of one KV head: the rows of a sequence times the heads that share it.
std::uint32_t CpuBackend::query_blocks(const Sequence& s) const noexcept {
  return (s.rows * (shape_.heads / shape_.kv_heads) + query_block - 1) / query_block;
}

void CpuBackend::plan_attention() noexcept {
  std::uint32_t* first = at<std::uint32_t>(layout_.first_tile);
  std::uint32_t longest = 0;
  std::uint32_t tiles = 0;
  for (std::size_t s = 0; s < batch_.sequences.size(); ++s) {
    first[s] = tiles;
    tiles += query_blocks(batch_.sequences[s]) * shape_.kv_heads;
    longest = std::max(longest, stretches(batch_.sequences[s]).count());
  }
  first[batch_.sequences.size()] = tiles;
  waves_ = rows() == 0 ? 1 : std::min(std::max(shape_.max_rows, least_waves) / rows(), longest);
  rounds_ = (longest + waves_ - 1) / waves_;
  attend_tiles_ = tiles * waves_;
}

void CpuBackend::attend_tile(std::uint32_t layer, std::uint32_t round, std::uint32_t tile,
                             ThreadScratch& scratch) noexcept {
  const std::uint32_t wave = tile % waves_;
  tile /= waves_;
  const std::uint32_t* first = at<std::uint32_t>(layout_.first_tile);
  const std::size_t s =
      static_cast<std::size_t>(std::upper_bound(first, first + batch_.sequences.size() + 1, tile) - first) - 1;
  const Sequence& sequence = batch_.sequences[s];
  const std::uint32_t blocks = query_blocks(sequence);
  const std::uint32_t kv_head = (tile - first[s]) / blocks;
  const std::uint32_t start = (tile - first[s]) % blocks * query_block;
  const std::uint32_t group = shape_.heads / shape_.kv_heads;
  const Stretches seen = stretches(sequence);
  const std::uint32_t index = round * waves_ + wave;
  if (index >= seen.count()) return;

  AttendArgs a{};
  a.queries = std::min(query_block, sequence.rows * group - start);
  for (std::uint32_t i = 0; i < a.queries; ++i) {
    const std::uint32_t row = sequence.first_row + (start + i) / group;
    const std::uint32_t head = kv_head * group + (start + i) % group;
    const std::size_t query = std::size_t{row} * shape_.heads + head;
    a.q[i] = qkv_row(row) + std::size_t{head} * shape_.head_dim;
    a.position[i] = batch_.rows[row].position;
    a.state[i] = wave == 0 ? state(query) : wave_state(wave, query);
    if (wave != 0 || round == 0) clear_state(a.state[i]);
  }
  a.start = seen.at(index) * stretch_tokens;
  const std::uint32_t last_page = (sequence.first_position + sequence.rows - 1) / page_tokens;
  for (std::uint32_t p = 0; p < stretch_tokens / page_tokens && a.start / page_tokens + p <= last_page; ++p) {
    // A page that has left the window may be anything in the table, and is not read.
    const std::uint32_t id = sequence.pages[a.start / page_tokens + p];
    a.keys[p] = page(id < shape_.pages ? id : 0, layer, kv_head, 0);
    a.values[p] = page(id < shape_.pages ? id : 0, layer, kv_head, 1);
  }
  a.head_dim = shape_.head_dim;
  a.window = shape_.window;
  a.globals = shape_.globals;
  a.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  a.fp16_kv = shape_.kv == KvFormat::fp16;
  a.fp16_scores = shape_.scores == ScoreFormat::fp16;
  kernels_.attend(a, scratch.attend);
}

/// Ends a round for one row and KV head; the last round also divides.
void CpuBackend::merge_tile(std::uint32_t round, std::uint32_t tile) noexcept {
  const std::uint32_t row = tile / shape_.kv_heads;
  const std::uint32_t group = shape_.heads / shape_.kv_heads;
  const std::size_t dim = shape_.head_dim;
  const std::uint32_t count = stretches(batch_.sequences[batch_.rows[row].sequence]).count();
  for (std::uint32_t i = 0; i < group; ++i) {
    const std::size_t head = tile % shape_.kv_heads * group + i;
    const std::size_t query = std::size_t{row} * shape_.heads + head;
    float* sum = state(query);
    for (std::uint32_t wave = 1; wave < waves_ && round * waves_ + wave < count; ++wave) {
      kernels_.merge(sum, wave_state(wave, query), dim);
    }
    if (round + 1 != rounds_) continue;
    float* out = wide_row(row) + head * dim;
    for (std::size_t d = 0; d < dim; ++d) out[d] = sum[2 + d] / sum[1];
  }
}

}  // namespace kinglet::ops

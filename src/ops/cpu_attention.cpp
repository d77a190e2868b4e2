// ops/cpu_attention.cpp: which queries and positions does a tile of attention put together?
//
// Attention goes in rounds, each a phase. In a round each sequence has up to `waves_` stretches computed side by side:
// the first is merged into the queries' states at once, the others into slots of their own, which the tile that ends
// last merges in ascending order. So memory is bounded, many threads can share one long sequence without a barrier, and
// the result is as if the stretches had come one by one.
#include <algorithm>
#include <atomic>
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
  attend_queries_ = 0;
  for (std::size_t s = 0; s < batch_.sequences.size(); ++s) {
    const Sequence& sequence = batch_.sequences[s];
    first[s] = tiles;
    tiles += query_blocks(sequence) * shape_.kv_heads;
    longest = std::max(longest, stretches(sequence).count());
    attend_queries_ = std::max(attend_queries_, sequence.rows * (shape_.heads / shape_.kv_heads));
  }
  first[batch_.sequences.size()] = tiles;
  std::fill_n(at<std::uint32_t>(layout_.arrived), tiles, 0u);
  attend_queries_ = std::min(attend_queries_, query_block);
  waves_ = rows() == 0 ? 1 : std::min(std::max(shape_.max_rows, least_waves) / rows(), longest);
  rounds_ = (longest + waves_ - 1) / waves_;
  attend_tiles_ = tiles * waves_;
}

CpuBackend::QueryTile CpuBackend::query_tile(std::uint32_t index) const noexcept {
  const std::uint32_t* first = at<std::uint32_t>(layout_.first_tile);
  const std::size_t s =
      static_cast<std::size_t>(std::upper_bound(first, first + batch_.sequences.size() + 1, index) - first) - 1;
  const Sequence& sequence = batch_.sequences[s];
  const std::uint32_t start = (index - first[s]) / shape_.kv_heads * query_block;
  const std::uint32_t group = shape_.heads / shape_.kv_heads;
  return {&sequence, (index - first[s]) % shape_.kv_heads, start, std::min(query_block, sequence.rows * group - start)};
}

std::size_t CpuBackend::query(const QueryTile& tile, std::uint32_t i) const noexcept {
  const std::uint32_t group = shape_.heads / shape_.kv_heads;
  const std::size_t row = tile.sequence->first_row + (tile.start + i) / group;
  return row * shape_.heads + tile.kv_head * group + (tile.start + i) % group;
}

void CpuBackend::attend_stretch(std::uint32_t layer, const QueryTile& tile, std::uint32_t round, std::uint32_t wave,
                                ThreadScratch& scratch) noexcept {
  const Sequence& sequence = *tile.sequence;
  const Stretches seen = stretches(sequence);
  const std::uint32_t index = round * waves_ + wave;
  AttendArgs a;  // 2 KiB, mostly of queries that a few do not have: what is read is set
  a.queries = tile.count;
  for (std::uint32_t i = 0; i < tile.count; ++i) {
    const std::size_t q = query(tile, i), row = q / shape_.heads;
    a.q[i] = qkv_row(row) + q % shape_.heads * shape_.head_dim;
    a.position[i] = batch_.rows[row].position;
    a.state[i] = wave == 0 ? state(q) : wave_state(wave, q);
    if (wave != 0 || round == 0) clear_state(a.state[i]);
  }
  const std::uint32_t last_page = (sequence.first_position + sequence.rows - 1) / page_tokens;
  const std::byte *keys = pieces(layer, tile.kv_head, 0), *values = pieces(layer, tile.kv_head, 1);
  const auto place = [&, each = piece_bytes()](std::uint32_t p, const std::byte* first) -> const std::byte* {
    if (p > last_page) return nullptr;
    // A page that has left the window may be anything in the table, and is not read.
    const std::uint32_t id = sequence.pages[p];
    return first + (id < shape_.pages ? id : 0) * each;
  };
  constexpr std::uint32_t pages = stretch_tokens / page_tokens;
  for (std::uint32_t p = 0; p < pages; ++p) {
    a.keys[p] = place(seen.at(index) * pages + p, keys);
    a.values[p] = place(seen.at(index) * pages + p, values);
  }
  const bool more = wave + 1 < waves_ && index + 1 < seen.count();
  for (std::uint32_t p = 0; p < pages_ahead; ++p) {
    a.next[p] = more ? place(seen.at(index + 1) * pages + p, keys) : nullptr;
  }
  a.start = seen.at(index) * stretch_tokens;
  a.head_dim = shape_.head_dim;
  a.window = shape_.window;
  a.globals = shape_.globals;
  a.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  a.fp16_kv = shape_.kv == KvFormat::fp16;
  a.fp16_scores = shape_.scores == ScoreFormat::fp16;
  kernels_.attend(a, scratch.attend);
}

/// Ends a round for the queries of a tile; the last round also divides.
void CpuBackend::end_round(const QueryTile& tile, std::uint32_t round) noexcept {
  const std::size_t dim = shape_.head_dim;
  const std::uint32_t count = stretches(*tile.sequence).count();
  float* states[query_block];
  const float* later[query_block];
  for (std::uint32_t i = 0; i < tile.count; ++i) states[i] = state(query(tile, i));
  for (std::uint32_t wave = 1; wave < waves_ && round * waves_ + wave < count; ++wave) {
    for (std::uint32_t i = 0; i < tile.count; ++i) later[i] = wave_state(wave, query(tile, i));
    kernels_.merge(states, later, tile.count, dim);
  }
  if (round + 1 != rounds_) return;
  for (std::uint32_t i = 0; i < tile.count; ++i) {
    const std::size_t q = query(tile, i);
    const float* sum = states[i];
    float* out = wide_row(q / shape_.heads) + q % shape_.heads * dim;
    for (std::size_t d = 0; d < dim; ++d) out[d] = sum[2 + d] / sum[1];
  }
}

void CpuBackend::attend_tile(std::uint32_t layer, std::uint32_t round, std::uint32_t index,
                             ThreadScratch& scratch) noexcept {
  const std::uint32_t wave = index % waves_;
  const QueryTile tile = query_tile(index / waves_);
  if (round * waves_ + wave < stretches(*tile.sequence).count()) attend_stretch(layer, tile, round, wave, scratch);
  std::atomic_ref<std::uint32_t> arrived(at<std::uint32_t>(layout_.arrived)[index / waves_]);
  if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 != waves_) return;
  arrived.store(0, std::memory_order_relaxed);
  if (waves_ > 1 || round + 1 == rounds_) end_round(tile, round);
}

}  // namespace kinglet::ops

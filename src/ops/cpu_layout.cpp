// ops/cpu_layout.cpp: how many bytes does each array of a CPU backend take?
#include "ops/cpu_layout.hpp"

#include <algorithm>
#include <thread>

#include "ops/block_planner.hpp"
#include "ops/shares.hpp"

namespace kinglet::ops {
namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

bool makes_sense(const ContextShape& s) noexcept {
  constexpr std::size_t most = 0x7fffffff;
  for (const std::uint32_t size : {s.dim, s.layers, s.heads, s.kv_heads, s.head_dim, s.ffn, s.vocab, s.max_rows,
                                   s.max_sequences, s.pages, s.threads}) {
    if (size == 0 || size > most) return false;
  }
  // A row of queries, keys and values is such a size too, so that no rounding up and no count of tiles can overflow.
  if ((s.heads + 2 * std::size_t{s.kv_heads}) * s.head_dim > most) return false;
  return s.heads % s.kv_heads == 0 && 2 * s.rotary_steps.size() <= s.head_dim && s.max_logits <= s.max_rows &&
         s.layers <= 65535 && s.gate >= 0.0f && s.gate < 1.0f;
}

}  // namespace

CpuLayout cpu_layout(const ContextShape& s, std::size_t object_bytes, bool beside) noexcept {
  CpuLayout l{};
  if (!makes_sense(s)) return l;
  const std::size_t heads = s.heads;
  const std::size_t rows = s.max_rows;
  const std::size_t threads = beside ? 0 : s.threads, pages = beside ? 0 : s.pages;
  constexpr std::size_t f = sizeof(float);
  BlockPlanner<64> plan;
  plan.take({object_bytes});
  l.narrow_row = round_up(s.dim, 32);
  l.head_row = round_up(std::max(std::size_t{s.dim}, heads * s.head_dim), 32);
  l.ffn_row = round_up(s.ffn, 32);
  l.wide_row = std::max(l.head_row, l.ffn_row);
  l.qkv_row = round_up((heads + 2 * std::size_t{s.kv_heads}) * s.head_dim, 16);
  l.state = 2 + std::size_t{s.head_dim};
  l.x = plan.take({rows, l.narrow_row, f});
  l.normed = plan.take({rows, l.narrow_row, f});
  l.wide = plan.take({rows, l.wide_row, f});
  l.qkv = plan.take({rows, l.qkv_row, f});
  l.cos = plan.take({rows, s.rotary_steps.size(), f});
  l.sin = plan.take({rows, s.rotary_steps.size(), f});
  l.inputs = plan.take({rows, sizeof(ActivationRow)});
  const std::size_t int8_rows = s.activations == Activations::int8 ? rows : 0;
  const std::size_t fp8_rows = s.activations == Activations::fp8 ? rows : 0;
  l.panels_each = (int8_rows + panel_rows - 1) / panel_rows;
  l.q = plan.take({int8_rows + fp8_rows, l.wide_row, sizeof(std::int16_t)});
  l.low = plan.take({fp8_rows, l.wide_row, sizeof(std::int16_t)});
  l.scales = plan.take({int8_rows + fp8_rows, l.wide_row / 32, f});
  l.sums = plan.take({int8_rows + fp8_rows, l.wide_row / 16, sizeof(std::int32_t)});
  l.panels = plan.take({2 * l.panels_each, sizeof(Panel)});
  l.panel_data = plan.take({l.panels_each, panel_bytes(l.head_row)});
  l.wide_panels = plan.take({l.panels_each, panel_bytes(l.ffn_row)});
  l.states = plan.take({rows, heads, l.state, f});
  l.waves = plan.take({std::max(rows, std::size_t{least_waves}) - 1, heads, l.state, f});
  l.logits = plan.take({s.max_logits, s.vocab, f});
  l.bad = plan.take({rows, sizeof(std::int32_t)});
  l.first_tile = plan.take({std::size_t{s.max_sequences} + 1, sizeof(std::uint32_t)});
  l.shares = plan.take({threads, sizeof(Share)});
  const std::size_t blocks = (heads / s.kv_heads + query_block - 1) / query_block;  // of one row, at most
  l.arrived = plan.take({rows, blocks, s.kv_heads, sizeof(std::uint32_t)});
  l.thread_bytes = round_up(sizeof(ThreadScratch) + attend_scratch(s.head_dim) * f, 64);
  l.scratch = plan.take({threads, l.thread_bytes});
  l.workers_bytes = threads * sizeof(std::thread);
  l.workers = plan.take({l.workers_bytes});
  const std::size_t element = s.kv == KvFormat::fp16 ? 2 : 4;
  l.pool = plan.take({std::size_t{s.layers}, s.kv_heads, 2, pages, s.head_dim, page_tokens, element});
  l.total = plan.total();
  return l;
}

}  // namespace kinglet::ops

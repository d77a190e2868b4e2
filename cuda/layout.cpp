// cuda/layout.cpp: how many bytes does each array of the CUDA backend take?
#include "layout.hpp"

#include <algorithm>

#include "args.hpp"
#include "launch.hpp"
#include "ops/block_planner.hpp"

namespace kinglet::cuda {
namespace {

bool makes_sense(const ops::ContextShape& s) noexcept {
  for (const std::uint32_t size :
       {s.dim, s.layers, s.heads, s.kv_heads, s.head_dim, s.ffn, s.vocab, s.max_rows, s.max_sequences, s.pages}) {
    if (size == 0 || size > (1u << 30)) return false;
  }
  return s.heads % s.kv_heads == 0 && 2 * s.rotary_steps.size() <= s.head_dim && s.max_logits <= s.max_rows &&
         s.layers <= 65535 && s.gate >= 0.0f && s.gate < 1.0f && s.max_rows <= most_rows && s.heads <= most_heads &&
         s.head_dim <= max_head_dim;
}

}  // namespace

DeviceLayout device_layout(const ops::ContextShape& s) noexcept {
  DeviceLayout l{};
  if (!makes_sense(s)) return l;
  constexpr std::size_t f = sizeof(float);
  const std::size_t rows = s.max_rows, dim = s.dim, heads = s.heads, head_dim = s.head_dim, ffn = s.ffn;
  const std::size_t state = 2 + head_dim, pairs = s.rotary_steps.size();
  l.wide = std::max({dim, heads * head_dim, ffn});
  l.qkv_row = (heads + 2 * std::size_t{s.kv_heads}) * head_dim;
  l.slots = static_cast<std::size_t>(partial_slots(s.max_rows, s.heads));
  // norms; biases of q, k, v, output, gate, up, down; head norms
  const std::size_t layer_floats = 4 * dim + l.qkv_row + 2 * head_dim + 2 * ffn;
  const std::size_t gate_floats = s.gate > 0.0f ? 2 * dim + heads * head_dim + ffn : 0;  // the channels' importance
  l.vector_floats = (layer_floats + gate_floats) * s.layers + 2 * dim + s.vocab;

  ops::BlockPlanner<256> device;
  // token, position, sequence, logits, hidden of max_rows; first page of max_sequences; then all pages
  l.step_bytes = sizeof(std::uint32_t) * (5 * rows + s.max_sequences + std::size_t{s.max_sequences} * s.pages);
  l.step = device.take({l.step_bytes});
  l.x = device.take({rows, dim, f});
  l.normed = device.take({rows, dim, f});
  l.wide_rows = device.take({rows, l.wide, f});
  l.qkv = device.take({rows, l.qkv_row, f});
  l.cos = device.take({rows, pairs, f});
  l.sin = device.take({rows, pairs, f});
  const std::size_t int8_rows = s.activations == ops::Activations::int8 ? rows : 0;
  const std::size_t fp8_rows = s.activations == ops::Activations::fp8 ? rows : 0;
  l.q = device.take({int8_rows, l.wide});
  l.codes = device.take({fp8_rows, l.wide, sizeof(std::int32_t)});
  const std::size_t half_rows = s.bits == ops::Bits::device ? rows : 0;
  l.halves = device.take({half_rows, (l.wide + 15) / 16 * 4, sizeof(std::uint64_t)});
  l.row_scales = device.take({half_rows, f});
  l.scales = device.take({int8_rows + fp8_rows, (l.wide + 31) / 32, f});
  l.sums = device.take({int8_rows + fp8_rows, (l.wide + 15) / 16, sizeof(std::int32_t)});
  l.partial = device.take({l.slots, state, f});
  l.state = device.take({rows, heads, state, f});
  l.logits = device.take({s.max_logits, s.vocab, f});
  l.hidden = device.take({rows, dim, f});
  l.bad = device.take({rows, sizeof(std::uint32_t)});
  l.rotary = device.take({pairs, sizeof(std::uint64_t)});
  l.vectors = device.take({l.vector_floats, f});
  l.choices = std::size_t{std::min(s.max_sequences, s.max_logits)} + 1;
  l.values = device.take({l.choices, s.vocab, f});
  l.rules = device.take({l.choices, sizeof(ChoiceRules)});
  l.windows = device.take({l.choices, sample_window, sizeof(std::int32_t)});
  l.sampled = device.take({l.choices, sizeof(SampledRow)});
  const std::size_t element = s.kv == ops::KvFormat::fp16 ? 2 : 4;
  l.pool = device.take({s.pages, 2 * element, s.layers, s.kv_heads, head_dim, ops::page_tokens});
  l.device_bytes = device.total();

  ops::BlockPlanner<256> pinned;
  l.host_step = pinned.take({l.step_bytes});
  l.host_logits = pinned.take({s.max_logits, s.vocab, f});
  l.host_hidden = pinned.take({rows, dim, f});
  l.host_bad = pinned.take({rows, sizeof(std::uint32_t)});
  l.host_rules = pinned.take({l.choices, sizeof(ChoiceRules)});
  l.host_windows = pinned.take({l.choices, sample_window, sizeof(std::int32_t)});
  l.host_sampled = pinned.take({l.choices, sizeof(SampledRow)});
  l.staging = pinned.take({2, staging_bytes});
  l.pinned_bytes = pinned.total();
  l.ok = l.device_bytes != 0 && l.pinned_bytes != 0;
  return l;
}

}  // namespace kinglet::cuda

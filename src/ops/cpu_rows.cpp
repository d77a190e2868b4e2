// ops/cpu_rows.cpp: what happens to a row before and after a product?
#include <algorithm>
#include <atomic>

#include <kinglet/core/float_env.hpp>
#include <kinglet/core/math.hpp>
#include <kinglet/core/number.hpp>
#include <kinglet/sparse/gate.hpp>

#include "ops/cpu_backend.hpp"
#include "ops/crossing.hpp"
#include "quant/group.hpp"

namespace kinglet::ops {

void CpuBackend::embed_row(const Op& op, std::uint32_t row) noexcept {
  const WeightView& w = op.weight[0];
  dequantize_row(w, static_cast<std::uint32_t>(batch_.rows[row].token), x_row(row));
  rotary_row(row);
}

void CpuBackend::rotary_row(std::uint32_t row) noexcept {
  const std::size_t pairs = shape_.rotary_steps.size();
  float* cos = at<float>(layout_.cos) + row * pairs;
  float* sin = at<float>(layout_.sin) + row * pairs;
  for (std::size_t i = 0; i < pairs; ++i) {
    const core::SinCos angle = core::sincos_turns(batch_.rows[row].position * shape_.rotary_steps[i]);
    cos[i] = angle.cos;
    sin[i] = angle.sin;
  }
}

Status CpuBackend::read_rows(std::span<float> x) noexcept {
  if (const Status s = check_crossing(x.size(), rows(), shape_.dim); !s) return s;
  for (std::uint32_t r = 0; r < rows(); ++r) {
    std::memcpy(x.data() + std::size_t{r} * shape_.dim, x_row(r), shape_.dim * sizeof(float));
  }
  return {};
}

Status CpuBackend::write_rows(std::span<const float> x) noexcept {
  if (const Status s = check_crossing(x.size(), rows(), shape_.dim); !s) return s;
  const core::FloatEnvironment environment;
  for (std::uint32_t r = 0; r < rows(); ++r) {
    std::memcpy(x_row(r), x.data() + std::size_t{r} * shape_.dim, shape_.dim * sizeof(float));
    rotary_row(r);
  }
  return {};
}

// A row may be normed by two threads at once: for its logits and for its hidden state.
void CpuBackend::mark_bad(std::uint32_t row, std::uint32_t layer) noexcept {
  std::int32_t none = -1;
  std::atomic_ref<std::int32_t>(at<std::int32_t>(layout_.bad)[row])
      .compare_exchange_strong(none, static_cast<std::int32_t>(layer), std::memory_order_relaxed);
}

void CpuBackend::norm_row(const Op& op, std::uint32_t row, float* out) noexcept {
  if (kernels_.norm(x_row(row), op.norm, shape_.norm_eps, shape_.dim, out)) return;
  mark_bad(row, norm_bad_layer(op, shape_.layers));
}

/// Lays out the INT8 form of the inputs [panel * panel_rows, ...) of an op.
Panel& CpuBackend::lay_out_panel(OpKind kind, std::uint32_t panel, const Input& in) noexcept {
  const bool wide = kind == OpKind::down;
  std::byte* memory = at<std::byte>(wide ? layout_.wide_panels : layout_.panel_data);
  memory += panel * panel_bytes(wide ? layout_.ffn_row : layout_.head_row);
  Panel& made = panels(kind)[panel];
  made = make_panel(std::min(panel_rows, in.rows - panel * panel_rows), in.cols, memory);
  return made;
}

/// Norm (where the op has one), gate, and the forms that the op's weights read, for the rows of one panel.
void CpuBackend::prepare_panel(const Op& op, std::uint32_t panel) noexcept {
  const Input in = input(op);
  const std::uint32_t first = panel * panel_rows;
  const std::uint32_t count = std::min(panel_rows, in.rows - first);
  bool strips = false, groups = false;
  for (const WeightView& w : op.weight) {
    strips |= w && reads_panels(w);
    groups |= w && !reads_panels(w) && !quant::is_float(w.format);
  }
  float* x[panel_rows];
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t r = first + i;
    x[i] = in.x + r * in.stride;
    if (op.norm != nullptr) norm_row(op, op.kind == OpKind::output ? batch_.logits[r] : r, x[i]);
    if (op.importance != nullptr) {
      sparse::gate_row({x[i], in.cols}, {op.importance, in.cols}, shape_.gate);
    }
    ActivationRow& a = at<ActivationRow>(layout_.inputs)[r];
    const std::size_t wide = layout_.wide_row;
    a.values = x[i];
    if (shape_.activations == Activations::fp32) continue;
    a.d = at<float>(layout_.scales) + r * (wide / 32);
    a.sums = at<std::int32_t>(layout_.sums) + r * (wide / 16);
    if (!groups) continue;
    a.q = at<std::int16_t>(layout_.q) + r * wide;
    if (shape_.activations == Activations::int8) {
      kernels_.quantize_int8(a, in.cols);
    } else {
      a.low = at<std::int16_t>(layout_.low) + r * wide;
      kernels_.quantize_fp8(a, in.cols);
    }
  }
  if (strips) {
    strips_.quantize(x, 32, 0, in.cols / 32, lay_out_panel(op.kind, panel, in));
  }
}

void CpuBackend::hidden_row(const Op& op, std::uint32_t i) noexcept { norm_row(op, batch_.hidden[i], wide_row(i)); }

/// Head norms and the rotation of q and k, then k and v go into their page.
void CpuBackend::rotate_and_store(const Op& op, std::uint32_t row) noexcept {
  const std::uint32_t dim = shape_.head_dim;
  const std::size_t pairs = shape_.rotary_steps.size();
  const float* cos = at<float>(layout_.cos) + row * pairs;
  const float* sin = at<float>(layout_.sin) + row * pairs;
  const auto rotate =
      shape_.rotary_pairs == RotaryPairs::interleaved ? kernels_.rotate_interleaved : kernels_.rotate_halves;
  float* q = qkv_row(row);
  for (std::uint32_t h = 0; h < shape_.heads + shape_.kv_heads; ++h) {
    float* head = q + std::size_t{h} * dim;
    const float* w = op.head_norm[h < shape_.heads ? 0 : 1];
    if (w != nullptr && !kernels_.norm(head, w, shape_.norm_eps, dim, head)) mark_bad(row, op.layer + 1u);
    rotate(head, cos, sin, pairs);
  }
  const Row& r = batch_.rows[row];
  const std::uint32_t index = batch_.sequences[r.sequence].pages[r.position / page_tokens];
  const std::uint32_t slot = r.position % page_tokens;
  for (std::uint32_t h = 0; h < shape_.kv_heads; ++h) {
    const float* k = q + std::size_t{shape_.heads + h} * dim;
    const float* v = k + std::size_t{shape_.kv_heads} * dim;
    const std::size_t at = index * piece_bytes();
    kernels_.store_kv(k, v, dim, slot, shape_.kv == KvFormat::fp16, pieces(op.layer, h, 0) + at,
                      pieces(op.layer, h, 1) + at);
  }
}

}  // namespace kinglet::ops

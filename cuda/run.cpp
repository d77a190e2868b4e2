// cuda/run.cpp: which kernels does an operation enqueue, and what do they read and write?
#include <cmath>

#include "backend.hpp"
#include "core/fail.hpp"
#include "kernels.cuh"

namespace kinglet::cuda {

static_assert(page_positions == ops::page_tokens && stretch_positions == ops::stretch_tokens);

std::uint32_t CudaBackend::columns(const ops::Op& op) const noexcept {
  switch (op.kind) {
    case ops::OpKind::project: return shape_.heads * shape_.head_dim;
    case ops::OpKind::down: return shape_.ffn;
    default: return shape_.dim;
  }
}

std::uint32_t CudaBackend::products_rows(const ops::Op& op) const noexcept {
  return op.kind == ops::OpKind::output ? static_cast<std::uint32_t>(batch_.logits.size()) : rows();
}

/// The rows that the op's products read, in FP32.
View<float> CudaBackend::input(const ops::Op& op) const noexcept {
  const bool wide = op.kind == ops::OpKind::project || op.kind == ops::OpKind::down;
  return view<float>(wide ? layout_.wide_rows : layout_.normed, std::size_t{products_rows(op)} * columns(op));
}

ops::Work CudaBackend::work(const ops::Op& op, std::uint32_t) const noexcept {
  float cost = static_cast<float>(shape_.dim);
  for (const ops::WeightView& w : op.weight) cost += static_cast<float>(w.rows) * static_cast<float>(w.cols);
  if (op.kind == ops::OpKind::attention) {
    cost = static_cast<float>(last_position_ + 1) * static_cast<float>(2 * shape_.heads * shape_.head_dim);
  }
  const bool idle = rows() == 0 || (op.kind == ops::OpKind::output && batch_.logits.empty() && batch_.hidden.empty());
  return {idle ? 0u : 1u, cost * static_cast<float>(std::max(1u, products_rows(op)))};
}

Status CudaBackend::run(const ops::Op& op, std::uint32_t phase, std::uint32_t first, std::uint32_t last) noexcept {
  const std::uint32_t tiles = phase == 0 ? work(op, phase).tiles : 0;
  if (last > tiles) return core::fail(Errc::internal, "tile {} of a phase that has {}", last, tiles);
  if (first >= last) return {};
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  switch (op.kind) {
    case ops::OpKind::embed: return embed(op.weight[0]);
    case ops::OpKind::output: return output(op);
    default: return run_layer(op);
  }
}

/// The kernels of a layer's operation.
Status CudaBackend::enqueue(const ops::Op& op) noexcept {
  if (op.kind == ops::OpKind::attention) return attention(op);
  if (const Status s = prepare(op); !s) return s;
  const auto wide = view<float>(layout_.wide_rows, std::size_t{rows()} * shape_.ffn);
  switch (op.kind) {
    case ops::OpKind::attention_input: {
      const auto row = static_cast<std::uint32_t>(layout_.qkv_row);
      const auto qkv = view<float>(layout_.qkv, std::size_t{rows()} * row);
      std::uint32_t at = 0;
      for (std::size_t m = 0; m < 3; at += op.weight[m].rows, ++m) {
        if (const Status s = product(op, m, qkv, row, at, Epilogue::store); !s) return s;
      }
      return rotate(op);
    }
    case ops::OpKind::gate_up:
      if (const Status s = product(op, 0, wide, shape_.ffn, 0, Epilogue::store); !s) return s;
      return product(op, 1, wide, shape_.ffn, 0, Epilogue::swiglu);
    default: return product(op, 0, x(), shape_.dim, 0, Epilogue::add);
  }
}

/// @param w  without one, the rows are there already: the rotary table alone
Status CudaBackend::embed(const ops::WeightView& w) noexcept {
  const std::size_t pairs = shape_.rotary_steps.size();
  EmbedArgs a{};
  if (w) a.weight = {reinterpret_cast<const std::uint8_t*>(w.data), w.row_bytes * w.rows};
  a.token = token_;
  a.position = position_;
  a.rotary_steps = view<const std::uint64_t>(layout_.rotary, pairs);
  a.x = x();
  a.cos = view<float>(layout_.cos, rows() * pairs);
  a.sin = view<float>(layout_.sin, rows() * pairs);
  a.row_bytes = w.row_bytes;
  a.cols = w.cols;
  a.pairs = static_cast<std::uint32_t>(pairs);
  return launch(KernelKind::embed, w.format, launch_rows(rows(), 0), a);
}

KernelKind CudaBackend::form(const ops::Op& op) const noexcept {
  if (reads_halves(op)) return KernelKind::prepare_halves;
  bool groups = false;
  for (const ops::WeightView& w : op.weight) groups |= w && !quant::is_float(w.format);
  if (!groups || shape_.activations == ops::Activations::fp32) return KernelKind::prepare_values;
  return shape_.activations == ops::Activations::int8 ? KernelKind::prepare_int8 : KernelKind::prepare_fp8;
}

/// The activations of the op's products, in the form that its matrices read.
Status CudaBackend::prepare(const ops::Op& op) noexcept {
  const KernelKind kind = form(op);
  const bool plain = kind == KernelKind::prepare_values;
  if (plain && op.norm == nullptr && op.importance == nullptr) return {};
  const bool chosen = op.kind == ops::OpKind::output;
  const auto which = chosen ? logits_of_ : View<const std::uint32_t>{};
  if (op.importance == nullptr) return prepare_row(op, kind, which, input(op), products_rows(op), op.norm != nullptr);
  // The gate stands between the norm and the rounding.
  if (op.norm != nullptr) {
    const Status s = prepare_row(op, KernelKind::prepare_values, which, input(op), products_rows(op), true);
    if (!s) return s;
  }
  if (const Status s = gate(op); !s) return s;
  return plain ? Status() : prepare_row(op, kind, {}, input(op), products_rows(op), false);
}

Status CudaBackend::gate(const ops::Op& op) noexcept {
  const std::uint32_t cols = columns(op), n = products_rows(op);
  GateArgs a{};
  a.x = input(op);
  a.importance = {op.importance, cols};
  a.cols = cols;
  a.drop = static_cast<std::uint32_t>(sparse::share_of(shape_.gate, cols));
  if (a.drop == 0) return {};
  return launch(KernelKind::gate, {}, launch_gate(n, GateRow::shared_bytes), a);
}

Status CudaBackend::prepare_row(const ops::Op& op, KernelKind kind, View<const std::uint32_t> which, View<float> values,
                                std::uint32_t n, bool norm) noexcept {
  const std::uint32_t cols = columns(op);
  PrepareArgs a{};
  a.x = norm ? View<const float>(x()) : View<const float>(values);
  a.which = which;
  if (norm) {
    a.norm = {op.norm, cols};
    a.values = values;
    a.bad = view<std::uint32_t>(layout_.bad, rows());
  }
  if (kind == KernelKind::prepare_int8) {
    a.q = view<std::int8_t>(layout_.q, std::size_t{n} * cols);
    a.d = view<float>(layout_.scales, std::size_t{n} * (cols / 32));
  } else if (kind == KernelKind::prepare_fp8) {
    a.codes = view<std::int32_t>(layout_.codes, std::size_t{n} * cols);
    a.d = view<float>(layout_.scales, std::size_t{n} * ((cols + 127) / 128));
  } else if (kind == KernelKind::prepare_halves) {
    a.halves = view<std::uint64_t>(layout_.halves, std::size_t{n} * half_words(cols));
    a.d = view<float>(layout_.row_scales, n);
  }
  if (kind == KernelKind::prepare_int8 || kind == KernelKind::prepare_fp8)
    a.sums = view<std::int32_t>(layout_.sums, std::size_t{n} * (cols / 16));
  a.layer = ops::norm_bad_layer(op, shape_.layers);
  a.eps = shape_.norm_eps;
  a.cols = cols;
  return launch(kind, {}, launch_rows(n, PrepareRow<Form::values>::shared_bytes), a);
}

/// Matrix m of the op; output o of row i goes to out[i * stride + first + o].
Status CudaBackend::product(const ops::Op& op, std::size_t m, View<float> out, std::uint32_t stride,
                            std::uint32_t first, Epilogue epilogue) noexcept {
  const ops::WeightView& w = op.weight[m];
  if (!w) return {};
  const std::uint32_t n = products_rows(op);
  ProductArgs a{};
  a.weight = {reinterpret_cast<const std::uint8_t*>(w.data), w.row_bytes * w.rows};
  a.row_bytes = w.row_bytes;
  if (op.bias[m] != nullptr) a.bias = {op.bias[m], w.rows};
  a.out = out;
  a.out_stride = stride;
  a.out_first = first;
  a.outputs = w.rows;
  a.cols = w.cols;
  a.n = n;
  a.epilogue = epilogue;
  if (reads_halves(op)) {
    a.halves = view<const std::uint64_t>(layout_.halves, std::size_t{n} * half_words(w.cols));
    a.d = view<const float>(layout_.row_scales, n);
    return launch(KernelKind::product_halves, w.format, launch_product_many(w.rows, n), a);
  }
  if (quant::is_float(w.format) || shape_.activations == ops::Activations::fp32) {
    a.values = input(op);
    return launch(KernelKind::product_floats, w.format,
                  launch_product_few(w.rows, n, ProductOfFloats<Format::f32>::shared_bytes), a);
  }
  a.sums = view<const std::int32_t>(layout_.sums, std::size_t{n} * (w.cols / 16));
  if (shape_.activations == ops::Activations::fp8) {
    a.codes = view<const std::int32_t>(layout_.codes, std::size_t{n} * w.cols);
    a.d = view<const float>(layout_.scales, std::size_t{n} * ((w.cols + 127) / 128));
    return launch(KernelKind::product_fp8, w.format,
                  launch_product_few(w.rows, n, ProductOfGroups<Format::q4_0, Form::fp8>::shared_bytes), a);
  }
  a.q = view<const std::uint32_t>(layout_.q, std::size_t{n} * (w.cols / 4));
  a.d = view<const float>(layout_.scales, std::size_t{n} * (w.cols / 32));
  if (n >= tuning_->int8_from) return launch(KernelKind::product_many, w.format, launch_product_many(w.rows, n), a);
  return launch(KernelKind::product_int8, w.format,
                launch_product_few(w.rows, n, ProductOfGroups<Format::q4_0, Form::int8>::shared_bytes), a);
}

Status CudaBackend::rotate(const ops::Op& op) noexcept {
  const std::size_t pairs = shape_.rotary_steps.size();
  RotateArgs a{};
  a.qkv = view<float>(layout_.qkv, rows() * layout_.qkv_row);
  if (op.head_norm[0] != nullptr) a.norm_q = {op.head_norm[0], shape_.head_dim};
  if (op.head_norm[1] != nullptr) a.norm_k = {op.head_norm[1], shape_.head_dim};
  a.cos = view<const float>(layout_.cos, rows() * pairs);
  a.sin = view<const float>(layout_.sin, rows() * pairs);
  const std::size_t pool_bytes = shape_.page_bytes() * shape_.pages;
  if (shape_.kv == ops::KvFormat::fp16) {
    a.pool.fp16 = view<std::uint16_t>(layout_.pool, pool_bytes / 2);
  } else {
    a.pool.fp32 = view<float>(layout_.pool, pool_bytes / 4);
  }
  a.places = places();
  a.bad = view<std::uint32_t>(layout_.bad, rows());
  a.eps = shape_.norm_eps;
  a.heads = shape_.heads;
  a.kv_heads = shape_.kv_heads;
  a.head_dim = shape_.head_dim;
  a.pairs = static_cast<std::uint32_t>(pairs);
  a.layers = shape_.layers;
  a.layer = op.layer;
  a.halves = shape_.rotary_pairs == ops::RotaryPairs::halves;
  return launch(
      KernelKind::rotate, {},
      launch_rotate(rows(), shape_.heads + 2 * shape_.kv_heads, RotateAndStore::shared_bytes(shape_.head_dim)), a);
}

Status CudaBackend::attention(const ops::Op& op) noexcept {
  const std::uint32_t stretches = stretches_;
  const std::uint32_t pass = stretches_of_pass(layout_.slots, rows(), shape_.heads, stretches);
  const std::size_t heads = std::size_t{rows()} * shape_.heads, state = 2 + std::size_t{shape_.head_dim};
  AttendArgs a{};
  a.qkv = view<const float>(layout_.qkv, rows() * layout_.qkv_row);
  const std::size_t pool_bytes = shape_.page_bytes() * shape_.pages;
  if (shape_.kv == ops::KvFormat::fp16) {
    a.pool.fp16 = view<const std::uint16_t>(layout_.pool, pool_bytes / 2);
  } else {
    a.pool.fp32 = view<const float>(layout_.pool, pool_bytes / 4);
  }
  a.places = places();
  a.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  a.heads = shape_.heads;
  a.kv_heads = shape_.kv_heads;
  a.head_dim = shape_.head_dim;
  a.layers = shape_.layers;
  a.layer = op.layer;
  a.window = shape_.window;
  a.globals = shape_.globals;
  a.fp16_scores = shape_.scores == ops::ScoreFormat::fp16;
  MergeArgs merge{};
  merge.state = view<float>(layout_.state, heads * state);
  merge.out = view<float>(layout_.wide_rows, heads * shape_.head_dim);
  merge.heads = shape_.heads;
  merge.head_dim = shape_.head_dim;
  for (a.first_stretch = 0; a.first_stretch < stretches; a.first_stretch += pass) {
    a.stretches = std::min(pass, stretches - a.first_stretch);
    a.partial = view<float>(layout_.partial, heads * a.stretches * state);
    const Launch shape =
        launch_attend(rows(), shape_.kv_heads, a.stretches, AttendStretch::shared_bytes(shape_.head_dim));
    if (const Status s = launch(KernelKind::attend, {}, shape, a); !s) return s;
    merge.partial = a.partial;
    merge.stretches = a.stretches;
    merge.first = a.first_stretch == 0;
    merge.last = a.first_stretch + a.stretches == stretches;
    if (const Status s = launch(KernelKind::merge, {}, launch_merge(rows(), shape_.heads), merge); !s) return s;
  }
  return {};
}

Status CudaBackend::output(const ops::Op& op) noexcept {
  const auto hidden = static_cast<std::uint32_t>(batch_.hidden.size());
  if (hidden != 0) {
    const auto out = view<float>(layout_.hidden, std::size_t{hidden} * shape_.dim);
    if (const Status s = prepare_row(op, KernelKind::prepare_values, hidden_of_, out, hidden, true); !s) return s;
  }
  if (!batch_.logits.empty()) {
    if (const Status s = prepare(op); !s) return s;
    const auto out = view<float>(layout_.logits, batch_.logits.size() * shape_.vocab);
    if (const Status s = product(op, 0, out, shape_.vocab, 0, Epilogue::store); !s) return s;
  }
  if (foreseen_ != 0) {
    if (const Status s = choose(0, foreseen_); !s) return s;
    chosen_ = true;
  }
  return fetch();
}

}  // namespace kinglet::cuda

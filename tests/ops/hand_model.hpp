// tests/ops/hand_model.hpp: how does a model look that is nothing but a list of operations?
#pragma once
#include <cmath>
#include <memory>
#include <span>
#include <vector>

#include <kinglet/ops/backend.hpp>

#include "tests/ops/kernel_inputs.hpp"

namespace kinglet::test {

/// A model of random weights, as the lists that a backend walks.
struct HandModel {
  ops::ContextShape shape;
  std::vector<ops::Op> ops;
  std::vector<std::uint64_t> steps;
  std::vector<std::unique_ptr<std::vector<std::byte>>> matrices;
  std::vector<std::unique_ptr<std::vector<float>>> vectors;
  Random random{42};

  /// @param formats  of the matrices, in turn
  HandModel(ops::ContextShape s, std::vector<quant::Format> formats, std::uint32_t rotated) : shape(s) {
    steps.resize(rotated / 2);
    ops::rotary_steps(10000.0f, 1.0f, {}, steps);
    shape.rotary_steps = steps;
    shape.norm_eps = 1e-5f;
    std::size_t turn = 0;
    const auto matrix = [&](std::uint32_t rows, std::uint32_t cols) {
      return add_matrix(formats[turn++ % formats.size()], rows, cols);
    };
    const std::uint32_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
    ops::Op embed;
    embed.weight[0] = matrix(s.vocab, s.dim);
    ops.push_back(embed);
    for (std::uint32_t layer = 0; layer < s.layers; ++layer) {
      const auto op = [&](ops::OpKind kind) -> ops::Op& {
        ops.emplace_back();
        ops.back().kind = kind;
        ops.back().layer = static_cast<std::uint16_t>(layer);
        return ops.back();
      };
      ops::Op& in = op(ops::OpKind::attention_input);
      in.norm = vector(s.dim, 1.0f);
      in.weight[0] = matrix(q, s.dim);
      in.weight[1] = matrix(kv, s.dim);
      in.weight[2] = matrix(kv, s.dim);
      in.bias[0] = vector(q, 0.1f);
      in.bias[2] = vector(kv, 0.1f);
      if (layer % 2 != 0) in.head_norm[0] = vector(s.head_dim, 1.0f);
      if (layer % 2 != 0) in.head_norm[1] = vector(s.head_dim, 1.0f);
      in.importance = importance(s.dim);
      op(ops::OpKind::attention);
      ops::Op& project = op(ops::OpKind::project);
      project.weight[0] = matrix(s.dim, q);
      project.importance = importance(q);
      ops::Op& up = op(ops::OpKind::gate_up);
      up.norm = vector(s.dim, 1.0f);
      up.weight[0] = matrix(s.ffn, s.dim);
      up.weight[1] = matrix(s.ffn, s.dim);
      up.bias[1] = vector(s.ffn, 0.1f);
      up.importance = importance(s.dim);
      ops::Op& down = op(ops::OpKind::down);
      down.weight[0] = matrix(s.dim, s.ffn);
      down.bias[0] = vector(s.dim, 0.1f);
      down.importance = importance(s.ffn);
    }
    ops::Op output;
    output.kind = ops::OpKind::output;
    output.norm = vector(s.dim, 1.0f);
    output.weight[0] = matrix(s.vocab, s.dim);
    output.importance = importance(s.dim);
    ops.push_back(output);
  }
  HandModel(const HandModel&) = delete;
  HandModel& operator=(const HandModel&) = delete;

  ops::WeightView add_matrix(quant::Format format, std::uint32_t rows, std::uint32_t cols) {
    matrices.push_back(
        std::make_unique<std::vector<std::byte>>(random_blocks(format, std::size_t{rows} * cols, random)));
    ops::WeightView w;
    w.format = format;
    w.rows = rows;
    w.cols = cols;
    w.row_bytes = quant::format_bytes(format, cols);
    w.data = matrices.back()->data();
    return w;
  }
  const float* vector(std::size_t n, float scale) {
    vectors.push_back(std::make_unique<std::vector<float>>(normals(random, n, scale)));
    return vectors.back()->data();
  }
  const float* importance(std::size_t n) {
    if (shape.gate <= 0.0f) return nullptr;
    const float* v = vector(n, 1.0f);
    for (float& x : *vectors.back()) x = std::fabs(x);
    return v;
  }
};

/// One session's tokens and pages.
struct HandSession {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint32_t> pages;
};

inline ops::ContextShape odd_shape() {
  ops::ContextShape s;
  s.dim = 30;
  s.layers = 2;
  s.heads = 6;
  s.kv_heads = 2;
  s.head_dim = 10;
  s.ffn = 37;
  s.vocab = 51;
  s.max_rows = s.max_logits = 70;
  s.max_sequences = 8;
  s.pages = 100;
  return s;
}

inline ops::ContextShape quantized_shape() {
  ops::ContextShape s = odd_shape();
  s.dim = 64;
  s.heads = 3;
  s.kv_heads = 1;
  s.head_dim = 32;
  s.ffn = 160;
  s.rotary_pairs = ops::RotaryPairs::halves;
  return s;
}

inline const std::vector<quant::Format> floats = {quant::Format::f32, quant::Format::f16, quant::Format::bf16};
inline const std::vector<quant::Format> groups = {quant::Format::q8_0,  quant::Format::q4_0,  quant::Format::q4_1,
                                                  quant::Format::q5_0,  quant::Format::f16,   quant::Format::q5_1,
                                                  quant::Format::mxfp4, quant::Format::iq4_nl};

/// Tokens at random, in pages that are anything but in order.
inline HandSession make_session(std::uint64_t seed, std::uint32_t tokens, std::uint32_t first_page,
                                const ops::ContextShape& s) {
  Random random{seed};
  HandSession session;
  for (std::uint32_t i = 0; i < tokens; ++i) session.tokens.push_back(static_cast<std::int32_t>(random.below(s.vocab)));
  for (std::uint32_t i = 0; i < (tokens + 15) / 16; ++i) session.pages.push_back(s.pages - 1 - first_page - i);
  return session;
}

inline std::vector<const ops::BackendInfo*> usable() {
  std::vector<const ops::BackendInfo*> list;
  for (const ops::BackendInfo& info : ops::backends()) {
    if (info.available()) list.push_back(&info);
  }
  return list;
}

inline const ops::BackendInfo& scalar_backend() { return **ops::find_backend("scalar"); }

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return !a.empty() && a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// A backend that lives in its own memory, with a model placed in it.
class Placed {
 public:
  /// @param lent  what the backend is to read where it lies
  Placed(const ops::BackendInfo& info, const HandModel& model, ops::ContextShape shape, const Hooks& hooks = {},
         ops::HostMemory lent = {})
      : info_(info), memory_(hooks), ops_(model.ops), shape_(shape) {
    auto created = info.create(shape, hooks, memory_);
    error = created.error();
    if (!created) return;
    backend_ = *created;
    if (!lent.empty()) error = backend_->lend(lent).error();
    for (ops::Op& op : ops_) {
      const auto use = op.kind == ops::OpKind::embed ? ops::WeightUse::lookup : ops::WeightUse::product;
      std::size_t count = 0;
      for (const ops::WeightView& w : op.weight) {
        if (!w) continue;
        expected_bytes += info.placed_bytes(shape, w, use);
        ++count;
      }
      const bool together = op.kind == ops::OpKind::gate_up;
      for (std::size_t i = 0; i < count; i += together ? count : 1) {
        const Status placed = backend_->place({op.weight + i, together ? count : 1}, use);
        if (!placed) error = placed.error();
      }
      place(op.norm, shape.dim);
      place(op.importance, op.weight[0].cols);
      for (std::size_t i = 0; i < 2; ++i) place(op.head_norm[i], shape.head_dim);
      for (std::size_t i = 0; i < 3; ++i) place(op.bias[i], op.weight[i].rows);
    }
    for (std::size_t i = 0; i + 1 < ops_.size(); ++i) {
      if (ops_[i].kind != ops::OpKind::gate_up) continue;
      ops_[i].packed_reader = ops_[i + 1].weight[0].layout == ops::WeightLayout::packed;
    }
    expected_bytes += info.bytes(shape);
  }
  ~Placed() {
    if (backend_ != nullptr) info_.destroy(backend_, memory_);
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

  ops::Backend& operator*() { return *backend_; }
  ops::Backend* operator->() { return backend_; }
  const core::Memory& memory() const { return memory_; }
  const std::vector<ops::Op>& placed() const { return ops_; }

  /// Walks all operations; random_ranges cuts each phase into ranges of random length.
  Status walk(Random* random_ranges = nullptr) {
    for (const ops::Op& op : ops_) {
      for (std::uint32_t phase = 0; phase < backend_->phases(op); ++phase) {
        const std::uint32_t tiles = backend_->work(op, phase).tiles;
        for (std::uint32_t first = 0; first < tiles;) {
          const std::uint32_t last = random_ranges == nullptr ? tiles : first + 1 + random_ranges->below(tiles - first);
          if (Status status = backend_->run(op, phase, first, last); !status) return status;
          first = last;
        }
      }
    }
    return {};
  }

  /// One step: `count[s]` further tokens of each session (0 = none), from position `from[s]`. All logits, row by row.
  std::vector<float> step(const std::vector<const HandSession*>& sessions, const std::vector<std::uint32_t>& from,
                          const std::vector<std::uint32_t>& count, Random* random_ranges = nullptr) {
    error = begin_and_walk(sessions, from, count, random_ranges).error();
    std::vector<float> out;
    for (std::uint32_t i = 0; !error && i < all_.size(); ++i) {
      const auto logits = backend_->logits(i);
      error = logits.error();
      if (logits) out.insert(out.end(), logits->begin(), logits->end());
    }
    return out;
  }
  Status begin_and_walk(const std::vector<const HandSession*>& sessions, const std::vector<std::uint32_t>& from,
                        const std::vector<std::uint32_t>& count, Random* random_ranges = nullptr) {
    rows_.clear();
    sequences_.clear();
    all_.clear();
    for (std::size_t s = 0; s < sessions.size(); ++s) {
      if (count[s] == 0) continue;
      const auto index = static_cast<std::uint32_t>(sequences_.size());
      sequences_.push_back({static_cast<std::uint32_t>(rows_.size()), count[s], from[s], sessions[s]->pages.data()});
      for (std::uint32_t i = 0; i < count[s]; ++i) {
        all_.push_back(static_cast<std::uint32_t>(rows_.size()));
        rows_.push_back({sessions[s]->tokens[from[s] + i], from[s] + i, index});
      }
    }
    if (const Status begun = backend_->begin({rows_, sequences_, all_, all_, choices}); !begun) return begun;
    return walk(random_ranges);
  }

  /// A session's logits at all its positions, `chunk` rows at a time.
  std::vector<float> all(const HandSession& session, std::uint32_t chunk, Random* random_ranges = nullptr) {
    std::vector<float> out;
    const auto n = static_cast<std::uint32_t>(session.tokens.size());
    for (std::uint32_t at = 0; at < n && !error; at += chunk) {
      const auto part = step({&session}, {at}, {std::min(chunk, n - at)}, random_ranges);
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }

  Error error;
  std::size_t expected_bytes = 0;
  std::vector<ops::SampleRequest> choices;  ///< of the next steps

 private:
  void place(const float*& vector, std::size_t n) {
    if (vector == nullptr) return;
    auto placed = backend_->place(vector, n);
    if (!placed) error = placed.error();
    vector = *placed;
  }

  const ops::BackendInfo& info_;
  core::Memory memory_;
  std::vector<ops::Op> ops_;
  ops::ContextShape shape_;
  ops::Backend* backend_ = nullptr;
  std::vector<ops::Row> rows_;
  std::vector<ops::Sequence> sequences_;
  std::vector<std::uint32_t> all_;
};

}  // namespace kinglet::test

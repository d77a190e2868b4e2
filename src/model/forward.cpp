// model/forward.cpp: which weights, and which work of the gate, does each operation of a model get?
#include <kinglet/model/forward.hpp>

#include <algorithm>
#include <cmath>
#include <memory>

#include <kinglet/model/family.hpp>
#include <kinglet/sparse/gate.hpp>

#include "core/fail.hpp"
#include "ops/kernels/packed.hpp"

namespace kinglet::model {
namespace {

constexpr std::string_view embedding_name = "token_embd.weight", output_name = "output.weight";

/// Builds the list op by op.
class Builder {
 public:
  Builder(Gguf& file, const ModelConfig& config, const ForwardOptions& options, Placement& placement, Forward& out)
      : file_(file),
        placement_(placement),
        weights_(file, &placement),
        unplaced_(file),
        measures_(options.gate > 0.0f && placement.backend != nullptr),
        family_(*find_family(config.family)),
        config_(config),
        options_(options),
        out_(out),
        row_(out.ops.get_allocator()) {
    q_ = config.heads * config.head_dim;
    kv_ = config.kv_heads * config.head_dim;
    out_.ops.clear();
    out_.ops.reserve(std::size_t{5} * config.layers + 2);
    out_.importance.clear();
    if (options.gate > 0.0f) {
      const std::size_t layer = std::size_t{2} * config.dim + q_ + config.ffn;
      out_.importance.resize(layer * config.layers + config.dim);
      row_.resize(std::max({config.dim, q_, config.ffn}));
    }
  }

  Status all() noexcept {
    // The output layer is the largest matrix: packed first, it is in memory in both orders when nothing else is.
    ops::Op last;
    if (const Status status = output(last); !status) return status;
    if (const Status status = embed(last); !status) return status;
    for (std::uint32_t layer = 0; layer < config_.layers; ++layer) {
      if (const Status status = attention(layer); !status) return status;
      if (const Status status = feed_forward(layer); !status) return status;
      if (const Status status = progress(static_cast<float>(layer + 1) / static_cast<float>(config_.layers + 1));
          !status) {
        return status;
      }
    }
    out_.ops.push_back(last);  // within the capacity, as all are
    return progress(1.0f);
  }

 private:
  Status progress(float done) const noexcept {
    if (options_.progress == nullptr || options_.progress(options_.progress_user, done)) return {};
    return Error{Errc::cancelled, "the load was cancelled"};
  }

  static ops::Op make(ops::OpKind kind, std::uint32_t layer) noexcept {
    ops::Op op;
    op.kind = kind;
    op.layer = static_cast<std::uint16_t>(layer);
    return op;
  }

  /// Begins an op whose matrices read rows of `cols` channels.
  ops::Op make(ops::OpKind kind, std::uint32_t layer, std::uint32_t cols) noexcept {
    ops::Op op = make(kind, layer);
    if (options_.gate > 0.0f) {
      part_ = std::span<float>(out_.importance).subspan(used_, cols);
      used_ += cols;
      op.importance = part_.data();
      part_rows_ = 0;
    }
    return op;
  }

  /// The magnitudes of matrices of the op that was begun last join its importance.
  Status measure(std::span<const Weights::Name> names, std::uint32_t rows, std::uint32_t cols) noexcept {
    for (std::size_t i = 0; measures_ && i < names.size(); ++i) {
      ops::WeightView raw;  // a backend may place weights in an order of its own
      if (const Status status = unplaced_.matrix(names[i], rows, cols, ops::WeightUse::product, raw); !status)
        return status;
      for (std::uint32_t row = 0; row < rows; ++row) {
        ops::dequantize_row(raw, row, row_.data());
        sparse::add_magnitudes(std::span<const float>(row_.data(), cols), part_);
      }
      part_rows_ += rows;
    }
    return {};
  }
  Status matrices(std::span<const Weights::Name> names, std::uint32_t rows, std::uint32_t cols,
                  ops::WeightView* out) noexcept {
    if (const Status status = measure(names, rows, cols); !status) return status;
    return weights_.matrices(names, rows, cols, ops::WeightUse::product, out);
  }
  Status matrix(Weights::Name name, std::uint32_t rows, std::uint32_t cols, ops::WeightView& out) noexcept {
    return matrices({&name, 1}, rows, cols, &out);
  }

  Status measured(ops::Op& op) noexcept {
    if (part_rows_ > 0) {
      sparse::divide_by_rows(part_, part_rows_);
      part_rows_ = 0;
      const std::int64_t layer = op.kind == ops::OpKind::output ? -1 : op.layer;
      const auto placed = placement_.of(layer, ops::WeightUse::product).backend->place(part_.data(), part_.size());
      if (!placed) return placed.error();
      op.importance = *placed;
    }
    return {};
  }

  Status add(ops::Op op) noexcept {
    const Status status = measured(op);
    out_.ops.push_back(op);
    return status;
  }

  /// The output layer is the embedding itself, in one place and order.
  bool shared() const noexcept { return config_.tied_output && !requantizes() && placement_.first_layers == 0; }

  bool requantizes() const noexcept { return requantizes_output(file_, options_.output_weights); }

  Status embed(const ops::Op& output) noexcept {
    ops::Op op = make(ops::OpKind::embed, 0);
    op.weight[0] = output.weight[0];
    if (!shared()) {
      const Status status =
          weights_.matrix({embedding_name}, config_.vocab, config_.dim, ops::WeightUse::lookup, op.weight[0]);
      if (!status) return status;
    }
    out_.ops.push_back(op);
    return {};
  }

  Status attention(std::uint32_t layer) noexcept {
    ops::Op input = make(ops::OpKind::attention_input, layer, config_.dim);
    if (const Status s = weights_.vector({"attn_norm.weight", layer}, config_.dim, input.norm); !s) return s;
    if (const Status s = matrix({"attn_q.weight", layer}, q_, config_.dim, input.weight[0]); !s) return s;
    if (const Status s = matrix({"attn_k.weight", layer}, kv_, config_.dim, input.weight[1]); !s) return s;
    if (const Status s = matrix({"attn_v.weight", layer}, kv_, config_.dim, input.weight[2]); !s) return s;
    if (family_.attention_input != nullptr) {
      if (const Status s = family_.attention_input(weights_, config_, layer, input); !s) return s;
    }
    if (const Status s = add(input); !s) return s;
    out_.ops.push_back(make(ops::OpKind::attention, layer));
    ops::Op project = make(ops::OpKind::project, layer, q_);
    if (const Status s = matrix({"attn_output.weight", layer}, config_.dim, q_, project.weight[0]); !s) return s;
    return add(project);
  }

  Status feed_forward(std::uint32_t layer) noexcept {
    ops::Op gate_up = make(ops::OpKind::gate_up, layer, config_.dim);
    if (const Status s = weights_.vector({"ffn_norm.weight", layer}, config_.dim, gate_up.norm); !s) return s;
    const Weights::Name names[] = {{"ffn_gate.weight", layer}, {"ffn_up.weight", layer}};
    if (const Status s = matrices(names, config_.ffn, config_.dim, gate_up.weight); !s) return s;
    if (const Status s = measured(gate_up); !s) return s;
    ops::Op down = make(ops::OpKind::down, layer, config_.ffn);
    if (const Status s = matrix({"ffn_down.weight", layer}, config_.dim, config_.ffn, down.weight[0]); !s) return s;
    gate_up.packed_reader = down.weight[0].layout == ops::WeightLayout::packed;
    out_.ops.push_back(gate_up);
    return add(down);
  }

  Status output(ops::Op& op) noexcept {
    op = make(ops::OpKind::output, config_.layers, config_.dim);
    if (const Status s = weights_.vector({"output_norm.weight"}, config_.dim, op.norm); !s) return s;
    const Weights::Name name{config_.tied_output ? embedding_name : output_name};
    if (const Status s = measure({&name, 1}, config_.vocab, config_.dim); !s) return s;
    if (const Status s = measured(op); !s) return s;
    if (requantizes()) {
      return weights_.requantized(name, config_.vocab, config_.dim, *options_.output_weights, out_.output_strips,
                                  op.weight[0]);
    }
    const auto use = shared() ? ops::WeightUse::both : ops::WeightUse::product;
    return weights_.matrix(name, config_.vocab, config_.dim, use, op.weight[0]);
  }

  const Gguf& file_;
  const Placement& placement_;
  const Weights weights_, unplaced_;
  const bool measures_;
  const Family& family_;
  const ModelConfig& config_;
  const ForwardOptions& options_;
  Forward& out_;
  std::pmr::vector<float> row_;  // one row of weights, while importance is measured
  std::span<float> part_;        // the importance of the op that was begun
  std::uint64_t part_rows_ = 0;
  std::size_t used_ = 0;  // of importance
  std::uint32_t q_ = 0, kv_ = 0;
};

}  // namespace

Status read_rotary_steps(Gguf& file, const ModelConfig& config, std::pmr::vector<std::uint64_t>& out) noexcept {
  return core::guarded([&]() -> Status {
    const std::uint32_t half = config.rotary_dim / 2;
    std::span<const float> factors;
    const char* const name = find_family(config.family)->rotary_factors;
    if (name != nullptr && file.find(name) != nullptr) {
      const float* data = nullptr;
      if (const Status status = Weights(file).vector({name}, half, data); !status) return status;
      factors = {data, half};
      for (const float factor : factors) {
        if (factor > 0.0f && std::isfinite(factor)) continue;
        return core::fail(Errc::bad_format, "tensor {} holds {}; expected numbers above 0", name, factor);
      }
    }
    out.resize(half);
    ops::rotary_steps(config.rope_theta, config.rope_scale, factors, out);
    return {};
  });
}

const TensorInfo* output_tensor(const Gguf& file) noexcept {
  const TensorInfo* const own = file.find(output_name);
  return own != nullptr ? own : file.find(embedding_name);
}

bool requantizes_output(const Gguf& file, std::optional<quant::Format> asked) noexcept {
  const TensorInfo* const tensor = output_tensor(file);
  return asked && tensor != nullptr && tensor->format != asked;
}

Status build_forward(Gguf& file, const ModelConfig& config, const ForwardOptions& options, Placement& placement,
                     Forward& out) noexcept {
  return core::guarded([&]() -> Status { return Builder(file, config, options, placement, out).all(); });
}

}  // namespace kinglet::model

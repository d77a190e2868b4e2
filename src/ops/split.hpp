// ops/split.hpp: how does a model compute on two backends, its first layers on one and the others on the other?
//
// Each backend is made for its own layers, so that their pages of the KV cache live with them. What joins the two is
// one more phase, of one tile, after the last op of the first: the rows of the step cross. Bits are those of one
// backend that has all layers, since all backends compute the same.
#pragma once
#include <memory_resource>
#include <vector>

#include <kinglet/ops/backend.hpp>

namespace kinglet::ops {

class SplitBackend final : public Backend {
 public:
  /// The shapes for which the two are to be made. @param cut  layers of the first one, (0, shape.layers)
  static ContextShape first_shape(const ContextShape& shape, std::uint32_t cut) noexcept;
  static ContextShape last_shape(const ContextShape& shape, std::uint32_t cut) noexcept;
  /// Bytes that a SplitBackend takes from its memory.
  static std::size_t bytes(const ContextShape& shape) noexcept {
    return sizeof(float) * shape.max_rows * std::size_t{shape.dim};
  }

  /// @param first  has embed and the layers below `cut`
  /// @param last   has the other layers, and output; both outlive this. Throws std::bad_alloc
  SplitBackend(Backend& first, Backend& last, const ContextShape& shape, std::uint32_t cut,
               std::pmr::memory_resource* memory);

  const char* name() const noexcept override { return last_.name(); }
  /// internal: weights are placed on the backend of their layer.
  Status place(std::span<WeightView> weights, WeightUse use) noexcept override;
  Result<const float*> place(const float* vector, std::size_t n) noexcept override;
  Status begin(const Batch& batch) noexcept override;
  std::uint32_t phases(const Op& op) const noexcept override;
  Work work(const Op& op, std::uint32_t phase) const noexcept override;
  Status run(const Op& op, std::uint32_t phase, std::uint32_t first, std::uint32_t last) noexcept override;
  Result<bool> finish(bool wait) noexcept override { return last_.finish(wait); }
  Result<std::span<const float>> logits(std::uint32_t i) noexcept override { return last_.logits(i); }
  Result<std::span<const float>> hidden(std::uint32_t i) noexcept override { return last_.hidden(i); }
  std::int32_t bad_layer(std::uint32_t row) noexcept override;
  bool samples(const SampleRequest& request) const noexcept override { return last_.samples(request); }
  Result<Sampled> sample(const SampleRequest& request) noexcept override { return last_.sample(request); }
  Status copy_page(std::uint32_t from, std::uint32_t to, std::uint32_t tokens) noexcept override;
  Status read_page(std::uint32_t page, std::span<std::byte> bytes) noexcept override;
  Status write_page(std::uint32_t page, std::span<const std::byte> bytes) noexcept override;
  Status read_rows(std::span<float> x) noexcept override { return last_.read_rows(x); }
  Status write_rows(std::span<const float> x) noexcept override { return first_.write_rows(x); }

 private:
  bool in_first(const Op& op) const noexcept {
    return op.kind == OpKind::embed || (op.kind != OpKind::output && op.layer < cut_);
  }
  Backend& of(const Op& op) const noexcept { return in_first(op) ? first_ : last_; }
  /// The op as its backend counts layers.
  Op local(const Op& op) const noexcept;
  bool crosses_after(const Op& op) const noexcept { return op.kind == OpKind::down && op.layer + 1u == cut_; }

  Backend& first_;
  Backend& last_;
  std::uint32_t cut_, dim_;
  std::size_t page_bytes_, first_page_bytes_;  // of a whole page; of it the first backend's layers, which come first
  std::size_t rows_ = 0;                       // of the step
  std::pmr::vector<float> crossing_;           // [max_rows][dim]
};

}  // namespace kinglet::ops

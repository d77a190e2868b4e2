// ops/split.cpp: which of the two backends does what?
#include "ops/split.hpp"

#include "core/fail.hpp"

namespace kinglet::ops {

ContextShape SplitBackend::first_shape(const ContextShape& shape, std::uint32_t cut) noexcept {
  ContextShape s = shape;
  s.layers = cut;
  s.max_logits = 0;
  return s;
}

ContextShape SplitBackend::last_shape(const ContextShape& shape, std::uint32_t cut) noexcept {
  ContextShape s = shape;
  s.layers = shape.layers - cut;
  return s;
}

SplitBackend::SplitBackend(Backend& first, Backend& last, const ContextShape& shape, std::uint32_t cut,
                           std::pmr::memory_resource* memory)
    : first_(first),
      last_(last),
      cut_(cut),
      dim_(shape.dim),
      page_bytes_(shape.page_bytes()),
      first_page_bytes_(first_shape(shape, cut).page_bytes()),
      crossing_(memory) {
  crossing_.resize(std::size_t{shape.max_rows} * shape.dim);
}

Status SplitBackend::place(std::span<WeightView>, WeightUse) noexcept {
  return Error{Errc::internal, "a matrix is placed on the backend of its layer"};
}
Result<const float*> SplitBackend::place(const float*, std::size_t) noexcept {
  return Error{Errc::internal, "a vector is placed on the backend of its layer"};
}

Op SplitBackend::local(const Op& op) const noexcept {
  Op copy = op;
  if (!in_first(op)) copy.layer = static_cast<std::uint16_t>(op.layer - cut_);
  return copy;
}

Status SplitBackend::begin(const Batch& batch) noexcept {
  rows_ = batch.rows.size();
  if (const Status s = first_.begin({batch.rows, batch.sequences, {}, {}}); !s) return s;
  return last_.begin(batch);
}

std::uint32_t SplitBackend::phases(const Op& op) const noexcept {
  return of(op).phases(local(op)) + (crosses_after(op) ? 1 : 0);
}

Work SplitBackend::work(const Op& op, std::uint32_t phase) const noexcept {
  const Op here = local(op);
  if (!crosses_after(op) || phase < of(op).phases(here)) return of(op).work(here, phase);
  return {rows_ == 0 ? 0u : 1u, static_cast<float>(rows_ * dim_)};
}

Status SplitBackend::run(const Op& op, std::uint32_t phase, std::uint32_t first, std::uint32_t last) noexcept {
  const Op here = local(op);
  if (!crosses_after(op) || phase < of(op).phases(here)) return of(op).run(here, phase, first, last);
  const std::uint32_t tiles = work(op, phase).tiles;
  if (last > tiles) return core::fail(Errc::internal, "tile {} of a phase that has {}", last, tiles);
  if (first >= last) return {};
  const auto rows = std::span(crossing_).first(rows_ * dim_);
  if (const Status s = first_.read_rows(rows); !s) return s;
  return last_.write_rows(rows);
}

std::int32_t SplitBackend::bad_layer(std::uint32_t row) noexcept {
  const std::int32_t before = first_.bad_layer(row);
  if (before >= 0) return before;
  const std::int32_t after = last_.bad_layer(row);
  return after < 0 ? after : after + static_cast<std::int32_t>(cut_);
}

Status SplitBackend::copy_page(std::uint32_t from, std::uint32_t to, std::uint32_t tokens) noexcept {
  if (const Status s = first_.copy_page(from, to, tokens); !s) return s;
  return last_.copy_page(from, to, tokens);
}

Status SplitBackend::read_page(std::uint32_t page, std::span<std::byte> bytes) noexcept {
  if (bytes.size() != page_bytes_) {
    return core::fail(Errc::internal, "{} bytes for a page of {}", bytes.size(), page_bytes_);
  }
  if (const Status s = first_.read_page(page, bytes.first(first_page_bytes_)); !s) return s;
  return last_.read_page(page, bytes.subspan(first_page_bytes_));
}

Status SplitBackend::write_page(std::uint32_t page, std::span<const std::byte> bytes) noexcept {
  if (bytes.size() != page_bytes_) {
    return core::fail(Errc::internal, "{} bytes for a page of {}", bytes.size(), page_bytes_);
  }
  if (const Status s = first_.write_page(page, bytes.first(first_page_bytes_)); !s) return s;
  return last_.write_page(page, bytes.subspan(first_page_bytes_));
}

}  // namespace kinglet::ops

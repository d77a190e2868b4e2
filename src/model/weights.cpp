// model/weights.cpp: does the file hold this weight, and in this shape?
#include <kinglet/model/weights.hpp>

#include "core/fail.hpp"

namespace kinglet::model {
namespace {

/// The matrix that single rows are read from at every step.
constexpr std::string_view lookup_name = "token_embd.weight";

/// A tensor's name in place, without an allocation.
struct Spelling {
  explicit Spelling(Weights::Name name) noexcept {
    const auto end = name.layer < 0 ? fmt::format_to_n(text, sizeof text, "{}", name.name)
                                    : fmt::format_to_n(text, sizeof text, "blk.{}.{}", name.layer, name.name);
    size = end.size < sizeof text ? end.size : sizeof text;
  }
  operator std::string_view() const noexcept { return {text, size}; }
  char text[80];
  std::size_t size;
};

/// [3, 4] as GGUF lists it: columns first.
struct Shape {
  explicit Shape(const TensorInfo& tensor) noexcept {
    char* at = text;
    for (std::uint32_t i = 0; i < tensor.rank && i < 4; ++i) {
      at = fmt::format_to_n(at, static_cast<std::size_t>(text + sizeof text - at - 1), "{}{}", i == 0 ? "" : " x ",
                            tensor.dims[i])
               .out;
    }
    *at = '\0';
  }
  char text[120];
};

}  // namespace

bool Weights::has(Name name) const noexcept { return file_.find(Spelling(name)) != nullptr; }

Status Weights::find(Name name, std::uint32_t rows, std::uint32_t cols, ops::WeightView& out) const noexcept {
  const Spelling spelt(name);
  const std::string_view text = spelt;
  const TensorInfo* const tensor = file_.find(text);
  if (tensor == nullptr)
    return core::fail(Errc::bad_format, "tensor {} is missing; expected {} x {}", text, cols, rows);
  if (!tensor->format) {
    const auto format = quant::from_gguf_type(tensor->type);
    return core::fail(format ? Errc::unsupported : format.error().code, "tensor {}: {}", text, format.error().message);
  }
  if (tensor->rank > 2 || tensor->dims[0] != cols || tensor->dims[1] != rows) {
    return core::fail(Errc::bad_format, "tensor {} is {}; expected {} x {}", text, Shape(*tensor).text, cols, rows);
  }
  const quant::FormatInfo& format = quant::info(*tensor->format);
  if (cols % format.block != 0) {
    return core::fail(Errc::bad_format, "tensor {} has {} columns, which is no multiple of {}'s block of {}", text,
                      cols, format.name, format.block);
  }
  out = {*tensor->format,        rows, cols, quant::format_bytes(*tensor->format, cols), tensor->data,
         ops::WeightLayout::rows};
  if (tensor->bytes != out.row_bytes * rows) {
    return core::fail(Errc::bad_format, "tensor {} has {} bytes; expected {}", text, tensor->bytes,
                      out.row_bytes * rows);
  }
  return {};
}

Status Weights::matrices(std::span<const Name> names, std::uint32_t rows, std::uint32_t cols, ops::WeightUse use,
                         ops::WeightView* out) const noexcept {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (const Status status = find(names[i], rows, cols, out[i]); !status) return status;
  }
  if (placement_ == nullptr || placement_->info == nullptr) return {};
  const Place& place = placement_->of(names[0].layer, use);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < names.size(); ++i) bytes += place.info->placed_bytes(place.shape, out[i], use);
  if (place.backend != nullptr) {
    if (const Status status = place.backend->place({out, names.size()}, use); !status) return status;
  } else if (!placement_->memory->reserve(bytes)) {
    return core::out_of_memory();
  }
  placement_->bytes += bytes;
  if (&place == &placement_->first) placement_->first_bytes += bytes;
  for (std::size_t i = 0; i < names.size() && placement_->discard; ++i) {
    const bool packs = place.info->placed_bytes(place.shape, out[i], use) != 0;
    const Spelling name(names[i]);
    if (packs && std::string_view(name) != lookup_name) file_.discard(*file_.find(name));
  }
  return {};
}

Status Weights::vector(Name name, std::uint32_t n, const float*& out) const noexcept {
  const Spelling spelt(name);
  const std::string_view text = spelt;
  const TensorInfo* const tensor = file_.find(text);
  if (tensor == nullptr) return core::fail(Errc::bad_format, "tensor {} is missing; expected {} FP32 numbers", text, n);
  if (tensor->elements() != n || tensor->dims[0] != n) {
    return core::fail(Errc::bad_format, "tensor {} is {}; expected {}", text, Shape(*tensor).text, n);
  }
  if (tensor->format != quant::Format::f32) {
    return core::fail(Errc::unsupported, "tensor {} is of type {}; expected F32", text,
                      tensor->format ? quant::info(*tensor->format).name : "unknown");
  }
  if (reinterpret_cast<std::uintptr_t>(tensor->data) % alignof(float) != 0) {
    return core::fail(Errc::bad_format, "tensor {} is not aligned to {} bytes", text, alignof(float));
  }
  const float* const data = reinterpret_cast<const float*>(tensor->data);
  out = data;
  if (placement_ == nullptr || placement_->backend == nullptr) return {};
  const auto placed = placement_->of(name.layer, ops::WeightUse::product).backend->place(data, n);
  if (!placed) return placed.error();
  out = *placed;
  return {};
}

}  // namespace kinglet::model

// model/weights.cpp: does the file hold this weight, and in this shape?
#include <kinglet/model/weights.hpp>

#include <algorithm>

#include <kinglet/quant/quantizer.hpp>

#include "core/fail.hpp"
#include "model/packed_tensor.hpp"

namespace kinglet::model {
namespace {

/// The matrix that single rows are read from at every step.
constexpr std::string_view lookup_name = "token_embd.weight";

/// A tensor's name in place, without an allocation.
struct Spelling {
  explicit Spelling(Weights::Name name) noexcept {
    const auto end = name.layer < 0 ? fmt::format_to_n(text, sizeof text, "{}", name.name)
                                    : fmt::format_to_n(text, sizeof text, "blk.{}.{}", name.layer, name.name);
    size = end.size < sizeof text ? end.size : sizeof text - 1;
    text[size] = '\0';
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

namespace {

/// The strips of a tensor of a packed file.
/// @param turn  which of the matrices that take turns in it
Status view_of_strips(const TensorInfo& t, std::uint32_t rows, std::uint32_t cols, std::uint32_t turn,
                      std::uint32_t turns, ops::WeightView& out) noexcept {
  if (t.dims[0] != cols || t.dims[1] != rows || t.dims[2] != turns) {
    return core::fail(Errc::bad_format, "tensor {} is {}; expected {} x {}; {}", t.name, Shape(t).text, cols, rows,
                      pack_anew);
  }
  const std::size_t strip = ops::strip_bytes(*t.format, cols);
  out = {*t.format, rows, cols, strip * turns, t.data + strip * turn, ops::WeightLayout::packed};
  return {};
}

/// Another format and order for a matrix, of which nothing is there yet.
ops::WeightView view_in(quant::Format format, ops::WeightLayout layout, const ops::WeightView& from) noexcept {
  const bool strips = layout == ops::WeightLayout::packed;
  const std::size_t bytes = strips ? ops::strip_bytes(format, from.cols) : quant::format_bytes(format, from.cols);
  return {format, from.rows, from.cols, bytes, nullptr, layout};
}

/// The bytes of all of it.
std::size_t bytes_of(const ops::WeightView& view) noexcept {
  const bool strips = view.layout == ops::WeightLayout::packed;
  const std::size_t rows = view.rows;
  return view.row_bytes * (strips ? (rows + ops::strip_rows - 1) / ops::strip_rows : rows);
}

/// What requantize() takes in passing.
std::size_t passing_bytes(const ops::WeightView& to) noexcept {
  const bool strips = to.layout == ops::WeightLayout::packed;
  return to.cols * sizeof(float) + (strips ? ops::strip_rows * quant::format_bytes(to.format, to.cols) : 0);
}

/// Writes a matrix in the format and the order of `to`.
/// @param out  [bytes_of(to)]
Status requantize(const ops::WeightView& from, const ops::WeightView& to, std::pmr::memory_resource* memory,
                  std::byte* out) {
  const bool strips = to.layout == ops::WeightLayout::packed;
  const std::size_t row_bytes = quant::format_bytes(to.format, to.cols);
  std::pmr::vector<float> row(from.cols, memory);
  std::pmr::vector<std::byte> blocks(strips ? ops::strip_rows * row_bytes : 0, memory);
  for (std::uint32_t first = 0; first < from.rows; first += ops::strip_rows) {
    const std::uint32_t n = std::min(ops::strip_rows, from.rows - first);
    std::byte* const rows = strips ? blocks.data() : out;
    for (std::uint32_t r = 0; r < n; ++r) {
      ops::dequantize_row(from, first + r, row.data());
      const Status made = quant::quantize(to.format, quant::Method::rtn, row, rows + r * row_bytes);
      if (!made) return made;
    }
    if (strips) ops::pack_strip(to.format, rows, row_bytes, n, to.cols, out);
    out += strips ? to.row_bytes : n * row_bytes;
  }
  return {};
}

}  // namespace

Status Weights::find(Name name, std::uint32_t rows, std::uint32_t cols, ops::WeightView& out) const noexcept {
  if (const Status status = file_.unchanged(); !status) return status;  // before anything of it is read
  const Spelling spelt(name);
  const std::string_view text = spelt;
  const TensorInfo* const tensor = file_.find(text);
  if (tensor == nullptr) return find_in_turns(text, rows, cols, out);
  if (!tensor->format) {
    const auto format = quant::from_gguf_type(tensor->type);
    return core::fail(format ? Errc::unsupported : format.error().code, "tensor {}: {}", text, format.error().message);
  }
  if (tensor->packed) return view_of_strips(*tensor, rows, cols, 0, 1, out);
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

/// In a packed file, gate and up are one tensor, whose strips take turns.
Status Weights::find_in_turns(std::string_view name, std::uint32_t rows, std::uint32_t cols,
                              ops::WeightView& out) const noexcept {
  constexpr std::string_view ends[] = {"ffn_gate.weight", "ffn_up.weight"};
  for (std::uint32_t turn = 0; turn < 2; ++turn) {
    if (name.size() < ends[turn].size() || name.substr(name.size() - ends[turn].size()) != ends[turn]) continue;
    char both[120];
    const auto spelt =
        fmt::format_to_n(both, sizeof both, "{}ffn_gate_up.weight", name.substr(0, name.size() - ends[turn].size()));
    const TensorInfo* const tensor = file_.find({both, std::min(spelt.size, sizeof both)});
    if (tensor != nullptr && tensor->packed) return view_of_strips(*tensor, rows, cols, turn, 2, out);
  }
  return core::fail(Errc::bad_format, "tensor {} is missing; expected {} x {}", name, cols, rows);
}

Status Weights::matrices(std::span<const Name> names, std::uint32_t rows, std::uint32_t cols, ops::WeightUse use,
                         ops::WeightView* out) const noexcept {
  if (names.empty() || names.size() > 2) {
    return core::fail(Errc::internal, "{} matrices in one call; expected one or two", names.size());
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (const Status status = find(names[i], rows, cols, out[i]); !status) return status;
  }
  if (placement_ == nullptr || placement_->info == nullptr) return {};
  const Place& place = placement_->of(names[0].layer, use);
  std::size_t bytes = 0;
  bool taken[2] = {};  // by the backend
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t each = place.info->placed_bytes(place.shape, out[i], use);
    taken[i] = each != 0;
    bytes += each;
  }
  if (place.backend != nullptr) {
    if (const Status status = place.backend->place({out, names.size()}, use); !status) return status;
  } else if (!placement_->memory->reserve(bytes)) {
    return core::out_of_memory();
  }
  placement_->bytes += bytes;
  if (&place == &placement_->first) placement_->first_bytes += bytes;
  // In a plan too, so that it counts what happens. Rows of an embedding that is not shared are still looked up.
  for (std::size_t i = 0; i < names.size() && placement_->discard; ++i) {
    const bool rows_are_read = names[i].name == lookup_name && use != ops::WeightUse::both;
    if (taken[i] && !rows_are_read) file_.discard(*file_.find(Spelling(names[i])));
  }
  return {};
}

Status Weights::requantized(Name name, std::uint32_t rows, std::uint32_t cols, quant::Format to,
                            std::pmr::vector<StripLine>& kept, ops::WeightView& out) const noexcept {
  ops::WeightView from;
  if (const Status status = find(name, rows, cols, from); !status) return status;
  if (cols % quant::info(to).block != 0) {
    return core::fail(Errc::unsupported,
                      "tensor {} has rows of {} weights, which {} cannot hold; leave the output's "
                      "weights as they are",
                      Spelling(name).text, cols, quant::info(to).name);
  }
  const ops::BackendInfo* const info = placement_->info;
  const bool strips = info == nullptr || info->packed_files;
  out = view_in(to, strips ? ops::WeightLayout::packed : ops::WeightLayout::rows, from);
  const std::size_t lines = (bytes_of(out) + sizeof(StripLine) - 1) / sizeof(StripLine);
  ops::ContextShape shape = placement_->shape;
  shape.lent = false;  // which the file is, not this
  const std::size_t taken = info == nullptr ? 0 : info->placed_bytes(shape, out, ops::WeightUse::product);
  placement_->bytes += taken;
  if (taken == 0) placement_->requantized_bytes += lines * sizeof(StripLine);
  const TensorInfo* const tensor = file_.find(Spelling(name));
  // Rows of the embedding are still looked up.
  const bool gives_back = placement_->discard && tensor != nullptr && tensor->name != lookup_name;
  if (placement_->backend == nullptr) {
    core::Memory& memory = *placement_->memory;
    if (!memory.reserve(lines * sizeof(StripLine) + passing_bytes(out))) return core::out_of_memory();
    memory.release(passing_bytes(out));
    if (gives_back) file_.discard(*tensor);
    if (!memory.reserve(taken)) return core::out_of_memory();
    if (taken != 0) memory.release(lines * sizeof(StripLine));
    return {};
  }
  return core::guarded([&]() -> Status {
    std::pmr::vector<StripLine> made(lines, kept.get_allocator());
    out.data = made.data()->bytes;
    const Status status = requantize(from, out, made.get_allocator().resource(), made.data()->bytes);
    if (!status) return core::fail(status.error().code, "tensor {}: {}", Spelling(name).text, status.error().message);
    if (gives_back) file_.discard(*tensor);
    if (taken == 0) kept = std::move(made);
    return placement_->backend->place({&out, 1}, ops::WeightUse::product);
  });
}

Status Weights::vector(Name name, std::uint32_t n, const float*& out) const noexcept {
  if (const Status status = file_.unchanged(); !status) return status;
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

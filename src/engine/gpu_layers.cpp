// engine/gpu_layers.cpp: what would the last layers of a model take on a GPU, and does it have that?
#include "engine/gpu_layers.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include <kinglet/model/forward.hpp>

#include "core/fail.hpp"
#include "ops/split.hpp"

namespace kinglet::engine {
namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

std::uint64_t add(std::uint64_t a, std::uint64_t b) noexcept { return a > most - b ? most : a + b; }

/// The layer of a tensor "blk.<layer>.<name>", or -1.
std::int64_t layer_of(std::string_view name) noexcept {
  constexpr std::string_view start = "blk.";
  if (name.substr(0, start.size()) != start) return -1;
  std::uint32_t layer = 0;
  const auto [end, error] = std::from_chars(name.data() + start.size(), name.data() + name.size(), layer);
  return error == std::errc() && end != name.data() + name.size() && *end == '.' ? layer : -1;
}

/// Where a tensor stands in the way of the data: the embedding at -1, then the layers, then the output at
/// `most_layers`.
constexpr std::int64_t most_layers = std::int64_t{1} << 32;
std::int64_t place_of(std::string_view name, bool tied) noexcept {
  const std::int64_t layer = layer_of(name);
  return layer >= 0 ? layer : name == "token_embd.weight" && !tied ? -1 : most_layers;
}

/// What the matrix of a re-quantized output layer takes; 0: it stays as it is in the file.
std::uint64_t requantized_bytes(const model::Gguf& file, const EngineOptions& options) noexcept {
  if (!model::requantizes_output(file, options.output_weights)) return 0;
  return quant::format_bytes(*options.output_weights, static_cast<std::size_t>(model::output_tensor(file)->elements()));
}

/// What the matrices of the last `n` layers and of the output take; with all layers also the embedding.
std::uint64_t weight_bytes(const model::Gguf& file, const EngineOptions& options, std::uint32_t layers,
                           std::uint32_t n) noexcept {
  const model::TensorInfo* const output = model::output_tensor(file);
  const std::uint64_t requantized = requantized_bytes(file, options);
  std::uint64_t bytes = requantized;
  for (const model::TensorInfo& tensor : file.tensors()) {
    const std::int64_t layer = layer_of(tensor.name);
    const bool embedding = tensor.name == "token_embd.weight";
    const bool read = embedding ? n == layers : &tensor != output && (layer < 0 || layer >= std::int64_t{layers} - n);
    if (read || (&tensor == output && requantized == 0)) bytes = add(bytes, tensor.bytes);
  }
  return bytes;
}

/// The layers that fit, or that are asked for, on a backend with a GPU.
Result<std::uint32_t> layers_there(const EngineOptions& options, const ops::BackendInfo& backend,
                                   const ops::ContextShape& shape, const model::Gguf& file) noexcept {
  if (options.gpu_layers > static_cast<std::int64_t>(shape.layers)) {
    return core::fail(Errc::invalid_argument, "EngineOptions::gpu_layers is {}; the model has {} layers",
                      options.gpu_layers, shape.layers);
  }
  std::uint32_t read = shape.layers;  // layers behind the last tensor that it cannot read
  if (const model::TensorInfo* const unread = last_unread(backend, file); unread != nullptr) {
    const std::int64_t place = place_of(unread->name, file.find("output.weight") == nullptr);
    const std::int64_t behind = place < 0 ? 0 : place;  // with the embedding the first layer stays, too
    read = behind >= shape.layers ? 0 : shape.layers - 1 - static_cast<std::uint32_t>(behind);
  }
  if (options.gpu_layers >= 0) return std::min(read, static_cast<std::uint32_t>(options.gpu_layers));
  std::uint64_t room = backend.memory(shape.device).free;
  if (room == 0) return read;  // nobody knows: create() will say what is wrong
  room -= room / 16;           // what allocations are rounded up to, and the kernels' own code
  const std::uint64_t limit = options.memory_limit != 0 ? options.memory_limit : most;
  for (std::uint32_t n = read; n > 0; --n) {
    const std::uint64_t buffers =
        backend.bytes(n == shape.layers ? shape : ops::SplitBackend::last_shape(shape, shape.layers - n));
    const std::uint64_t all = add(buffers, weight_bytes(file, options, shape.layers, n));
    const bool lent = shape.lent && n == shape.layers;  // the file counts against the limit, but is there already
    const std::uint64_t needed = lent ? add(buffers, requantized_bytes(file, options)) : all;
    if (buffers != 0 && all <= limit && needed <= room) return n;
  }
  return std::uint32_t{0};
}

}  // namespace

Status lends_file(const EngineOptions& options, const ops::BackendInfo& backend, const ops::ContextShape& shape,
                  const model::Gguf& file, std::pmr::vector<std::span<const std::byte>>& parts) {
  const Error no{Errc::unsupported, "weights are read where the backend has put them"};
  const bool cut = options.gpu_layers >= 0 && static_cast<std::uint32_t>(options.gpu_layers) < shape.layers;
  if (backend.lends == nullptr || cut || options.file_access != FileAccess::map) return no;
  for (std::size_t i = 0; !file.mapping(i).empty(); ++i) parts.push_back(file.mapping(i));
  return parts.empty() || last_unread(backend, file) != nullptr ? Status(no) : backend.lends(shape, parts);
}

const model::TensorInfo* last_unread(const ops::BackendInfo& backend, const model::Gguf& file) noexcept {
  const model::TensorInfo* last = nullptr;
  const bool tied = file.find("output.weight") == nullptr;
  for (const model::TensorInfo& tensor : file.tensors()) {
    if (!tensor.packed || backend.packed_files) continue;
    if (last == nullptr || place_of(tensor.name, tied) > place_of(last->name, tied)) last = &tensor;
  }
  return last;
}

Result<std::uint32_t> choose_gpu_layers(const EngineOptions& options, const ops::BackendInfo& backend,
                                        const ops::ContextShape& shape, const model::Gguf& file) noexcept {
  if (!backend.gpu) {
    const char* const asked = options.device >= 0           ? "device"
                              : options.gpu_layers > 0      ? "gpu_layers"
                              : options.stream != nullptr   ? "stream"
                              : options.bits != Bits::exact ? "bits = device"
                                                            : nullptr;
    if (asked == nullptr) return shape.layers;
    return core::fail(Errc::invalid_argument, "EngineOptions::{} asks for a GPU, but backend {} has none; name cuda",
                      asked, backend.name);
  }
  const auto layers = layers_there(options, backend, shape, file);
  if (!layers || *layers > 0 || options.bits == Bits::exact) return layers;
  return core::fail(Errc::invalid_argument,
                    "EngineOptions::bits = device asks for a GPU, but no layer is on one ({}); use exact",
                    options.gpu_layers == 0                 ? "gpu_layers is 0"
                    : last_unread(backend, file) != nullptr ? "the file is packed for CPUs"
                                                            : "none fits its memory");
}

}  // namespace kinglet::engine

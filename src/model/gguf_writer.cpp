// model/gguf_writer.cpp: in which bytes are keys, tensors and their padding written?
#include <kinglet/model/gguf_writer.hpp>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/fail.hpp"
#include "model/packed_tensor.hpp"

namespace kinglet::model {

using core::fail;
using core::guarded;

namespace {

constexpr std::uint32_t most_alignment = 64;
constexpr std::byte zeros[most_alignment] = {};

/// The elements of a tensor, or 0 where it cannot be one.
std::uint64_t count(std::span<const std::uint64_t> dims, std::uint32_t block) noexcept {
  if (dims.empty() || dims.size() > 4 || dims[0] % block != 0) return 0;
  std::uint64_t elements = 1;
  for (const std::uint64_t dim : dims) {
    if (dim == 0 || elements > (std::uint64_t{1} << 50) / dim) return 0;
    elements *= dim;
  }
  return elements;
}

Error too_late() noexcept {
  return fail(Errc::invalid_argument, "a GGUF file's header is written; nothing can join it");
}

}  // namespace

GgufWriter::GgufWriter(ByteSink sink, std::pmr::memory_resource* memory, std::uint32_t alignment) noexcept
    : sink_(sink),
      alignment_(alignment == most_alignment ? most_alignment : 32),
      metadata_(memory),
      infos_(memory),
      keys_(memory),
      names_(memory),
      sizes_(memory) {}

template <class Value>
void GgufWriter::put(const Value& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  into_->insert(into_->end(), bytes, bytes + sizeof value);
}

void GgufWriter::put(std::string_view text) {
  put(std::uint64_t{text.size()});
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  into_->insert(into_->end(), bytes, bytes + text.size());
}

Status GgufWriter::start(std::string_view key, ValueType type) {
  if (begun_) return too_late();
  if (key.empty() || key == "general.alignment" || std::find(keys_.begin(), keys_.end(), key) != keys_.end())
    return fail(Errc::invalid_argument,
                "metadata '{:.100}': keys must be new, not empty, and not the writer's own general.alignment", key);
  keys_.emplace_back(key);
  into_ = &metadata_;
  put(key);
  put(type);
  return {};
}

Status GgufWriter::add(std::string_view key, std::uint32_t value) noexcept {
  return guarded([&]() -> Status {
    const Status started = start(key, ValueType::u32);
    if (started) put(value);
    return started;
  });
}

Status GgufWriter::add(std::string_view key, float value) noexcept {
  return guarded([&]() -> Status {
    const Status started = start(key, ValueType::f32);
    if (started) put(value);
    return started;
  });
}

Status GgufWriter::add(std::string_view key, bool value) noexcept {
  return guarded([&]() -> Status {
    const Status started = start(key, ValueType::boolean);
    if (started) put(static_cast<std::uint8_t>(value ? 1 : 0));
    return started;
  });
}

Status GgufWriter::add(std::string_view key, std::string_view value) noexcept {
  return guarded([&]() -> Status {
    const Status started = start(key, ValueType::string);
    if (started) put(value);
    return started;
  });
}

Status GgufWriter::add(std::string_view key, std::span<const std::string_view> values) noexcept {
  return guarded([&]() -> Status {
    const Status started = start(key, ValueType::array);
    if (!started) return started;
    put(ValueType::string);
    put(std::uint64_t{values.size()});
    for (const std::string_view value : values) put(value);
    return {};
  });
}

Status GgufWriter::add(std::string_view key, std::span<const std::int32_t> values) noexcept {
  return guarded([&]() -> Status {
    const Status started = start(key, ValueType::array);
    if (!started) return started;
    put(ValueType::i32);
    put(std::uint64_t{values.size()});
    for (const std::int32_t value : values) put(value);
    return {};
  });
}

Status GgufWriter::add(const Gguf::Entry& entry) noexcept {
  return guarded([&]() -> Status {
    const Status started = start(entry.key, entry.type);
    if (!started) return started;
    if (entry.type == ValueType::string) put(std::uint64_t{entry.data.size()});
    metadata_.insert(metadata_.end(), entry.data.begin(), entry.data.end());
    return {};
  });
}

Status GgufWriter::add_any(std::string_view name, std::span<const std::uint64_t> dims, std::uint32_t block,
                           std::uint32_t type,
                           std::uint64_t (*bytes)(quant::Format format, std::span<const std::uint64_t> dims),
                           quant::Format format) noexcept {
  return guarded([&]() -> Status {
    if (begun_) return too_late();
    if (name.empty() || name.size() >= 64 || std::find(names_.begin(), names_.end(), name) != names_.end())
      return fail(Errc::invalid_argument, "tensor '{:.100}': names must be new and of 1 to 63 bytes", name);
    if (count(dims, block) == 0)
      return fail(Errc::invalid_argument, "tensor {}: no dimensions that {} can have", name, quant::info(format).name);
    names_.emplace_back(name);
    sizes_.push_back(bytes(format, dims));
    into_ = &infos_;
    put(name);
    put(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t dim : dims) put(dim);
    put(type);
    put(offset_);
    offset_ += sizes_.back() + padding(sizes_.back());
    return {};
  });
}

Status GgufWriter::add_tensor(std::string_view name, std::span<const std::uint64_t> dims,
                              quant::Format format) noexcept {
  const auto bytes = [](quant::Format f, std::span<const std::uint64_t> d) {
    return count(d, quant::info(f).block) / quant::info(f).block * quant::info(f).block_bytes;
  };
  return add_any(name, dims, quant::info(format).block, quant::info(format).gguf_type, bytes, format);
}

Status GgufWriter::add_packed(std::string_view name, std::span<const std::uint64_t> dims,
                              quant::Format format) noexcept {
  if (ops::strip_layout(format).codes == 0 || dims.size() < 2 || dims.size() > 3)
    return fail(Errc::invalid_argument, "tensor {}: {} has no strips", name, quant::info(format).name);
  return add_any(name, dims, quant::info(format).block, packed_type_base + quant::info(format).gguf_type, packed_bytes,
                 format);
}

Status GgufWriter::add_words(std::string_view name, std::uint64_t n) noexcept {
  const auto bytes = [](quant::Format, std::span<const std::uint64_t> d) { return d[0] * sizeof(std::uint64_t); };
  return add_any(name, {&n, 1}, 1, words_type, bytes, quant::Format::f32);
}

Status GgufWriter::send(const std::byte* data, std::size_t bytes) noexcept {
  if (bytes == 0 || (sink_.write != nullptr && sink_.write(sink_.user, data, bytes))) return {};
  return fail(Errc::io_error, "the file could not be written; is the disk full?");
}

Status GgufWriter::begin() noexcept {
  return guarded([&]() -> Status {
    if (begun_) return too_late();
    if (alignment_ != 32) {
      keys_.emplace_back("general.alignment");
      into_ = &metadata_;
      put(std::string_view("general.alignment"));
      put(ValueType::u32);
      put(alignment_);
    }
    begun_ = true;
    std::pmr::vector<std::byte> head(metadata_.get_allocator());
    into_ = &head;
    for (const char letter : {'G', 'G', 'U', 'F'}) put(letter);
    put(std::uint32_t{3});
    put(std::uint64_t{names_.size()});
    put(std::uint64_t{keys_.size()});
    const std::uint64_t bytes = head.size() + metadata_.size() + infos_.size();
    for (const auto* part : {&head, &metadata_, &infos_})
      if (const Status sent = send(part->data(), part->size()); !sent) return sent;
    into_ = &metadata_;
    return send(zeros, padding(bytes));
  });
}

Status GgufWriter::write(std::span<const std::byte> data) noexcept {
  if (!begun_) return fail(Errc::invalid_argument, "a GGUF file's tensors come after begin()");
  while (!data.empty()) {
    if (tensor_ == sizes_.size()) return fail(Errc::invalid_argument, "more bytes than the GGUF file's tensors have");
    const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), sizes_[tensor_] - written_));
    if (const Status sent = send(data.data(), part); !sent) return sent;
    data = data.subspan(part);
    written_ += part;
    if (written_ < sizes_[tensor_]) return {};
    if (const Status sent = send(zeros, padding(written_)); !sent) return sent;
    written_ = 0;
    ++tensor_;
  }
  return {};
}

Status GgufWriter::finish() noexcept {
  if (!begun_ || tensor_ != sizes_.size())
    return fail(Errc::invalid_argument, "a GGUF file ends before the bytes of its {} tensors came", sizes_.size());
  return {};
}

}  // namespace kinglet::model

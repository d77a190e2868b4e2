// model/gguf.cpp: how do the parts of a model become one list of keys and tensors?
#include <kinglet/model/gguf.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <string>

#include "core/fail.hpp"
#include "core/file.hpp"
#include "model/gguf_reader.hpp"
#include "model/packed_tensor.hpp"

namespace kinglet::model {

using core::fail;

struct Gguf::State {
  explicit State(core::Memory& m) : memory(&m), files(&m), entries(&m), tensors(&m), by_name(&m) {}

  core::Memory* memory;
  std::pmr::vector<core::FileBytes> files;
  std::pmr::vector<Entry> entries;  ///< of the first file, sorted by key
  std::pmr::vector<TensorInfo> tensors;
  std::pmr::vector<std::uint32_t> by_name;  ///< indices of tensors, sorted by name
  std::uint32_t version = 0;
  std::uint32_t alignment = 32;
  std::size_t bytes = 0;
  bool mapped = false;

  const Entry* entry(std::string_view key) const noexcept {
    const auto at =
        std::lower_bound(entries.begin(), entries.end(), key, [](const Entry& e, auto k) { return e.key < k; });
    return at != entries.end() && at->key == key ? &*at : nullptr;
  }
  Status add(std::span<const std::byte> file, std::uint64_t number, std::uint64_t parts);
  Status index();
};

namespace {

/// Parts of a split model are at most this many.
constexpr std::uint64_t max_parts = 4096;

/// "model-00002-of-00005.gguf" -> the text before its number, or "" where the name is not of that form.
std::string_view split_prefix(std::string_view path) noexcept {
  constexpr std::size_t tail = sizeof("-00001-of-00001.gguf") - 1;
  if (path.size() <= tail) return {};
  const std::string_view end = path.substr(path.size() - tail);
  const auto digits = [&](std::size_t at) {
    return std::all_of(end.begin() + static_cast<std::ptrdiff_t>(at), end.begin() + static_cast<std::ptrdiff_t>(at + 5),
                       [](char c) { return c >= '0' && c <= '9'; });
  };
  const bool named =
      end[0] == '-' && digits(1) && end.substr(6, 4) == "-of-" && digits(10) && end.substr(15) == ".gguf";
  return named ? path.substr(0, path.size() - tail) : std::string_view{};
}

Error in_file(const Error& error, std::string_view path) noexcept {
  return fail(error.code, "{:.120}: {}", path, error.message);
}

std::optional<std::uint64_t> integer(ValueType type, const std::byte* p) noexcept {
  const auto positive = [](auto v) -> std::optional<std::uint64_t> {
    if (v < 0) return std::nullopt;
    return static_cast<std::uint64_t>(v);
  };
  switch (type) {
    case ValueType::u8: return read_le<std::uint8_t>(p);
    case ValueType::u16: return read_le<std::uint16_t>(p);
    case ValueType::u32: return read_le<std::uint32_t>(p);
    case ValueType::u64: return read_le<std::uint64_t>(p);
    case ValueType::i8: return positive(read_le<std::int8_t>(p));
    case ValueType::i16: return positive(read_le<std::int16_t>(p));
    case ValueType::i32: return positive(read_le<std::int32_t>(p));
    case ValueType::i64: return positive(read_le<std::int64_t>(p));
    default: return std::nullopt;
  }
}

}  // namespace

/// Part `number` of `parts`, from 1; the first brings the metadata.
Status Gguf::State::add(std::span<const std::byte> file, std::uint64_t number, std::uint64_t parts) {
  std::pmr::vector<Entry> others(memory);
  auto& into = number == 1 ? entries : others;
  const Result<GgufPart> part = read_part(file, into, tensors);
  if (!part) return part.error();
  if (number == 1) {
    version = part->version;
    alignment = part->alignment;
  }
  if (number > 1) {
    for (const std::string_view key : {"split.no", "split.count"}) {
      const std::uint64_t value = key == "split.no" ? number - 1 : parts;
      const auto e = std::find_if(others.begin(), others.end(), [&](const Entry& other) { return other.key == key; });
      if (e == others.end()) {
        return fail(Errc::bad_format, "does not say which part it is: {} is missing; split the model anew", key);
      }
      if (integer(e->type, e->data.data()) != value) {
        return fail(Errc::bad_format, "is not part {} of {} by its own account ({})", number, parts, key);
      }
    }
  }
  bytes += file.size();
  return {};
}

Status Gguf::State::index() {
  by_name.resize(tensors.size());
  for (std::size_t i = 0; i < by_name.size(); ++i) by_name[i] = static_cast<std::uint32_t>(i);
  heap_sort(by_name.begin(), by_name.end(), [&](auto a, auto b) { return tensors[a].name < tensors[b].name; });
  const auto same = [&](auto a, auto b) { return tensors[a].name == tensors[b].name; };
  const auto twice = std::adjacent_find(by_name.begin(), by_name.end(), same);
  if (twice != by_name.end()) return fail(Errc::bad_format, "tensor '{:.64}' is there twice", tensors[*twice].name);
  return {};
}

void Gguf::Destroy::operator()(State* state) const noexcept {
  core::Memory* memory = state->memory;
  state->~State();
  memory->deallocate(state, sizeof(State), alignof(State));
}

Result<Gguf> Gguf::open(std::string_view path, core::Memory& memory, FileAccess access) noexcept {
  return core::guarded([&]() -> Result<Gguf> {
    Gguf result;
    result.state_.reset(new (memory.allocate(sizeof(State), alignof(State))) State(memory));
    State& state = *result.state_;
    state.mapped = access == FileAccess::map;
    std::pmr::string name(path, &memory);
    if (name.find('\0') != name.npos) return fail(Errc::invalid_argument, "the path contains a zero byte");

    const auto add = [&](std::uint64_t number, std::uint64_t parts) -> Status {
      Result<core::FileBytes> file = core::FileBytes::open(name.c_str(), memory, access == FileAccess::copy);
      if (!file) return file.error();
      const std::span<const std::byte> bytes = file->bytes();
      state.files.push_back(std::move(*file));
      const Status added = state.add(bytes, number, parts);
      return added ? added : Status(in_file(added.error(), name));
    };
    const std::string_view prefix = split_prefix(path);
    if (!prefix.empty()) {  // the first part holds the metadata, whichever was named
      name.assign(prefix).append("-00001-of-").append(path.substr(path.size() - 10));
    }
    if (const Status s = add(1, 1); !s) return s.error();
    const std::uint64_t parts = result.get_uint("split.count").value_or(1);
    if (parts > 1) {
      if (prefix.empty() || parts > max_parts) {
        return fail(Errc::bad_format, "{:.120}: is one of {} parts, but is not named like NAME-00001-of-{:05}.gguf",
                    path, parts, parts);
      }
      for (std::uint64_t i = 2; i <= parts; ++i) {
        const auto at = fmt::format_to_n(name.data() + prefix.size(), 20, "-{:05}-of-{:05}.gguf", i, parts);
        if (at.size != 20 || name.size() != prefix.size() + 20)
          return fail(Errc::bad_format, "{:.120}: bad part names", path);
        if (const Status s = add(i, parts); !s) return s.error();
      }
      const auto all = result.get_uint("split.tensors.count");
      if (all && *all != state.tensors.size()) {
        return fail(Errc::bad_format, "{:.120}: the parts hold {} tensors, not {}", path, state.tensors.size(), *all);
      }
    }
    if (const Status s = state.index(); !s) return in_file(s.error(), path);
    return result;
  });
}

Result<Gguf> Gguf::from_memory(std::span<const std::byte> file, core::Memory& memory) noexcept {
  return core::guarded([&]() -> Result<Gguf> {
    Gguf result;
    result.state_.reset(new (memory.allocate(sizeof(State), alignof(State))) State(memory));
    if (const Status s = result.state_->add(file, 1, 1); !s) return s.error();
    if (!result.tensors().empty() && reinterpret_cast<std::uintptr_t>(file.data()) % alignof(float) != 0) {
      return fail(Errc::invalid_argument, "a model in memory must begin at an address that is a multiple of {}",
                  alignof(float));
    }
    if (result.get_uint("split.count").value_or(1) > 1) {
      return fail(Errc::unsupported,
                  "a model that is split over several files cannot be loaded from memory; merge it first");
    }
    if (const Status s = result.state_->index(); !s) return s.error();
    return result;
  });
}

std::optional<std::uint64_t> Gguf::get_uint(std::string_view key) const noexcept {
  const Entry* e = state_ ? state_->entry(key) : nullptr;
  return e != nullptr ? integer(e->type, e->data.data()) : std::nullopt;
}

std::optional<double> Gguf::get_float(std::string_view key) const noexcept {
  const Entry* e = state_ ? state_->entry(key) : nullptr;
  if (e == nullptr) return std::nullopt;
  if (e->type == ValueType::f32) return static_cast<double>(read_le<float>(e->data.data()));
  if (e->type == ValueType::f64) return read_le<double>(e->data.data());
  return std::nullopt;
}

std::optional<bool> Gguf::get_bool(std::string_view key) const noexcept {
  const Entry* e = state_ ? state_->entry(key) : nullptr;
  if (e == nullptr || e->type != ValueType::boolean) return std::nullopt;
  return read_le<std::uint8_t>(e->data.data()) != 0;
}

std::optional<std::string_view> Gguf::get_string(std::string_view key) const noexcept {
  const Entry* e = state_ ? state_->entry(key) : nullptr;
  if (e == nullptr || e->type != ValueType::string) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(e->data.data()), e->data.size());
}

std::optional<ArrayView> Gguf::get_array(std::string_view key) const noexcept {
  const Entry* e = state_ ? state_->entry(key) : nullptr;
  if (e == nullptr || e->type != ValueType::array) return std::nullopt;
  return ArrayView{static_cast<ValueType>(read_le<std::uint32_t>(e->data.data())),
                   read_le<std::uint64_t>(e->data.data() + 4), e->data.subspan(12)};
}

bool Gguf::has(std::string_view key) const noexcept { return state_ && state_->entry(key) != nullptr; }

Status Gguf::get_strings(std::string_view key, std::pmr::vector<std::string_view>& out) const noexcept {
  return core::guarded([&]() -> Status {
    out.clear();
    if (!has(key)) return {};
    const auto array = get_array(key);
    if (!array || array->type != ValueType::string)
      return fail(Errc::bad_format, "metadata key '{:.64}' is not an array of strings", key);
    // A mapped file may have been written to since it was checked, so nothing that it says is believed twice.
    const auto damaged = [&] { return fail(Errc::io_error, "metadata key '{:.64}' changed while it was read", key); };
    std::span<const std::byte> left = array->data;
    if (array->count > left.size() / 8) return damaged();
    out.reserve(static_cast<std::size_t>(array->count));
    for (std::uint64_t i = 0; i < array->count; ++i) {
      if (left.size() < 8) return damaged();
      const auto size = read_le<std::uint64_t>(left.data());
      left = left.subspan(8);
      if (size > left.size()) return damaged();
      out.emplace_back(reinterpret_cast<const char*>(left.data()), static_cast<std::size_t>(size));
      left = left.subspan(static_cast<std::size_t>(size));
    }
    return {};
  });
}

std::span<const Gguf::Entry> Gguf::entries() const noexcept {
  return state_ ? std::span<const Entry>(state_->entries) : std::span<const Entry>();
}

std::span<const TensorInfo> Gguf::tensors() const noexcept {
  return state_ ? std::span<const TensorInfo>(state_->tensors) : std::span<const TensorInfo>();
}

const TensorInfo* Gguf::find(std::string_view name) const noexcept {
  if (!state_) return nullptr;
  const auto& order = state_->by_name;
  const auto at = std::lower_bound(order.begin(), order.end(), name,
                                   [&](std::uint32_t i, auto n) { return state_->tensors[i].name < n; });
  return at != order.end() && state_->tensors[*at].name == name ? &state_->tensors[*at] : nullptr;
}

std::uint32_t Gguf::version() const noexcept { return state_ ? state_->version : 0; }
std::uint32_t Gguf::alignment() const noexcept { return state_ ? state_->alignment : 0; }
std::size_t Gguf::bytes() const noexcept { return state_ ? state_->bytes : 0; }
bool Gguf::packed() const noexcept { return has(pack_version_key); }
bool Gguf::mapped() const noexcept { return state_ && state_->mapped; }

std::size_t Gguf::mapped_bytes() const noexcept {
  std::size_t bytes = 0;
  if (state_) {
    for (const core::FileBytes& file : state_->files) bytes += file.mapped();
  }
  return bytes;
}

std::span<const std::byte> Gguf::mapping(std::size_t i) const noexcept {
  return mapped() && i < state_->files.size() ? state_->files[i].bytes() : std::span<const std::byte>();
}

namespace {

/// The file that a tensor lies in.
template <class State>
core::FileBytes* file_of(State* state, const TensorInfo& tensor) noexcept {
  if (state == nullptr) return nullptr;
  for (core::FileBytes& file : state->files) {
    const std::span<const std::byte> all = file.bytes();
    if (std::less_equal<>()(all.data(), tensor.data) && std::less<>()(tensor.data, all.data() + all.size()))
      return &file;
  }
  return nullptr;
}

}  // namespace

void Gguf::discard(const TensorInfo& tensor) noexcept {
  if (core::FileBytes* const file = file_of(state_.get(), tensor)) file->discard(tensor.data, tensor.bytes);
}

void Gguf::prefault(const TensorInfo& tensor) noexcept {
  if (const core::FileBytes* const file = file_of(state_.get(), tensor)) file->prefault(tensor.data, tensor.bytes);
}

void Gguf::trim() noexcept {
  if (!state_) return;
  for (core::FileBytes& file : state_->files) {
    const std::span<const std::byte> all = file.bytes();
    std::size_t end = all.size();
    for (const TensorInfo& t : state_->tensors) {
      if (std::less_equal<>()(all.data(), t.data) && std::less<>()(t.data, all.data() + all.size())) {
        end = std::min(end, static_cast<std::size_t>(t.data - all.data()));
      }
    }
    file.trim(all.data(), end);
  }
}

Status Gguf::unchanged() const noexcept {
  if (!state_) return {};
  for (const core::FileBytes& file : state_->files) {
    if (!file.unchanged()) {
      return fail(
          Errc::io_error,
          "the model's file was written to or cut while it was in use; load it again, or with FileAccess::copy");
    }
  }
  return {};
}

}  // namespace kinglet::model

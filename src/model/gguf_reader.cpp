// model/gguf_reader.cpp: where does each key and tensor of one file lie, and does it lie inside?
#include "model/gguf_reader.hpp"

#include <algorithm>
#include <bit>

#include "core/fail.hpp"
#include "model/packed_tensor.hpp"

namespace kinglet::model {
namespace {

static_assert(std::endian::native == std::endian::little);

using core::fail;

constexpr std::size_t max_name = 65535;
constexpr int max_array_depth = 4;

/// A position in the file that never leaves it. The first thing that does not fit sets `bad`; all later reads give
/// zeros.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> file) noexcept : file_(file) {}

  std::size_t at() const noexcept { return at_; }
  bool bad() const noexcept { return bad_; }

  std::span<const std::byte> take(std::uint64_t bytes) noexcept {
    if (bad_ || bytes > file_.size() - at_) {
      bad_ = true;
      return {};
    }
    const auto part = file_.subspan(at_, static_cast<std::size_t>(bytes));
    at_ += part.size();
    return part;
  }

  template <class T>
  T number() noexcept {
    const auto part = take(sizeof(T));
    return bad_ ? T{} : read_le<T>(part.data());
  }

  std::string_view string() noexcept {
    const auto part = take(number<std::uint64_t>());
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

  /// Passes over a value; false where its type is none, or arrays stand in arrays too deeply.
  bool skip(ValueType type, int depth = 0) noexcept {
    if (type == ValueType::string) {
      string();
      return true;
    }
    if (type != ValueType::array) {
      const std::size_t size = value_bytes(type);
      take(size);
      return size != 0;
    }
    if (depth == max_array_depth) return false;
    const auto element = static_cast<ValueType>(number<std::uint32_t>());
    const std::uint64_t count = number<std::uint64_t>();
    if (const std::size_t size = value_bytes(element); size != 0) {
      if (count > file_.size() / size) bad_ = true;
      take(count * size);
      return true;
    }
    // Every element takes at least eight bytes of the file, so a huge count ends soon.
    for (std::uint64_t i = 0; i < count && !bad_; ++i) {
      if (!skip(element, depth + 1)) return false;
    }
    return element == ValueType::string || element == ValueType::array;
  }

 private:
  std::span<const std::byte> file_;
  std::size_t at_ = 0;
  bool bad_ = false;
};

Error truncated(const char* where) noexcept {
  return fail(Errc::bad_format, "the file ends within {}; it is damaged or was not copied whole", where);
}

Status read_entries(Cursor& in, std::uint64_t count, std::size_t size, std::pmr::vector<Gguf::Entry>& entries,
                    std::size_t first) {
  if (count > size / 13) return truncated("the metadata");  // a key takes at least 8 + 4 + 1 bytes
  for (std::uint64_t i = 0; i < count; ++i) {
    Gguf::Entry entry;
    entry.key = in.string();
    entry.type = static_cast<ValueType>(in.number<std::uint32_t>());
    if (in.bad()) return truncated("the metadata");
    if (entry.key.empty() || entry.key.size() > max_name)
      return fail(Errc::bad_format, "metadata key {} has no valid name", i);
    const std::size_t start = in.at();
    Cursor value = in;
    if (!in.skip(entry.type)) {
      return fail(Errc::bad_format, "metadata key '{:.64}' has an invalid type", entry.key);
    }
    if (in.bad()) return truncated("the metadata");
    entry.data = value.take(in.at() - start);
    if (entry.type == ValueType::string) entry.data = entry.data.subspan(sizeof(std::uint64_t));
    entries.push_back(entry);
  }
  const auto begin = entries.begin() + static_cast<std::ptrdiff_t>(first);
  heap_sort(begin, entries.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  const auto twice =
      std::adjacent_find(begin, entries.end(), [](const auto& a, const auto& b) { return a.key == b.key; });
  if (twice != entries.end()) return fail(Errc::bad_format, "metadata key '{:.64}' is there twice", twice->key);
  return {};
}

/// Fills in the size of a tensor from its dimensions and type.
Status measure(TensorInfo& t) noexcept {
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < t.rank; ++i) {
    if (t.dims[i] == 0 || t.dims[i] > (std::uint64_t{1} << 48) / elements) {
      return fail(Errc::bad_format, "tensor '{:.64}' has a dimension of {}", t.name, t.dims[i]);
    }
    elements *= t.dims[i];
  }
  if (const auto format = packed_format(t.type)) {
    const quant::FormatInfo& info = quant::info(*format);
    if (t.rank < 2 || t.rank > 3 || t.dims[0] % info.block != 0)
      return fail(Errc::bad_format, "packed tensor '{:.64}' has no dimensions that strips of {} can have; {}", t.name,
                  info.name, pack_anew);
    t.format = *format;
    t.packed = true;
    t.bytes = static_cast<std::size_t>(packed_bytes(*format, std::span(t.dims, t.rank)));
    return {};
  }
  const quant::GgufType* type = quant::gguf_type(t.type);
  if (type == nullptr)
    return fail(Errc::bad_format, "tensor '{:.64}' has the type number {}, which does not exist", t.name, t.type);
  if (const auto format = quant::from_gguf_type(t.type)) t.format = *format;
  if (type->block == 0) return {};
  if (t.dims[0] % type->block != 0) {
    return fail(Errc::bad_format, "tensor '{:.64}' has rows of {} elements, not a multiple of the {} of a {} block",
                t.name, t.dims[0], type->block, type->name);
  }
  t.bytes = static_cast<std::size_t>(elements / type->block * type->block_bytes);
  return {};
}

Status read_tensor(Cursor& in, TensorInfo& t, std::uint64_t& offset) noexcept {
  t.name = in.string();
  t.rank = in.number<std::uint32_t>();
  if (in.bad()) return truncated("the list of tensors");
  if (t.name.empty() || t.name.size() > max_name) return fail(Errc::bad_format, "a tensor has no valid name");
  if (t.rank < 1 || t.rank > 4)
    return fail(Errc::bad_format, "tensor '{:.64}' has {} dimensions, not 1 to 4", t.name, t.rank);
  for (std::uint32_t i = 0; i < t.rank; ++i) t.dims[i] = in.number<std::uint64_t>();
  t.type = in.number<std::uint32_t>();
  offset = in.number<std::uint64_t>();
  if (in.bad()) return truncated("the list of tensors");
  return measure(t);
}

/// Offsets become pointers once it is known where the data begin; tensors must lie in the file and apart.
Status place(std::span<const std::byte> file, std::size_t data, std::span<TensorInfo> tensors,
             std::pmr::vector<std::uint64_t>& offsets, std::uint32_t alignment, bool packed) {
  if (tensors.empty()) return {};  // GCC 12 would give back an empty vector's null
  if (data > file.size()) return truncated("the list of tensors");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TensorInfo& t = tensors[i];
    if (offsets[i] % alignment != 0) {
      return fail(Errc::bad_format, "tensor '{:.64}' lies at {}, not a multiple of the alignment {}", t.name,
                  offsets[i], alignment);
    }
    if (offsets[i] > file.size() - data || t.bytes > file.size() - data - offsets[i]) {
      return fail(Errc::bad_format, "tensor '{:.64}' ends after the file; it is damaged or was not copied whole{}{}",
                  t.name, packed ? "; " : "", packed ? pack_anew : "");
    }
    t.data = file.data() + data + offsets[i];
  }
  std::pmr::vector<std::uint32_t> order(tensors.size(), offsets.get_allocator().resource());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  heap_sort(order.begin(), order.end(), [&](auto a, auto b) { return tensors[a].data < tensors[b].data; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const TensorInfo& before = tensors[order[i - 1]];
    const TensorInfo& after = tensors[order[i]];
    if (before.data + before.bytes > after.data) {
      return fail(Errc::bad_format, "tensors '{:.64}' and '{:.64}' overlap", before.name, after.name);
    }
  }
  return {};
}

/// general.alignment, where the file has it.
Status read_alignment(std::span<const Gguf::Entry> entries, std::uint32_t& alignment) noexcept {
  for (const Gguf::Entry& entry : entries) {
    if (entry.key != "general.alignment") continue;
    if (entry.type != ValueType::u32) return fail(Errc::bad_format, "general.alignment is not a 32-bit number");
    alignment = read_le<std::uint32_t>(entry.data.data());
    if (!std::has_single_bit(alignment) || alignment < 4 || alignment > (1u << 20)) {
      return fail(Errc::bad_format, "general.alignment is {}, not a power of two from 4 to 1,048,576", alignment);
    }
  }
  return {};
}

/// Does the part come from `kinglet pack`, of this version?
Result<bool> read_pack_version(std::span<const Gguf::Entry> entries) noexcept {
  for (const Gguf::Entry& entry : entries) {
    if (entry.key != pack_version_key) continue;
    const bool number = entry.type == ValueType::u32;
    if (number && read_le<std::uint32_t>(entry.data.data()) == pack_version) return true;
    return fail(Errc::unsupported, "this file was packed for another version of Kinglet ({}; this build reads {}); {}",
                number ? read_le<std::uint32_t>(entry.data.data()) : 0, pack_version, pack_anew);
  }
  return false;
}

/// Is the file's head the one that was written?
Status check_pack(std::span<const std::byte> file, std::span<const TensorInfo> tensors) noexcept {
  const std::byte* first = file.data() + file.size();
  const TensorInfo* sums = nullptr;
  for (const TensorInfo& t : tensors) {
    first = std::min(first, t.data);
    if (t.name == pack_sums_name) sums = &t;
  }
  if (sums == nullptr || sums->type != words_type || sums->rank != 1 || sums->dims[0] != tensors.size()) {
    return fail(Errc::bad_format, "this packed file lacks its sums; {}", pack_anew);
  }
  PackSum sum;
  sum.add({file.data(), first});
  if (sum.value() == read_le<std::uint64_t>(sums->data)) return {};
  return fail(Errc::bad_format, "the head of this packed file was altered after it was written; {}", pack_anew);
}

}  // namespace

std::size_t value_bytes(ValueType type) noexcept {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean: return 1;
    case ValueType::u16:
    case ValueType::i16: return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32: return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64: return 8;
    default: return 0;
  }
}

Result<GgufPart> read_part(std::span<const std::byte> file, std::pmr::vector<Gguf::Entry>& entries,
                           std::pmr::vector<TensorInfo>& tensors) {
  GgufPart part;
  part.first_entry = entries.size();
  part.first_tensor = tensors.size();
  Cursor in(file);
  const auto magic = in.number<std::uint32_t>();
  if (magic != 0x46554747u) return fail(Errc::bad_format, "this is not a GGUF file (it does not begin with 'GGUF')");
  part.version = in.number<std::uint32_t>();
  if (part.version == 0x02000000u || part.version == 0x03000000u) {
    return fail(Errc::unsupported, "this GGUF file is big endian; convert the model for little-endian machines");
  }
  if (!in.bad() && part.version != 2 && part.version != 3) {
    return fail(Errc::unsupported, "GGUF version {} is not supported, only 2 and 3; convert the model again",
                part.version);
  }
  const auto tensor_count = in.number<std::uint64_t>();
  const auto entry_count = in.number<std::uint64_t>();
  if (in.bad()) return truncated("its header");
  if (const Status s = read_entries(in, entry_count, file.size(), entries, part.first_entry); !s) return s.error();
  if (const Status s = read_alignment(std::span(entries).subspan(part.first_entry), part.alignment); !s)
    return s.error();
  const Result<bool> packed = read_pack_version(std::span(entries).subspan(part.first_entry));
  if (!packed) return packed.error();

  if (tensor_count > file.size() / 32) return truncated("the list of tensors");  // one takes at least 8+4+8+4+8 bytes
  std::pmr::vector<std::uint64_t> offsets(static_cast<std::size_t>(tensor_count), entries.get_allocator().resource());
  for (std::uint64_t& offset : offsets) {
    TensorInfo t;
    if (const Status s = read_tensor(in, t, offset); !s) return s.error();
    if (t.packed && !*packed)
      return fail(Errc::bad_format, "tensor '{:.64}' is packed, but the file does not say for which version; {}",
                  t.name, pack_anew);
    tensors.push_back(t);
  }
  const std::size_t data = (in.at() + part.alignment - 1) / part.alignment * part.alignment;
  const Status placed =
      place(file, data, std::span(tensors).subspan(part.first_tensor), offsets, part.alignment, *packed);
  if (!placed) return placed.error();
  if (*packed) {
    const Status whole = check_pack(file, std::span(tensors).subspan(part.first_tensor));
    if (!whole) return whole.error();
  }
  return part;
}

}  // namespace kinglet::model

// kinglet/model/gguf.hpp: what does a GGUF file say, and where do its tensors lie?
//
// Versions 2 and 3, little endian, one file or several (-00001-of-0000N), mapped or copied. A file is not to be
// trusted: every count, length and offset is checked before it is followed. Source:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <kinglet/core/config.hpp>
#include <kinglet/core/memory.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/quant/format.hpp>

namespace kinglet::model {

/// How a file's bytes come into the process.
enum class FileAccess : std::uint8_t {
  map,   ///< read-only mapping: shared with other processes; the file must not change while it is in use
  copy,  ///< read into memory: for hosts that cannot be sure of the file
};

enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// An array of the metadata, as it lies in the file (little endian, any alignment).
struct ArrayView {
  ValueType type = ValueType::u8;  ///< of an element
  std::uint64_t count = 0;
  std::span<const std::byte> data;  ///< the elements' bytes; strings each with their 64-bit length before them
};

struct TensorInfo {
  std::string_view name;
  std::uint64_t dims[4] = {1, 1, 1, 1};  ///< dims[0] is the fastest: columns, then rows
  std::uint32_t rank = 0;                ///< [1, 4]
  std::uint32_t type = 0;                ///< GGUF's number
  std::optional<quant::Format> format;   ///< none where this build has no such format
  bool packed = false;                   ///< strips, as `kinglet pack` writes them (docs/packed-files.md)
  const std::byte* data = nullptr;
  std::size_t bytes = 0;  ///< 0 where the type's size is not known

  std::uint64_t elements() const noexcept { return dims[0] * dims[1] * dims[2] * dims[3]; }
};

/// Movable; what it gives out points into it and into the file.
class KINGLET_API Gguf {
 public:
  Gguf() noexcept = default;

  /// @param path    UTF-8; any part of a split file
  /// @param memory  outlives the object; the file's bytes count against its limit
  /// not_found, io_error, bad_format, unsupported (version, byte order), out_of_memory.
  static Result<Gguf> open(std::string_view path, core::Memory& memory, FileAccess access = FileAccess::map) noexcept;
  /// The same from memory that the host keeps alive and unchanged; it does not count against the limit.
  /// @param file  at an address that is a multiple of 4, or invalid_argument (where it has tensors)
  static Result<Gguf> from_memory(std::span<const std::byte> file, core::Memory& memory) noexcept;

  /// Integers of any width, if not negative.
  std::optional<std::uint64_t> get_uint(std::string_view key) const noexcept;
  /// FP32 or FP64.
  std::optional<double> get_float(std::string_view key) const noexcept;
  std::optional<bool> get_bool(std::string_view key) const noexcept;
  std::optional<std::string_view> get_string(std::string_view key) const noexcept;
  std::optional<ArrayView> get_array(std::string_view key) const noexcept;
  /// Is there such a key, whatever its type?
  bool has(std::string_view key) const noexcept;

  /// A string array's elements; empty where there is no such key. bad_format: the key has another type; out_of_memory.
  Status get_strings(std::string_view key, std::pmr::vector<std::string_view>& out) const noexcept;

  /// All metadata, in the order of their keys.
  struct Entry {
    std::string_view key;
    ValueType type = ValueType::u8;
    std::span<const std::byte> data;  ///< of an array: its element type (u32), count (u64) and elements
  };
  std::span<const Entry> entries() const noexcept;

  /// In the order of the file (of the files, where it is split).
  std::span<const TensorInfo> tensors() const noexcept;
  /// null: there is none of that name.
  const TensorInfo* find(std::string_view name) const noexcept;

  std::uint32_t version() const noexcept;
  std::uint32_t alignment() const noexcept;  ///< bytes
  std::size_t bytes() const noexcept;        ///< of all files
  bool packed() const noexcept;              ///< written by `kinglet pack`
  bool mapped() const noexcept;
  std::size_t mapped_bytes() const noexcept;  ///< that still count as mapped
  /// The mapped bytes of part i of the file, from the start of a page on; empty past the last part, or where it is not
  /// mapped.
  std::span<const std::byte> mapping(std::size_t i) const noexcept;

  /// Gives a tensor's pages back where the file is mapped: a backend has taken its data over. They must not be read
  /// again.
  void discard(const TensorInfo& tensor) noexcept;
  /// Reads in and maps what is still mapped of a tensor's pages, so that reading them does not fault. Best effort;
  /// nothing where the file is copied.
  void prefault(const TensorInfo& tensor) noexcept;

  /// Gives back what is resident of the metadata of mapped files; reading it again brings it back.
  void trim() noexcept;

  /// Has no mapped file been written to or cut since it was opened? (Replacing it by another is harmless.) io_error
  /// names the file. Cheap: one system call a file. A file that is cut between this check and an access still ends the
  /// process (SIGBUS): see FileAccess::copy.
  Status unchanged() const noexcept;

 private:
  struct State;
  struct Destroy {
    void operator()(State* state) const noexcept;
  };
  std::unique_ptr<State, Destroy> state_;
};

}  // namespace kinglet::model

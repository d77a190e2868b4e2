// kinglet/model/gguf_writer.hpp: how is a GGUF file made without holding the model in memory?
//
// Metadata and the list of tensors first, kept in memory; then begin() writes them, and the tensors' bytes follow in
// the order of the list, in parts of any size. Version 3, little endian. Source:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/quant/format.hpp>

namespace kinglet::model {

/// Where a file's bytes go, in order. False where they could not be written.
struct ByteSink {
  void* user = nullptr;
  bool (*write)(void* user, const std::byte* data, std::size_t bytes) = nullptr;
};

/// Not for two threads at once. Calls in the wrong order, and what does not fit the format, give invalid_argument;
/// every call out_of_memory, and those that write io_error. After an error the file is to be thrown away.
class KINGLET_API GgufWriter {
 public:
  /// @param memory     outlives the writer
  /// @param alignment  of the tensors, bytes: 32 or 64
  GgufWriter(ByteSink sink, std::pmr::memory_resource* memory, std::uint32_t alignment = 32) noexcept;

  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  // A key must be new, not empty, and not general.alignment, which is the writer's own.
  Status add(std::string_view key, std::uint32_t value) noexcept;
  Status add(std::string_view key, float value) noexcept;
  Status add(std::string_view key, bool value) noexcept;
  Status add(std::string_view key, std::string_view value) noexcept;
  Status add(std::string_view key, const char* value) noexcept { return add(key, std::string_view(value)); }
  Status add(std::string_view key, std::span<const std::string_view> values) noexcept;
  Status add(std::string_view key, std::span<const std::int32_t> values) noexcept;
  /// What another file says, unchanged.
  Status add(const Gguf::Entry& entry) noexcept;

  /// @param dims  columns, then rows, and so on; [1, 4] of them, none 0; dims[0] a multiple of the format's block
  Status add_tensor(std::string_view name, std::span<const std::uint64_t> dims, quant::Format format) noexcept;

  /// A tensor of strips (docs/packed-files.md): its bytes are those of whole strips. The format has strips.
  Status add_packed(std::string_view name, std::span<const std::uint64_t> dims, quant::Format format) noexcept;
  /// A tensor of 64-bit integers.
  Status add_words(std::string_view name, std::uint64_t count) noexcept;

  /// Writes all of the above.
  Status begin() noexcept;
  /// The next bytes of the tensors, which follow each other without a gap here; the padding is put in by the writer.
  Status write(std::span<const std::byte> data) noexcept;
  /// invalid_argument: tensors whose bytes did not come.
  Status finish() noexcept;

 private:
  template <class Value>
  void put(const Value& value);
  void put(std::string_view text);
  Status start(std::string_view key, ValueType type);
  Status add_any(std::string_view name, std::span<const std::uint64_t> dims, std::uint32_t block, std::uint32_t type,
                 std::uint64_t (*bytes)(quant::Format format, std::span<const std::uint64_t> dims),
                 quant::Format format) noexcept;
  std::uint64_t padding(std::uint64_t bytes) const noexcept { return (alignment_ - bytes % alignment_) % alignment_; }
  Status send(const std::byte* data, std::size_t bytes) noexcept;

  ByteSink sink_;
  std::uint32_t alignment_;
  std::pmr::vector<std::byte> metadata_;
  std::pmr::vector<std::byte> infos_;
  std::pmr::vector<std::byte>* into_ = &metadata_;
  std::pmr::vector<std::pmr::string> keys_;
  std::pmr::vector<std::pmr::string> names_;
  std::pmr::vector<std::uint64_t> sizes_;  ///< bytes of each tensor
  std::uint64_t offset_ = 0;               ///< of the next tensor, from the first
  std::size_t tensor_ = 0;                 ///< that is being written
  std::uint64_t written_ = 0;              ///< bytes of it
  bool begun_ = false;
};

}  // namespace kinglet::model

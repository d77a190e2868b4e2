// core/file.hpp: how do a file's bytes come into the process?
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <kinglet/core/memory.hpp>
#include <kinglet/core/result.hpp>

namespace kinglet::core {

/// A file's bytes, mapped or copied; counted in a Memory as long as it lives.
class FileBytes {
 public:
  FileBytes() noexcept = default;
  FileBytes(FileBytes&& other) noexcept { swap(other); }
  FileBytes& operator=(FileBytes&& other) noexcept {
    FileBytes(std::move(other)).swap(*this);
    return *this;
  }
  ~FileBytes();

  /// @param path  zero-terminated
  /// not_found, io_error (a directory, no permission, a failing read), bad_format (empty), out_of_memory.
  static Result<FileBytes> open(const char* path, Memory& memory, bool copy) noexcept;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// Gives whole pages of a mapped file within [p, p + n) back: they are no longer counted, and must not be read again.
  void discard(const std::byte* p, std::size_t n) noexcept;
  /// Gives back what is resident of whole pages of a mapped file within [p, p + n); reading them brings them back.
  void trim(const std::byte* p, std::size_t n) noexcept;
  /// Reads in and maps the pages of [p, p + n) of a mapped file that are mapped still, so that reading them does not
  /// fault. Best effort: nothing before Linux 5.14.
  void prefault(const std::byte* p, std::size_t n) const noexcept;
  /// Bytes that are still mapped; 0 of a copy.
  std::size_t mapped() const noexcept { return descriptor_ < 0 ? 0 : size_ - discarded_; }
  /// False once a mapped file has been written to or cut.
  bool unchanged() const noexcept;

 private:
  void swap(FileBytes& other) noexcept;
  std::span<std::byte> whole_pages(const std::byte* p, std::size_t n) const noexcept;

  Memory* memory_ = nullptr;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t discarded_ = 0;  ///< bytes of it that were given back
  int descriptor_ = -1;        ///< kept while mapped
  std::int64_t modified_[2] = {};
};

}  // namespace kinglet::core

// core/file.cpp: how is a file mapped or read, and how does one notice that it changed?
#include "core/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "core/fail.hpp"

#if !defined(MADV_POPULATE_READ)  // headers older than Linux 5.14
#define MADV_POPULATE_READ 22
#endif

namespace kinglet::core {
namespace {

constexpr std::size_t copy_alignment = 64;

Error system_error(const char* path, int error) noexcept {
  // strerror_r's GNU form returns the text, which for known numbers is static.
  char buffer[96];
  const char* text = ::strerror_r(error, buffer, sizeof buffer);
  return fail(error == ENOENT || error == ENOTDIR ? Errc::not_found : Errc::io_error, "{:.120}: {}", path, text);
}

Status read_all(int descriptor, const char* path, std::byte* out, std::size_t size) noexcept {
  for (std::size_t done = 0; done < size;) {
    const ::ssize_t n = ::read(descriptor, out + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(path, errno);
    if (n == 0) return fail(Errc::io_error, "{:.120}: became shorter while it was read", path);
    done += static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace

FileBytes::~FileBytes() {
  if (data_ != nullptr && descriptor_ < 0) {
    memory_->deallocate(const_cast<std::byte*>(data_), size_, copy_alignment);
  } else if (data_ != nullptr) {
    ::munmap(const_cast<std::byte*>(data_), size_);
    memory_->release(size_ - discarded_);
  }
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileBytes::swap(FileBytes& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(discarded_, other.discarded_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(modified_, other.modified_);
}

Result<FileBytes> FileBytes::open(const char* path, Memory& memory, bool copy) noexcept {
  return guarded([&]() -> Result<FileBytes> {
    FileBytes file;
    file.memory_ = &memory;
    // O_NONBLOCK: opening a pipe must not wait for its other end.
    file.descriptor_ = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file.descriptor_ < 0) return system_error(path, errno);
    struct stat status {};
    if (::fstat(file.descriptor_, &status) != 0) return system_error(path, errno);
    if (S_ISDIR(status.st_mode))
      return fail(Errc::io_error, "{:.120}: is a directory; give the path of a GGUF file", path);
    if (!S_ISREG(status.st_mode)) return fail(Errc::io_error, "{:.120}: is not a regular file", path);
    if (status.st_size <= 0) return fail(Errc::bad_format, "{:.120}: is empty", path);
    if (static_cast<std::uint64_t>(status.st_size) > std::numeric_limits<std::size_t>::max() / 2) {
      return fail(Errc::bad_format, "{:.120}: is larger than this machine's address space", path);
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    file.modified_[0] = status.st_mtim.tv_sec;
    file.modified_[1] = status.st_mtim.tv_nsec;
    if (copy) {
      auto* data = static_cast<std::byte*>(memory.allocate(size, copy_alignment));
      file.data_ = data;
      file.size_ = size;
      const int descriptor = std::exchange(file.descriptor_, -1);  // from here on the bytes are a copy's
      const Status read = read_all(descriptor, path, data, size);
      ::close(descriptor);
      if (!read) return read.error();
      return file;
    }
    if (!memory.reserve(size)) return out_of_memory();
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor_, 0);
    if (data == MAP_FAILED) {
      memory.release(size);
      return system_error(path, errno);
    }
    file.data_ = static_cast<const std::byte*>(data);
    file.size_ = size;
    return file;
  });
}

/// The whole pages of a mapped file within [p, p + n).
std::span<std::byte> FileBytes::whole_pages(const std::byte* p, std::size_t n) const noexcept {
  const long page_size = ::sysconf(_SC_PAGESIZE);
  if (descriptor_ < 0 || page_size <= 0) return {};
  const auto page = static_cast<std::size_t>(page_size);
  const auto offset = static_cast<std::size_t>(p - data_);
  const std::size_t first = (offset + page - 1) / page * page;
  const std::size_t last = (offset + n) / page * page;
  if (first >= last) return {};
  return {const_cast<std::byte*>(data_) + first, last - first};
}

void FileBytes::discard(const std::byte* p, std::size_t n) noexcept {
  const std::span<std::byte> pages = whole_pages(p, n);
  if (pages.empty()) return;
  // The addresses stay reserved: an unmapped gap could be taken by somebody else before the whole is unmapped.
  void* gone =
      ::mmap(pages.data(), pages.size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (gone == MAP_FAILED) return;
  discarded_ += pages.size();
  memory_->release(pages.size());
}

void FileBytes::trim(const std::byte* p, std::size_t n) noexcept {
  const std::span<std::byte> pages = whole_pages(p, n);
  if (!pages.empty()) (void)::madvise(pages.data(), pages.size(), MADV_DONTNEED);
}

// Unlike a read it fails where the file has been cut, and harmlessly so.
void FileBytes::prefault(const std::byte* p, std::size_t n) const noexcept {
  const long page_size = ::sysconf(_SC_PAGESIZE);
  if (descriptor_ < 0 || page_size <= 0 || n == 0) return;
  const auto page = static_cast<std::size_t>(page_size);
  const auto offset = static_cast<std::size_t>(p - data_);
  const std::size_t first = offset / page * page, last = (offset + n - 1) / page * page;
  const auto populate = [this](std::size_t from, std::size_t to) {
    if (from < to) (void)::madvise(const_cast<std::byte*>(data_) + from, to - from, MADV_POPULATE_READ);
  };
  // discard() leaves the ends, which may be part of something else.
  populate(first, first + page);
  populate(first + page, last);
  populate(last, last + page);
}

bool FileBytes::unchanged() const noexcept {
  if (descriptor_ < 0) return true;
  struct stat status {};
  return ::fstat(descriptor_, &status) == 0 && static_cast<std::size_t>(status.st_size) == size_ &&
         status.st_mtim.tv_sec == modified_[0] && status.st_mtim.tv_nsec == modified_[1];
}

}  // namespace kinglet::core

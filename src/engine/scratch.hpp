// engine/scratch.hpp: where do the passing needs of a submit live, so that they cost no memory of their own?
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>

namespace kinglet::engine {

/// One buffer, taken at load, that is given out from its start while it is open; what does not fit, or is asked for
/// while it is closed, comes from the engine's memory. Not for two threads at once.
class Scratch final : public std::pmr::memory_resource {
 public:
  explicit Scratch(std::pmr::memory_resource* upstream) noexcept : upstream_(upstream) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() override {
    if (buffer_ != nullptr) upstream_->deallocate(buffer_, size_, alignment);
  }

  /// Throws std::bad_alloc.
  void reserve(std::size_t bytes) {
    buffer_ = static_cast<std::byte*>(upstream_->allocate(bytes, alignment));
    size_ = bytes;
  }

  /// Opens the buffer while it lives.
  class Open {
   public:
    explicit Open(Scratch& scratch) noexcept : scratch_(scratch) { scratch_.open_ = true; }
    ~Open() { scratch_.open_ = false; }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    Scratch& scratch_;
  };

 private:
  static constexpr std::size_t alignment = 64;

  void* do_allocate(std::size_t bytes, std::size_t align) override {
    if (open_ && buffer_ != nullptr && align <= alignment) {
      const std::size_t at = (top_ + align - 1) / align * align;
      if (at <= size_ && bytes <= size_ - at) {
        top_ = at + bytes;
        ++live_;
        return buffer_ + at;
      }
    }
    return upstream_->allocate(bytes, align);
  }

  void do_deallocate(void* memory, std::size_t bytes, std::size_t align) override {
    std::byte* const p = static_cast<std::byte*>(memory);
    const auto address = reinterpret_cast<std::uintptr_t>(p), first = reinterpret_cast<std::uintptr_t>(buffer_);
    if (buffer_ == nullptr || address < first || address >= first + size_)
      return upstream_->deallocate(p, bytes, align);
    if (p + bytes == buffer_ + top_) top_ = static_cast<std::size_t>(p - buffer_);
    if (--live_ == 0) top_ = 0;
  }

  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::pmr::memory_resource* upstream_;
  std::byte* buffer_ = nullptr;
  std::size_t size_ = 0;  // bytes
  std::size_t top_ = 0;   // bytes given out from the start
  std::size_t live_ = 0;  // blocks
  bool open_ = false;
};

}  // namespace kinglet::engine

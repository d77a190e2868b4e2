// core/memory.cpp: how is every byte counted, and the limit kept?
#include <kinglet/core/memory.hpp>

namespace kinglet {

const char* to_string(Errc code) noexcept {
  switch (code) {
    case Errc::ok: return "ok";
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::out_of_memory: return "out_of_memory";
    case Errc::not_found: return "not_found";
    case Errc::io_error: return "io_error";
    case Errc::bad_format: return "bad_format";
    case Errc::unsupported: return "unsupported";
    case Errc::context_full: return "context_full";
    case Errc::busy: return "busy";
    case Errc::poisoned: return "poisoned";
    case Errc::moved_from: return "moved_from";
    case Errc::cancelled: return "cancelled";
    case Errc::not_finite: return "not_finite";
    case Errc::template_error: return "template_error";
    case Errc::backend: return "backend";
    case Errc::internal: return "internal";
  }
  return "unknown";
}

}  // namespace kinglet

namespace kinglet::core {

bool Memory::reserve(std::size_t bytes) noexcept {
  std::size_t before = used_.load(std::memory_order_relaxed);
  do {
    if (bytes > static_cast<std::size_t>(-1) - before) return false;
    if (limit_ != 0 && before + bytes > limit_) return false;
  } while (!used_.compare_exchange_weak(before, before + bytes, std::memory_order_relaxed));
  const std::size_t now = before + bytes;
  std::size_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < now && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
  return true;
}

void* Memory::do_allocate(std::size_t bytes, std::size_t alignment) {
  if (bytes == 0) bytes = 1;
  if (!reserve(bytes)) throw std::bad_alloc();
  void* memory = hooks_.allocate != nullptr ? hooks_.allocate(hooks_.user, bytes, alignment)
                                            : ::operator new(bytes, std::align_val_t(alignment), std::nothrow);
  if (memory == nullptr) {
    release(bytes);
    throw std::bad_alloc();
  }
  return memory;
}

void Memory::do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) {
  if (bytes == 0) bytes = 1;
  if (hooks_.allocate != nullptr) {
    if (hooks_.deallocate != nullptr) hooks_.deallocate(hooks_.user, memory, bytes, alignment);
  } else {
    ::operator delete(memory, std::align_val_t(alignment));
  }
  release(bytes);
}

}  // namespace kinglet::core

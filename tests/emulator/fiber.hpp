// tests/emulator/fiber.hpp: how do hundreds of threads of a block take turns in one thread of the host?
//
// A fiber is a stack of its own. On x86-64 a switch saves the six registers that a call must keep; elsewhere ucontext
// does it. Code on a fiber must not throw past its first function.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#define KINGLET_EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KINGLET_EMULATOR_ASAN 1
#endif
#endif
#if defined(KINGLET_EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace kinglet::emulator {

#if defined(__x86_64__)
/// Saves the stack pointer to *save and goes on where `to` was saved.
__attribute__((naked, noinline)) inline void switch_stacks(void**, void*) {
  __asm__(
      "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
      "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
      "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tretq");
}
#endif

class Fiber {
 public:
  static constexpr std::size_t stack_bytes = 96 << 10;

  /// Makes the fiber ready to run body(context); it ends by a last yield().
  void start(void (*body)(void*), void* context) {
    if (stack_ == nullptr) stack_ = std::make_unique_for_overwrite<std::byte[]>(stack_bytes);
#if defined(KINGLET_EMULATOR_ASAN)
    __asan_unpoison_memory_region(stack_.get(), stack_bytes);  // a fiber may have been left in the middle
#endif
    body_ = body;
    context_ = context;
#if defined(__x86_64__)
    auto top = reinterpret_cast<std::uintptr_t>(stack_.get() + stack_bytes) / 64 * 64;
    auto* at = reinterpret_cast<void**>(top);
    *--at = nullptr;  // where entry() would return to; keeps the alignment of a call
    *--at = reinterpret_cast<void*>(&Fiber::entry);
    for (int i = 0; i < 6; ++i) *--at = nullptr;
    own_ = at;
#else
    getcontext(&own_);
    own_.uc_stack.ss_sp = stack_.get();
    own_.uc_stack.ss_size = stack_bytes;
    own_.uc_link = nullptr;
    makecontext(&own_, reinterpret_cast<void (*)()>(&Fiber::entry), 0);
#endif
  }

  /// Runs the fiber until it yields.
  void resume() {
    next() = this;
#if defined(__x86_64__)
    switch_stacks(&caller_, own_);
#else
    swapcontext(&caller_, &own_);
#endif
  }

  /// From inside the fiber: goes back to who resumed it.
  void yield() {
#if defined(__x86_64__)
    switch_stacks(&own_, caller_);
#else
    swapcontext(&own_, &caller_);
#endif
  }

 private:
  static Fiber*& next() {
    static thread_local Fiber* fiber = nullptr;
    return fiber;
  }
  static void entry() {
    Fiber* const self = next();
    self->body_(self->context_);
    for (;;) self->yield();
  }

  std::unique_ptr<std::byte[]> stack_;
  void (*body_)(void*) = nullptr;
  void* context_ = nullptr;
#if defined(__x86_64__)
  void* own_ = nullptr;
  void* caller_ = nullptr;
#else
  ucontext_t own_{};
  ucontext_t caller_{};
#endif
};

}  // namespace kinglet::emulator

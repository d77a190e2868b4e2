// tests/emulator/fiber.hpp: how do hundreds of threads of a block take turns in one thread of the host?
//
// A fiber is a stack of its own. On x86-64 a switch saves the six registers that a call must keep; elsewhere ucontext
// does it. Code on a fiber must not throw past its first function. The address sanitizer is told of every switch: else
// it takes the fibers' frames for those of one stack.
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
#include <sanitizer/common_interface_defs.h>
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
#if defined(KINGLET_EMULATOR_ASAN)
  static constexpr std::size_t stack_bytes = 256 << 10;  // its frames have red zones
#else
  static constexpr std::size_t stack_bytes = 96 << 10;
#endif

  Fiber() = default;
  ~Fiber() { forget(); }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Makes the fiber ready to run body(context); it ends by a last yield().
  void start(void (*body)(void*), void* context) {
    body_ = body;
    context_ = context;
    if (ended_) return;  // it waits for the next one
    if (stack_ == nullptr) stack_ = std::make_unique_for_overwrite<std::byte[]>(stack_bytes);
    forget();  // it may have been left in the middle
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
    ended_ = false;
#if defined(KINGLET_EMULATOR_ASAN)
    void* frames = nullptr;
    __sanitizer_start_switch_fiber(&frames, stack_.get(), stack_bytes);
#endif
#if defined(__x86_64__)
    switch_stacks(&caller_, own_);
#else
    swapcontext(&caller_, &own_);
#endif
#if defined(KINGLET_EMULATOR_ASAN)
    __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
#endif
  }

  /// From inside the fiber: goes back to who resumed it.
  void yield() {
#if defined(KINGLET_EMULATOR_ASAN)
    __sanitizer_start_switch_fiber(&frames_, caller_stack_, caller_bytes_);
#endif
#if defined(__x86_64__)
    switch_stacks(&own_, caller_);
#else
    swapcontext(&own_, &caller_);
#endif
#if defined(KINGLET_EMULATOR_ASAN)
    __sanitizer_finish_switch_fiber(frames_, &caller_stack_, &caller_bytes_);
#endif
  }

 private:
  static Fiber*& next() {
    static thread_local Fiber* fiber = nullptr;
    return fiber;
  }
  static void entry() {
    Fiber* const self = next();
#if defined(KINGLET_EMULATOR_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, &self->caller_stack_, &self->caller_bytes_);
#endif
    for (;;) {
      self->body_(self->context_);
      self->ended_ = true;
      self->yield();
    }
  }

  /// Gives back what the address sanitizer keeps of a fiber that will not go on: its frames, which lie beside its
  /// stack, and the marks in the stack.
  void forget() noexcept {
#if defined(KINGLET_EMULATOR_ASAN)
    if (stack_ != nullptr) __asan_unpoison_memory_region(stack_.get(), stack_bytes);
    if (frames_ == nullptr) return;
    void* mine = nullptr;
    __sanitizer_start_switch_fiber(&mine, stack_.get(), stack_bytes);
    __sanitizer_finish_switch_fiber(frames_, &caller_stack_, &caller_bytes_);
    __sanitizer_start_switch_fiber(nullptr, caller_stack_, caller_bytes_);  // null: its frames are no longer needed
    __sanitizer_finish_switch_fiber(mine, nullptr, nullptr);
    frames_ = nullptr;
#endif
  }

  std::unique_ptr<std::byte[]> stack_;
  void (*body_)(void*) = nullptr;
  void* context_ = nullptr;
  bool ended_ = false;  ///< body has, and the fiber waits in entry()
#if defined(__x86_64__)
  void* own_ = nullptr;
  void* caller_ = nullptr;
#else
  ucontext_t own_{};
  ucontext_t caller_{};
#endif
#if defined(KINGLET_EMULATOR_ASAN)
  void* frames_ = nullptr;  ///< the fiber's, while it does not run
  const void* caller_stack_ = nullptr;
  std::size_t caller_bytes_ = 0;
#endif
};

}  // namespace kinglet::emulator

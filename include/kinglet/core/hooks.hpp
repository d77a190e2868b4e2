// kinglet/core/hooks.hpp: what does the host lend the library, and how?
//
// Every engine takes one Hooks. A null pointer means the default. A hook must not throw and must not call back into the
// engine that called it. `user` is handed to each of them unchanged.
#pragma once
#include <cstddef>
#include <cstdint>

namespace kinglet {

enum class LogLevel : int { debug, info, warning, error };

struct Hooks {
  void* user = nullptr;

  /// @param bytes      > 0
  /// @param alignment  a power of two
  /// @return memory, or null where there is none (the call that needed it ends with out_of_memory).
  /// Default: aligned operator new. May be called from any thread that calls the library.
  void* (*allocate)(void* user, std::size_t bytes, std::size_t alignment) = nullptr;
  /// Takes back what `allocate` gave, with the same bytes and alignment. Set both or neither.
  void (*deallocate)(void* user, void* memory, std::size_t bytes, std::size_t alignment) = nullptr;

  /// Runs body(context, i) once for every i in [0, count), on any threads, and returns when all are done; an i outside
  /// is ignored. `count` never exceeds the option `threads`. Default: a pool of `threads` - 1 threads and the caller.
  void (*parallel_for)(void* user, std::size_t count, void (*body)(void* context, std::size_t index),
                       void* context) = nullptr;

  /// One line without a line break. Default: nothing is said.
  void (*log)(void* user, LogLevel level, const char* message) = nullptr;

  /// A clock that never runs backwards, in nanoseconds. Default: std::chrono::steady_clock.
  std::uint64_t (*clock)(void* user) = nullptr;
};

}  // namespace kinglet

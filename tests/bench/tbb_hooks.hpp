// tests/bench/tbb_hooks.hpp: how does a host with oneTBB lend Kinglet its threads?
#pragma once
#include <cstddef>

#include <kinglet/core/hooks.hpp>

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

namespace kinglet::test {

/// An arena of as many threads as the machine has, the caller's among them.
class TbbHost {
 public:
  Hooks hooks() noexcept {
    Hooks hooks;
    hooks.user = this;
    hooks.parallel_for = [](void* user, std::size_t count, void (*body)(void*, std::size_t), void* context) {
      static_cast<TbbHost*>(user)->arena_.execute([&] {
        tbb::parallel_for(
            std::size_t{0}, count, [&](std::size_t i) { body(context, i); }, tbb::simple_partitioner());
      });
    };
    return hooks;
  }

 private:
  tbb::task_arena arena_;
};

}  // namespace kinglet::test

// tests/cuda/forced.cpp: how do the engine's tests come to run on the emulated GPU?
//
// KINGLET_BACKEND=cuda, or the name "cuda", finds it as if it were of this build. The linker puts these in place of the
// library's own list (tests/CMakeLists.txt).
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/cuda/emulated.hpp"

namespace kinglet::ops {

Result<const BackendInfo*> real_find(const char* name) noexcept __asm__("__real__ZN7kinglet3ops12find_backendEPKc");
Result<const BackendInfo*> wrap_find(const char* name) noexcept __asm__("__wrap__ZN7kinglet3ops12find_backendEPKc");

namespace {

/// The computer that the tests run on. What a test left there, or did wrong, fails the program at its end.
struct Forced {
  emulator::Machine machine{std::size_t{1} << 30, false};

  ~Forced() {
    const std::string wrong = machine.device.reports.text();
    if (wrong.empty() && machine.device.allocations() == 0 && machine.pinned == 0 && machine.opened == 0 &&
        machine.graphs == 0 && machine.launches["embed"] > 0) {
      return;
    }
    std::fprintf(stderr, "the emulated GPU: %zu allocations, %zu bytes pinned, %d open, %d graphs are left\n%s",
                 machine.device.allocations(), machine.pinned, machine.opened, machine.graphs, wrong.c_str());
    std::_Exit(1);
  }
};

}  // namespace

Result<const BackendInfo*> wrap_find(const char* name) noexcept {
  if (std::strcmp(name, "cuda") != 0) return real_find(name);
  static Forced forced;
  return &test::emulated_cuda;
}

}  // namespace kinglet::ops

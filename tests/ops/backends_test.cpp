#include <array>
#include <string>
#if defined(__linux__)
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <kinglet/ops/backend.hpp>

#include "ops/cpu_features.hpp"
#include "tests/catch.hpp"

using namespace kinglet;
using namespace kinglet::ops;

TEST_CASE("the best backend of this machine, and each by its name") {
  const auto best = find_backend("");
  REQUIRE(best);
  CHECK((*best)->available());
  bool first = true;
  for (const BackendInfo& info : backends()) {
    const auto found = find_backend(info.name);
    if (info.available()) {
      REQUIRE(found);
      CHECK(*found == &info);
      if (first) CHECK(*best == &info);  // they are listed best first
      first = false;
    } else {
      CHECK(found.error().code == Errc::backend);
      CHECK(std::string(found.error().message).find(info.instruction_set) != std::string::npos);
    }
    CHECK(info.memory(0).total >= info.memory(0).free);
    CHECK(info.memory(0).total > 0);
  }
  CHECK(find_backend("scalar"));
}

TEST_CASE("an unknown name is an error that lists those there are") {
  const auto found = find_backend("abacus");
  REQUIRE_FALSE(found);
  CHECK(found.error().code == Errc::not_found);
  const std::string message = found.error().message;
  CHECK(message.find("abacus") != std::string::npos);
  for (const BackendInfo& info : backends()) CHECK(message.find(info.name) != std::string::npos);
  CHECK(find_backend(std::string(5000, 'x').c_str()).error().code == Errc::not_found);
}

#if defined(__x86_64__)
TEST_CASE("what CPUID says agrees with the compiler's own reading") {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  CHECK(cpu_features().avx2 == avx2);
  const bool avx512 = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                      __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
                      __builtin_cpu_supports("avx512vnni") != 0;
  CHECK(cpu_features().avx512 == (avx2 && avx512));
}

#if defined(__linux__)
TEST_CASE("tiles are used only with the system's leave") {
  if (may_use_tiles()) {
    CHECK((cpu_features().amx && cpu_features().avx512));
    unsigned long leave = 0;
    REQUIRE(::syscall(SYS_arch_prctl, 0x1022, &leave) == 0);  // ARCH_GET_XCOMP_PERM
    CHECK((leave >> 18 & 1) == 1);
    std::array<char, 8192> small{};
    const stack_t stack{small.data(), 0, small.size()};
    CHECK(::sigaltstack(&stack, nullptr) != 0);  // as the documents warn
  } else {
    const auto found = find_backend("amx");
    REQUIRE_FALSE(found);
    CHECK(std::string(found.error().message).find("AMX") != std::string::npos);
  }
}
#endif
#endif

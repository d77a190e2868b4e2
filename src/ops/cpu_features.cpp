// ops/cpu_features.cpp: what do CPUID and the operating system say?
#include "ops/cpu_features.hpp"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace kinglet::ops {

#if defined(__x86_64__)
namespace {

constexpr bool has(std::uint32_t word, unsigned bit) { return ((word >> bit) & 1u) != 0; }

/// XCR0: the register states that the operating system saves. Only where CPUID says OSXSAVE.
std::uint32_t saved_states() noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

// Bits: Intel 64 Software Developer's Manual, volume 2, CPUID, leaves 0, 1 and 7.
CpuFeatures cpu_features() noexcept {
  CpuFeatures features;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  std::uint32_t c = 0;
  std::uint32_t d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) return features;
  const bool intel = b == signature_INTEL_ebx;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !has(c, 27)) return features;
  const bool fma = has(c, 12);
  const bool f16c = has(c, 29);
  const std::uint32_t saved = saved_states();
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return features;
  constexpr std::uint32_t ymm = 0x06;  // SSE and AVX
  constexpr std::uint32_t zmm = 0xe6;  // and the masks, the upper halves, the upper registers
  features.avx2 = fma && f16c && has(b, 5) && (saved & ymm) == ymm;
  const bool avx512 = has(b, 16) && has(b, 17) && has(b, 30) && has(b, 31) && has(c, 11);  // F, DQ, BW, VL; VNNI
  features.avx512 = features.avx2 && avx512 && (saved & zmm) == zmm;
  features.fetch = intel || !avx512;
  constexpr std::uint32_t tiles = 0x60000;  // their configuration and their data
  features.amx = features.avx512 && has(d, 24) && has(d, 25) && (saved & tiles) == tiles;
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) features.avx_vnni = features.avx2 && has(a, 4);
  return features;
}

// Documentation/arch/x86/xstate.rst of Linux.
bool may_use_tiles() noexcept {
#if defined(__linux__)
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return cpu_features().amx && ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

#elif defined(__aarch64__) && defined(__linux__)

// Linux's asm/hwcap.h of arm64, by number: not all C libraries have the newer names.
CpuFeatures cpu_features() noexcept {
  constexpr unsigned long dot = 1ul << 20, i8mm = 1ul << 13;  // HWCAP_ASIMDDP, HWCAP2_I8MM
  CpuFeatures features;
  features.dot = (getauxval(AT_HWCAP) & dot) != 0;
  features.i8mm = features.dot && (getauxval(AT_HWCAP2) & i8mm) != 0;
  return features;
}

#else

CpuFeatures cpu_features() noexcept { return {}; }

#endif

}  // namespace kinglet::ops

// examples/cli/limit_loops.cpp: which loops show what one core can give at most?
//
// As in limit_loops_x86.cpp, inputs pass through an empty asm statement in every round.
#include "limit_loops.hpp"

#include <cstring>

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace kinglet::cli {
namespace {

constexpr std::size_t line = 64;

#if defined(__aarch64__)

constexpr int chains = 12;
constexpr int groups = 8;

#if defined(__clang__)
#define KINGLET_LIMIT_DOT __attribute__((target("dotprod")))
#else
#define KINGLET_LIMIT_DOT __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

KINGLET_LIMIT_DOT std::uint32_t dot_neon(std::uint64_t rounds) noexcept {
  int32x4_t sum[chains];
  int8x16_t a = vdupq_n_s8(3);
  int8x16_t b = vdupq_n_s8(1);
  for (int i = 0; i < chains; ++i) sum[i] = vdupq_n_s32(i);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+w"(a), "+w"(b));
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = vdotq_s32(sum[i], a, b);
  }
  for (int i = 1; i < chains; ++i) sum[0] = vaddq_s32(sum[0], sum[i]);
  return static_cast<std::uint32_t>(vaddvq_s32(sum[0]));
}

KINGLET_LIMIT_DOT std::uint32_t group32_neon(std::uint64_t rounds) noexcept {
  float32x4_t acc[groups];
  int8x16_t b[groups];
  int8x16_t a = vdupq_n_s8(3);
  float32x4_t scale = vdupq_n_f32(1e-6f);
  for (int i = 0; i < groups; ++i) {
    acc[i] = vdupq_n_f32(0.0f);
    b[i] = vdupq_n_s8(static_cast<std::int8_t>(i + 1));
  }
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+w"(a), "+w"(scale));
    int32x4_t sum[groups];
#pragma GCC unroll 8
    for (int i = 0; i < groups; ++i) sum[i] = vdotq_s32(vdupq_n_s32(0), a, b[i]);
#pragma GCC unroll 8
    for (int k = 1; k < 8; ++k) {
#pragma GCC unroll 8
      for (int i = 0; i < groups; ++i) sum[i] = vdotq_s32(sum[i], a, b[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < groups; ++i) acc[i] = vfmaq_f32(acc[i], vcvtq_f32_s32(sum[i]), scale);
  }
  for (int i = 1; i < groups; ++i) acc[0] = vaddq_f32(acc[0], acc[i]);
  return vaddvq_f32(acc[0]) > 1.0f ? 1 : 0;
}

std::uint32_t fp32_neon(std::uint64_t rounds) noexcept {
  float32x4_t sum[chains];
  float32x4_t a = vdupq_n_f32(0.5f);
  float32x4_t b = vdupq_n_f32(0.25f);
  for (int i = 0; i < chains; ++i) sum[i] = vdupq_n_f32(static_cast<float>(i));
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+w"(a), "+w"(b));
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = vfmaq_f32(sum[i], a, b);
  }
  for (int i = 1; i < chains; ++i) sum[0] = vaddq_f32(sum[0], sum[i]);
  return vaddvq_f32(sum[0]) > 1.0f ? 1 : 0;
}

constexpr ComputeLoop dots_neon[] = {{dot_neon, 2.0 * 16 * chains}};
constexpr ComputeLoop groups_neon[] = {{group32_neon, 2.0 * 16 * 8 * groups}};
constexpr ComputeLoop fp32s_neon[] = {{fp32_neon, 2.0 * 4 * chains}};

#endif

// --- portable: what the compiler makes of it

std::uint32_t dot_portable(std::uint64_t rounds) noexcept {
  std::int32_t sum[64] = {};
  std::int8_t a[64];
  std::int8_t b[64];
  std::memset(a, 3, sizeof a);
  std::memset(b, 1, sizeof b);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : : "r"(a), "r"(b) : "memory");
    for (int i = 0; i < 64; ++i) sum[i] += a[i] * b[i];
  }
  std::int32_t all = 0;
  for (const std::int32_t s : sum) all += s;
  return static_cast<std::uint32_t>(all);
}

std::uint32_t group32_portable(std::uint64_t rounds) noexcept {
  float acc[16] = {};
  std::int8_t a[512];
  std::int8_t b[512];
  std::memset(a, 3, sizeof a);
  std::memset(b, 1, sizeof b);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : : "r"(a), "r"(b) : "memory");
    std::int32_t sum[16] = {};
    for (int k = 0; k < 32; ++k)
      for (int i = 0; i < 16; ++i) sum[i] += a[k * 16 + i] * b[k * 16 + i];
    for (int i = 0; i < 16; ++i) acc[i] += static_cast<float>(sum[i]) * 1e-6f;
  }
  float all = 0;
  for (const float s : acc) all += s;
  return all > 1.0f ? 1 : 0;
}

std::uint32_t fp32_portable(std::uint64_t rounds) noexcept {
  float sum[48] = {};
  float a = 0.5f;
  float b = 0.25f;
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+m"(a), "+m"(b));
    for (float& s : sum) s += a * b;
  }
  float all = 0;
  for (const float s : sum) all += s;
  return all > 1.0f ? 1 : 0;
}

template <std::size_t streams, std::size_t ahead>
std::uint64_t read_portable(const std::byte* data, std::size_t bytes) noexcept {
  const std::size_t part = bytes / streams;
  std::uint64_t sum[8] = {};
  for (std::size_t at = 0; at < part; at += line) {
    for (std::size_t s = 0; s < streams; ++s) {
      const std::byte* from = data + s * part + at;
      if constexpr (ahead != 0) __builtin_prefetch(from + ahead);
      std::uint64_t words[8];
      std::memcpy(words, from, line);
      for (int i = 0; i < 8; ++i) sum[i] += words[i];
    }
  }
  std::uint64_t all = 0;
  for (const std::uint64_t s : sum) all += s;
  return all;
}

constexpr ComputeLoop dots_portable[] = {{dot_portable, 2.0 * 64}};
constexpr ComputeLoop groups_portable[] = {{group32_portable, 2.0 * 512}};
constexpr ComputeLoop fp32s_portable[] = {{fp32_portable, 2.0 * 48}};
constexpr ReadLoop reads_portable[] = {read_portable<1, 0>, read_portable<1, 2048>, read_portable<2, 0>};

}  // namespace

#if defined(__aarch64__)
LimitLoops native_loops(std::string_view backend) noexcept {
  if (backend != "neon") return {};
  return {"sdot", dots_neon, groups_neon, fp32s_neon, reads_portable};
}
#elif !defined(__x86_64__)
LimitLoops native_loops(std::string_view) noexcept { return {}; }
#endif

LimitLoops limit_loops(std::string_view backend) noexcept {
  const LimitLoops native = backend == "amx" ? tile_loops() : native_loops(backend);
  if (!native.dot.empty()) return native;
  return {"what the compiler makes of plain loops", dots_portable, groups_portable, fp32s_portable, reads_portable};
}

}  // namespace kinglet::cli

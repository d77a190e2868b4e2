// examples/cli/limit_loops_x86.cpp: which loops show what one core of an x86 processor can give at most?
//
// Inputs pass through an empty asm statement in every round: the compiler must take them for new, and can move nothing
// out of the loop. Chains: 12 for the plain loops (latency 4, up to two a cycle, and spare), 8 groups side by side.
#include "limit_loops.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own header (its bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace kinglet::cli {
namespace {

constexpr int chains = 12;
constexpr int groups = 8;
constexpr std::size_t line = 64;

#define KINGLET_LIMIT_AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define KINGLET_LIMIT_AVX_VNNI __attribute__((target("avx2,fma,avxvnni")))
#define KINGLET_LIMIT_AVX2 __attribute__((target("avx2,fma")))

// --- AVX-512: sixteen outputs, four products of each an instruction

KINGLET_LIMIT_AVX512 std::uint32_t dot_avx512(std::uint64_t rounds) noexcept {
  __m512i sum[chains];
  __m512i a = _mm512_set1_epi32(0x01020301);
  __m512i b = _mm512_set1_epi32(0x02010102);
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) {
    sum[i] = _mm512_set1_epi32(i);
    __asm__ volatile("" : "+v"(sum[i]));
  }
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
  }
#pragma GCC unroll 12
  for (int i = 1; i < chains; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  return static_cast<std::uint32_t>(_mm512_reduce_add_epi32(sum[0]));
}

KINGLET_LIMIT_AVX512 std::uint32_t group32_avx512(std::uint64_t rounds) noexcept {
  __m512 acc[groups];
  __m512i b[groups];
  __m512i a = _mm512_set1_epi32(0x01020301);
  __m512 scale = _mm512_set1_ps(1e-6f);
#pragma GCC unroll 12
  for (int i = 0; i < groups; ++i) {
    acc[i] = _mm512_setzero_ps();
    b[i] = _mm512_set1_epi32(0x02010102 + i);
  }
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+v"(a), "+v"(scale));
    __m512i sum[groups];
#pragma GCC unroll 8
    for (int i = 0; i < groups; ++i) sum[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), a, b[i]);
#pragma GCC unroll 8
    for (int k = 1; k < 8; ++k) {
#pragma GCC unroll 8
      for (int i = 0; i < groups; ++i) sum[i] = _mm512_dpbusd_epi32(sum[i], a, b[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < groups; ++i) acc[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[i]), scale, acc[i]);
  }
#pragma GCC unroll 12
  for (int i = 1; i < groups; ++i) acc[0] = _mm512_add_ps(acc[0], acc[i]);
  return static_cast<std::uint32_t>(_mm512_reduce_add_ps(acc[0]) > 1.0f);
}

KINGLET_LIMIT_AVX512 std::uint32_t fp32_avx512(std::uint64_t rounds) noexcept {
  __m512 sum[chains];
  __m512 a = _mm512_set1_ps(0.5f);
  __m512 b = _mm512_set1_ps(0.25f);
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) {
    sum[i] = _mm512_set1_ps(static_cast<float>(i));
    __asm__ volatile("" : "+v"(sum[i]));
  }
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = _mm512_fmadd_ps(a, b, sum[i]);
  }
#pragma GCC unroll 12
  for (int i = 1; i < chains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return static_cast<std::uint32_t>(_mm512_reduce_add_ps(sum[0]) > 1.0f);
}

// --- AVX-VNNI: eight outputs, four products of each an instruction

KINGLET_LIMIT_AVX_VNNI std::uint32_t dot_avx_vnni(std::uint64_t rounds) noexcept {
  __m256i sum[chains];
  __m256i a = _mm256_set1_epi32(0x01020301);
  __m256i b = _mm256_set1_epi32(0x02010102);
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) {
    sum[i] = _mm256_set1_epi32(i);
    __asm__ volatile("" : "+x"(sum[i]));
  }
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, b);
  }
#pragma GCC unroll 12
  for (int i = 1; i < chains; ++i) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
  return static_cast<std::uint32_t>(_mm256_extract_epi32(sum[0], 0));
}

/// Four groups at a time: their sums, their accumulators and the inputs fill the sixteen registers.
KINGLET_LIMIT_AVX_VNNI std::uint32_t group32_avx_vnni(std::uint64_t rounds) noexcept {
  constexpr int some = 4;
  __m256 acc[some];
  __m256i b[some];
  __m256i a = _mm256_set1_epi32(0x01020301);
  __m256 scale = _mm256_set1_ps(1e-6f);
#pragma GCC unroll 12
  for (int i = 0; i < some; ++i) {
    acc[i] = _mm256_setzero_ps();
    b[i] = _mm256_set1_epi32(0x02010102 + i);
  }
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+x"(a), "+x"(scale));
    __m256i sum[some];
#pragma GCC unroll 4
    for (int i = 0; i < some; ++i) sum[i] = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), a, b[i]);
#pragma GCC unroll 8
    for (int k = 1; k < 8; ++k) {
#pragma GCC unroll 4
      for (int i = 0; i < some; ++i) sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, b[i]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < some; ++i) acc[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[i]), scale, acc[i]);
  }
#pragma GCC unroll 12
  for (int i = 1; i < some; ++i) acc[0] = _mm256_add_ps(acc[0], acc[i]);
  return static_cast<std::uint32_t>(_mm256_cvtss_f32(acc[0]) > 1.0f);
}

// --- AVX2: vpmaddubsw and vpmaddwd

/// The instruction itself, so that each one counts although all give the same.
KINGLET_LIMIT_AVX2 inline __m256i maddubs(__m256i a) noexcept {
  __m256i product;
  __asm__ volatile("vpmaddubsw %1, %1, %0" : "=x"(product) : "x"(a));
  return product;
}

KINGLET_LIMIT_AVX2 std::uint32_t dot_avx2(std::uint64_t rounds) noexcept {
  constexpr int some = 8;
  __m256i sum[some];
  __m256i a = _mm256_set1_epi32(0x01020301);
  __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 12
  for (int i = 0; i < some; ++i) {
    sum[i] = _mm256_set1_epi32(i);
    __asm__ volatile("" : "+x"(sum[i]));
  }
  for (std::uint64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 8
    for (int i = 0; i < some; ++i) {
      sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(maddubs(a), ones));
    }
  }
#pragma GCC unroll 12
  for (int i = 1; i < some; ++i) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
  return static_cast<std::uint32_t>(_mm256_extract_epi32(sum[0], 0));
}

/// A group's sum of 32 products for each of eight outputs.
/// @param wide  each product is widened on its own, as 8-bit weights need it; else eight are added in 16 bits before,
///              which those of 4-bit weights fit
template <bool wide>
KINGLET_LIMIT_AVX2 inline __m256i group_avx2(__m256i a, __m256i ones) noexcept {
  __m256i sum = wide ? _mm256_madd_epi16(maddubs(a), ones) : maddubs(a);
#pragma GCC unroll 8
  for (int k = 1; k < 8; ++k)
    sum = wide ? _mm256_add_epi32(sum, _mm256_madd_epi16(maddubs(a), ones)) : _mm256_add_epi16(sum, maddubs(a));
  return wide ? sum : _mm256_madd_epi16(sum, ones);
}

KINGLET_LIMIT_AVX2 std::uint32_t dot_in_groups_avx2(std::uint64_t rounds) noexcept {
  __m256i total = _mm256_setzero_si256();
  const __m256i a = _mm256_set1_epi32(0x01020301);
  const __m256i ones = _mm256_set1_epi16(1);
  for (std::uint64_t r = 0; r < rounds; ++r) total = _mm256_add_epi32(total, group_avx2<false>(a, ones));
  return static_cast<std::uint32_t>(_mm256_extract_epi32(total, 0));
}

/// Eight groups side by side; which of them are at work at once is the processor's choice.
template <bool wide>
KINGLET_LIMIT_AVX2 std::uint32_t group32_avx2(std::uint64_t rounds) noexcept {
  __m256 acc[groups];
  const __m256i a = _mm256_set1_epi32(0x01020301);
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256 scale = _mm256_set1_ps(1e-6f);
#pragma GCC unroll 8
  for (int i = 0; i < groups; ++i) acc[i] = _mm256_setzero_ps();
  for (std::uint64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 8
    for (int i = 0; i < groups; ++i)
      acc[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(group_avx2<wide>(a, ones)), scale, acc[i]);
  }
#pragma GCC unroll 8
  for (int i = 1; i < groups; ++i) acc[0] = _mm256_add_ps(acc[0], acc[i]);
  return static_cast<std::uint32_t>(_mm256_cvtss_f32(acc[0]) > 1.0f);
}

KINGLET_LIMIT_AVX2 std::uint32_t fp32_avx2(std::uint64_t rounds) noexcept {
  __m256 sum[chains];
  __m256 a = _mm256_set1_ps(0.5f);
  __m256 b = _mm256_set1_ps(0.25f);
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) {
    sum[i] = _mm256_set1_ps(static_cast<float>(i));
    __asm__ volatile("" : "+x"(sum[i]));
  }
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = _mm256_fmadd_ps(a, b, sum[i]);
  }
#pragma GCC unroll 12
  for (int i = 1; i < chains; ++i) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  return static_cast<std::uint32_t>(_mm256_cvtss_f32(sum[0]) > 1.0f);
}

/// Four cache lines from each of `streams` equal parts a turn.
/// @param ahead  bytes between what is read and what is fetched; 0 = the hardware's own fetching
template <std::size_t streams, std::size_t ahead>
KINGLET_LIMIT_AVX2 std::uint64_t read_avx2(const std::byte* data, std::size_t bytes) noexcept {
  const std::size_t part = bytes / streams;
  __m256i sum[4] = {};
  for (std::size_t at = 0; at < part; at += 4 * line) {
#pragma GCC unroll 2
    for (std::size_t s = 0; s < streams; ++s) {
      const std::byte* from = data + s * part + at;
#pragma GCC unroll 4
      for (std::size_t l = 0; l < 4; ++l) {
        if constexpr (ahead != 0) _mm_prefetch(reinterpret_cast<const char*>(from + l * line + ahead), _MM_HINT_T0);
        const auto* lines = reinterpret_cast<const __m256i*>(from + l * line);
        sum[l] = _mm256_add_epi64(sum[l], _mm256_loadu_si256(lines));
        sum[l] = _mm256_xor_si256(sum[l], _mm256_loadu_si256(lines + 1));
      }
    }
  }
  const __m256i all = _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
  return static_cast<std::uint64_t>(_mm256_extract_epi64(all, 0) ^ _mm256_extract_epi64(all, 1) ^
                                    _mm256_extract_epi64(all, 2) ^ _mm256_extract_epi64(all, 3));
}

constexpr ComputeLoop dots_avx512[] = {{dot_avx512, 2.0 * 64 * chains}};
constexpr ComputeLoop groups_avx512[] = {{group32_avx512, 2.0 * 64 * 8 * groups}};
constexpr ComputeLoop fp32s_avx512[] = {{fp32_avx512, 2.0 * 16 * chains}};
constexpr ComputeLoop dots_avx_vnni[] = {{dot_avx_vnni, 2.0 * 32 * chains}};
constexpr ComputeLoop groups_avx_vnni[] = {{group32_avx_vnni, 2.0 * 32 * 8 * 4}};
constexpr ComputeLoop dots_avx2[] = {{dot_avx2, 2.0 * 32 * 8}, {dot_in_groups_avx2, 2.0 * 32 * 8}};
constexpr ComputeLoop groups_avx2[] = {{group32_avx2<true>, 2.0 * 32 * 8 * groups},
                                       {group32_avx2<false>, 2.0 * 32 * 8 * groups}};
constexpr ComputeLoop fp32s_avx2[] = {{fp32_avx2, 2.0 * 8 * chains}};
constexpr ReadLoop reads_avx2[] = {read_avx2<1, 0>, read_avx2<1, 2048>, read_avx2<1, 8192>, read_avx2<2, 0>};

/// CPUID leaf 7.1, EAX bit 4 (Intel 64 Software Developer's Manual, volume 2).
bool has_avx_vnni() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1u) != 0;
}

}  // namespace

LimitLoops native_loops(std::string_view backend) noexcept {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return {};
  if (backend == "avx512" && __builtin_cpu_supports("avx512vnni"))
    return {"vpdpbusd of 512 bits", dots_avx512, groups_avx512, fp32s_avx512, reads_avx2};
  if (backend != "avx2") return {};
  if (has_avx_vnni()) return {"vpdpbusd of 256 bits", dots_avx_vnni, groups_avx_vnni, fp32s_avx2, reads_avx2};
  return {"vpmaddubsw and vpmaddwd", dots_avx2, groups_avx2, fp32s_avx2, reads_avx2};
}

}  // namespace kinglet::cli

#endif

// examples/cli/limit_loops_amx.cpp: which loops show what the tiles of one x86 core can give at most?
#include <kinglet/ops/backend.hpp>

#include "limit_loops.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own header (its bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace kinglet::cli {
namespace {

#define KINGLET_LIMIT_AMX __attribute__((target("avx2,fma,avx512f,amx-tile,amx-int8")))

/// All tiles [16][64]; 4 and 5, a left operand, of `columns` bytes, and 6 and 7, a right one, of as many by 16.
KINGLET_LIMIT_AMX void configure(std::uint8_t columns) noexcept {
  struct alignas(64) {
    std::uint8_t palette, start, reserved[14];
    std::uint16_t row_bytes[16];
    std::uint8_t rows[16];
  } config{1, 0, {}, {}, {}};
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = i == 4 || i == 5 ? columns : 64;
    config.rows[i] = i < 6 ? 16 : columns / 4;
  }
  __asm__ volatile("ldtilecfg %0" : : "m"(config));  // GCC 12's intrinsic lets the compiler drop all but 8 bytes of it
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

KINGLET_LIMIT_AMX std::uint32_t dot_amx(std::uint64_t rounds) noexcept {
  alignas(64) std::int32_t sums[4][16][16];
  configure(64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::uint64_t r = 0; r < rounds; ++r) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 5, 6);
    _tile_dpbssd(2, 4, 7);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_stored(0, sums[0], 64);
  _tile_stored(1, sums[1], 64);
  _tile_stored(2, sums[2], 64);
  _tile_stored(3, sums[3], 64);
  _tile_release();
  return static_cast<std::uint32_t>(sums[0][0][0] + sums[1][0][0] + sums[2][0][0] + sums[3][0][0]);
}

/// Sums leave a tile through memory only: they are stored, and sixteen rows of them read, converted and added.
KINGLET_LIMIT_AMX std::uint32_t group32_amx(std::uint64_t rounds) noexcept {
  alignas(64) std::int32_t sums[4][16][16] = {};
  __m512 acc[16];
  __m512 scale = _mm512_set1_ps(1e-6f);
#pragma GCC unroll 16
  for (__m512& a : acc) a = _mm512_setzero_ps();
  configure(32);
  const auto take = [&](const std::int32_t(&from)[16][16]) KINGLET_LIMIT_AMX {
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) {
      acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(from[r])), scale, acc[r]);
    }
  };
  for (std::uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+v"(scale));
    _tile_zero(0);
    _tile_dpbssd(0, 4, 6);
    _tile_stored(0, sums[0], 64);
    take(sums[2]);
    _tile_zero(1);
    _tile_dpbssd(1, 5, 6);
    _tile_stored(1, sums[1], 64);
    take(sums[3]);
    _tile_zero(2);
    _tile_dpbssd(2, 4, 7);
    _tile_stored(2, sums[2], 64);
    take(sums[0]);
    _tile_zero(3);
    _tile_dpbssd(3, 5, 7);
    _tile_stored(3, sums[3], 64);
    take(sums[1]);
  }
  _tile_release();
#pragma GCC unroll 16
  for (int i = 1; i < 16; ++i) acc[0] = _mm512_add_ps(acc[0], acc[i]);
  return static_cast<std::uint32_t>(_mm512_reduce_add_ps(acc[0]) > 1.0f);
}

constexpr ComputeLoop dots_amx[] = {{dot_amx, 2.0 * 16 * 16 * 64 * 4}};
constexpr ComputeLoop groups_amx[] = {{group32_amx, 2.0 * 16 * 16 * 32 * 4}};

}  // namespace

LimitLoops tile_loops() noexcept {
  const auto backend = ops::find_backend("amx");
  if (!backend) return {};
  LimitLoops loops = native_loops("avx512");
  loops.instruction = "tdpbssd";
  loops.dot = dots_amx;
  loops.group32 = groups_amx;
  return loops;
}

}  // namespace kinglet::cli

#else

namespace kinglet::cli {
LimitLoops tile_loops() noexcept { return {}; }
}  // namespace kinglet::cli

#endif

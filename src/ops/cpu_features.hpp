// ops/cpu_features.hpp: what may this process use of its processor?
#pragma once

namespace kinglet::ops {

struct CpuFeatures {
  bool avx2 = false;      ///< AVX2, FMA and F16C, and the system saves their registers
  bool avx_vnni = false;  ///< avx2, and VNNI on 256 bits in AVX's encoding
  bool avx512 = false;    ///< avx2, and AVX-512 F, BW, DQ, VL and VNNI, and the system saves their registers
  bool amx = false;       ///< avx512, and tiles of bytes (AMX), and the system saves them
  bool fetch = false;     ///< x86 but for Zen 4 and later: fetching far ahead gives more than its own prefetching does
  bool dot = false;       ///< AArch64: dot products of bytes (FEAT_DotProd)
  bool i8mm = false;      ///< dot, and matrix products of bytes (FEAT_I8MM)
};

CpuFeatures cpu_features() noexcept;

#if defined(__x86_64__)
/// Asks the system for the tiles, which a process must before it uses them; false too where there are none. From then
/// on it refuses alternate signal stacks without room for them (8 KiB); a process that has one is refused the tiles.
bool may_use_tiles() noexcept;
#endif

}  // namespace kinglet::ops

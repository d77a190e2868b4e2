// ops/cpu_features.hpp: which vector instructions may this process use?
#pragma once

namespace kinglet::ops {

struct CpuFeatures {
  bool avx2 = false;    ///< AVX2, FMA and F16C, and the system saves their registers
  bool avx512 = false;  ///< avx2, and AVX-512 F, BW, DQ, VL and VNNI, and the system saves their registers
};

CpuFeatures cpu_features() noexcept;

}  // namespace kinglet::ops

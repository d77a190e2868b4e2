// ops/cpu_features.hpp: which vector instructions may this process use?
#pragma once

namespace kinglet::ops {

struct CpuFeatures {
  bool avx2 = false;      ///< AVX2, FMA and F16C, and the system saves their registers
  bool avx_vnni = false;  ///< avx2, and VNNI on 256 bits in AVX's encoding
  bool avx512 = false;    ///< avx2, and AVX-512 F, BW, DQ, VL and VNNI, and the system saves their registers
  bool fetch = false;     ///< Intel: its own prefetching of one stream gives half of what fetching far ahead gives
  bool dot = false;       ///< AArch64: dot products of bytes (FEAT_DotProd)
  bool i8mm = false;      ///< dot, and matrix products of bytes (FEAT_I8MM)
};

CpuFeatures cpu_features() noexcept;

}  // namespace kinglet::ops

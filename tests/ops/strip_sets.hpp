// tests/ops/strip_sets.hpp: which kernels over strips can this machine run, and what can they be given?
#pragma once
#include <cstddef>
#include <random>
#include <vector>

#include <kinglet/quant/format.hpp>

#include "ops/cpu_features.hpp"
#include "ops/kernels/packed.hpp"

namespace kinglet::test {

struct StripSet {
  const char* name;
  const ops::StripKernels& (*strips)() noexcept;
};

inline std::vector<StripSet> strip_sets() {
  using namespace ops;
  std::vector<StripSet> all{{"scalar", scalar::strip_kernels}};
#if defined(__x86_64__)
  if (cpu_features().avx2) {
    all.push_back({"avx2", avx2::strip_kernels});
    all.push_back({"avx2, fetching", avx2::fetching_strip_kernels});
  }
  if (cpu_features().avx_vnni) {
    all.push_back({"avx2 with AVX-VNNI", avx_vnni::strip_kernels});
    all.push_back({"avx2 with AVX-VNNI, fetching", avx_vnni::fetching_strip_kernels});
  }
  if (cpu_features().avx512) {
    all.push_back({"avx512", avx512::strip_kernels});
    all.push_back({"avx512, fetching", avx512::fetching_strip_kernels});
    if (may_use_tiles()) all.push_back({"amx", amx::strip_kernels});
  }
#elif defined(__aarch64__)
  all.push_back({"neon", neon::strip_kernels});
  if (cpu_features().dot) all.push_back({"neon with dot products", neon_dot::strip_kernels});
  if (cpu_features().i8mm) all.push_back({"neon with matrix products", neon_i8mm::strip_kernels});
#endif
  return all;
}

/// Random blocks whose scales are finite.
inline std::vector<std::byte> random_rows(quant::Format format, std::size_t rows, std::size_t cols,
                                          std::mt19937& random) {
  const quant::FormatInfo& f = quant::info(format);
  std::vector<std::byte> data(rows * quant::format_bytes(format, cols));
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  const auto finite = [](std::byte& high) { high &= std::byte{0xbb}; };  // the exponent's bit 4 goes
  for (std::size_t at = 0; at < data.size(); at += f.block_bytes) {
    if (format == quant::Format::q6_k) {
      finite(data[at + 209]);
    } else {
      finite(data[at + 1]);
      if (format != quant::Format::q4_0 && format != quant::Format::iq4_nl) finite(data[at + 3]);
    }
  }
  return data;
}

}  // namespace kinglet::test

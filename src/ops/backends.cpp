// ops/backends.cpp: which backends are compiled in, and which of them can this machine run?
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "core/fail.hpp"
#include "ops/cpu_backend.hpp"
#include "ops/cpu_features.hpp"
#if defined(KINGLET_CUDA_BACKEND)
#include "cuda/info.hpp"
#endif

namespace kinglet::ops {
namespace {

DeviceMemory host_memory(std::uint32_t) noexcept {
  const long page = ::sysconf(_SC_PAGESIZE), total = ::sysconf(_SC_PHYS_PAGES), free = ::sysconf(_SC_AVPHYS_PAGES);
  if (page < 0 || total < 0 || free < 0) return {};
  return {static_cast<std::uint64_t>(total) * static_cast<std::uint64_t>(page),
          static_cast<std::uint64_t>(free) * static_cast<std::uint64_t>(page)};
}

Error lacking(const char* name, const char* instruction_set) noexcept {
  return core::fail(Errc::backend, "backend '{}' needs {}, which this machine lacks; leave the choice to the library",
                    name, instruction_set);
}

template <const CpuBackend::Isa& isa>
constexpr BackendInfo cpu(const char* description, const char* instruction_set, bool (*available)() noexcept,
                          Error (*fault)() noexcept = nullptr) {
  return {isa.name,
          description,
          instruction_set,
          false,
          available,
          fault,
          host_memory,
          CpuBackend::bytes,
          CpuBackend::placed_bytes,
          [](const ContextShape& shape, const Hooks& hooks, core::Memory& memory) noexcept {
            return CpuBackend::create(isa, shape, hooks, memory);
          },
          CpuBackend::destroy,
          true,
          CpuBackend::bytes_beside,
          CpuBackend::create_beside};
}

constexpr CpuBackend::Isa scalar_isa{"scalar", scalar::kernels, scalar::strip_kernels};
#if defined(__x86_64__)
/// The same bits from either.
const StripKernels& avx2_strips() noexcept {
  const CpuFeatures cpu = cpu_features();
  if (cpu.avx_vnni) return cpu.fetch ? avx_vnni::fetching_strip_kernels() : avx_vnni::strip_kernels();
  return cpu.fetch ? avx2::fetching_strip_kernels() : avx2::strip_kernels();
}
const StripKernels& avx512_strips() noexcept {
  return cpu_features().fetch ? avx512::fetching_strip_kernels() : avx512::strip_kernels();
}
constexpr CpuBackend::Isa avx2_isa{"avx2", avx2::kernels, avx2_strips};
constexpr const char* tiles_need = "AMX of bytes, and AVX-512 with VNNI";
Error no_tiles() noexcept {
  if (!cpu_features().amx) return lacking("amx", tiles_need);
  return core::fail(
      Errc::backend,
      "the system refuses AMX's tiles to this process: some thread's alternate signal stack has no room for "
      "them (sysconf(_SC_SIGSTKSZ)), or it may not ask; use avx512");
}
constexpr CpuBackend::Isa amx_isa{"amx", avx512::kernels, amx::strip_kernels};
constexpr CpuBackend::Isa avx512_isa{"avx512", avx512::kernels, avx512_strips};
#elif defined(__aarch64__)
/// The same bits from any.
const StripKernels& neon_strips() noexcept {
  const CpuFeatures cpu = cpu_features();
  return cpu.i8mm ? neon_i8mm::strip_kernels() : cpu.dot ? neon_dot::strip_kernels() : neon::strip_kernels();
}
constexpr CpuBackend::Isa neon_isa{"neon", neon::kernels, neon_strips};
#endif

bool always() noexcept { return true; }

constexpr BackendInfo all[] = {
#if defined(__x86_64__)
    cpu<amx_isa>("x86-64 with tiles of bytes, and 512-bit vectors", tiles_need, may_use_tiles, no_tiles),
    cpu<avx512_isa>("x86-64 with 512-bit vectors and integer dot products", "AVX-512 F, BW, DQ, VL and VNNI",
                    []() noexcept { return cpu_features().avx512; }),
    cpu<avx2_isa>("x86-64 with 256-bit vectors", "AVX2, FMA and F16C", []() noexcept { return cpu_features().avx2; }),
#elif defined(__aarch64__)
    cpu<neon_isa>("AArch64 with 128-bit vectors", "NEON", always),
#endif
    cpu<scalar_isa>("plain C++, for any machine", "none", always),
#if defined(KINGLET_CUDA_BACKEND)
    cuda::backend_info,  // behind one that every machine has: it is used where it is asked for by name
#endif
};

}  // namespace

std::span<const BackendInfo> backends() noexcept { return all; }

Result<const BackendInfo*> find_backend(const char* name) noexcept {
  for (const BackendInfo& backend : all) {
    if (*name == '\0' ? backend.available() : std::strcmp(backend.name, name) == 0) {
      if (backend.available()) return &backend;
      if (backend.fault != nullptr) return backend.fault();
      return lacking(name, backend.instruction_set);
    }
  }
  char names[128] = {};
  auto out = fmt::format_to_n_result<char*>{names, 0};
  for (const BackendInfo& backend : all) {
    out = fmt::format_to_n(out.out, static_cast<std::size_t>(names + sizeof names - 1 - out.out), "{}{}",
                           &backend == all ? "" : ", ", backend.name);
  }
  return core::fail(Errc::not_found, "there is no backend '{:.32}' in this build; it has {}{}", name,
                    std::string_view(names, static_cast<std::size_t>(out.out - names)),
                    std::strcmp(name, "cuda") == 0 ? " (-DKINGLET_CUDA=ON adds cuda)" : "");
}

}  // namespace kinglet::ops

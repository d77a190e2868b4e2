// cuda/info.hpp: the cuda backend's entry in the list of backends
//
// The functions are in runtime.cu, the one file that knows the CUDA runtime.
#pragma once
#include <kinglet/ops/backend.hpp>

namespace kinglet::cuda {

/// Is there a driver, and a device?
bool available() noexcept;
Error fault() noexcept;
ops::DeviceMemory memory(std::uint32_t device) noexcept;
std::size_t bytes(const ops::ContextShape& shape) noexcept;
std::size_t placed_bytes(const ops::ContextShape& shape, const ops::WeightView& weight, ops::WeightUse use) noexcept;
Result<ops::Backend*> create(const ops::ContextShape& shape, const Hooks& hooks, core::Memory& memory) noexcept;
void destroy(ops::Backend* backend, core::Memory& memory) noexcept;
Status lends(const ops::ContextShape& shape, ops::HostMemory memory) noexcept;

inline constexpr ops::BackendInfo backend_info{"cuda",
                                               "NVIDIA GPUs, with the bits of the CPU",
                                               "an NVIDIA GPU of compute capability 7.5 or later and its driver",
                                               true,
                                               available,
                                               fault,
                                               memory,
                                               bytes,
                                               placed_bytes,
                                               create,
                                               destroy,
                                               false,
                                               nullptr,
                                               nullptr,
                                               lends};

}  // namespace kinglet::cuda

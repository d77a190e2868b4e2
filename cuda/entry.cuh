// cuda/entry.cuh: how does an instantiation unit hand out its kernels?
#pragma once
#include "kernels.cuh"

namespace kinglet::cuda {

/// The `__global__` function of a kernel, or null where there is none for the format.
template <KernelKind kind>
const void* entry_of(Format format) noexcept {
  const void* function = nullptr;
  with_kernel<kind>(format, [&]<class Kernel>() { function = reinterpret_cast<const void*>(&entry<Kernel>); });
  return function;
}

// Each in its own unit, so that they compile side by side.
const void* rows_kernel(KernelName name) noexcept;
const void* product_floats_kernel(Format format) noexcept;
const void* product_int8_kernel(Format format) noexcept;
const void* product_fp8_kernel(Format format) noexcept;
const void* product_many_kernel(Format format) noexcept;
const void* product_halves_kernel(Format format) noexcept;

}  // namespace kinglet::cuda

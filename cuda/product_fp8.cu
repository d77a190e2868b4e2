#include "entry.cuh"

namespace kinglet::cuda {

const void* product_fp8_kernel(Format format) noexcept { return entry_of<KernelKind::product_fp8>(format); }

}  // namespace kinglet::cuda

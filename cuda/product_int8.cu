#include "entry.cuh"

namespace kinglet::cuda {

const void* product_int8_kernel(Format format) noexcept { return entry_of<KernelKind::product_int8>(format); }

}  // namespace kinglet::cuda

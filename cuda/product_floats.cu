#include "entry.cuh"

namespace kinglet::cuda {

const void* product_floats_kernel(Format format) noexcept { return entry_of<KernelKind::product_floats>(format); }

}  // namespace kinglet::cuda

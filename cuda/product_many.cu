#include "entry.cuh"

namespace kinglet::cuda {

const void* product_many_kernel(Format format) noexcept { return entry_of<KernelKind::product_many>(format); }

}  // namespace kinglet::cuda

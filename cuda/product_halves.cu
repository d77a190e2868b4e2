#include "entry.cuh"

namespace kinglet::cuda {

const void* product_halves_kernel(Format format) noexcept { return entry_of<KernelKind::product_halves>(format); }

}  // namespace kinglet::cuda

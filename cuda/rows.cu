#include "entry.cuh"

namespace kinglet::cuda {

const void* rows_kernel(KernelName name) noexcept {
  switch (name.kind) {
    case KernelKind::embed: return entry_of<KernelKind::embed>(name.format);
    case KernelKind::prepare_values: return entry_of<KernelKind::prepare_values>(name.format);
    case KernelKind::prepare_int8: return entry_of<KernelKind::prepare_int8>(name.format);
    case KernelKind::prepare_fp8: return entry_of<KernelKind::prepare_fp8>(name.format);
    case KernelKind::prepare_halves: return entry_of<KernelKind::prepare_halves>(name.format);
    case KernelKind::gate: return entry_of<KernelKind::gate>(name.format);
    case KernelKind::rotate: return entry_of<KernelKind::rotate>(name.format);
    case KernelKind::attend: return entry_of<KernelKind::attend>(name.format);
    case KernelKind::merge: return entry_of<KernelKind::merge>(name.format);
    case KernelKind::sample: return entry_of<KernelKind::sample>(name.format);
    default: return nullptr;
  }
}

}  // namespace kinglet::cuda

#include "tests/emulator/driver.hpp"

namespace kinglet::emulator {

bool run_many(const Call& call) { return call.run<cuda::KernelKind::product_many>(); }

}  // namespace kinglet::emulator

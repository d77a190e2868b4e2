#include "tests/emulator/driver.hpp"

namespace kinglet::emulator {

bool run_few(const Call& call) {
  using enum cuda::KernelKind;
  return call.run<product_floats>() || call.run<product_int8>() || call.run<product_fp8>();
}

}  // namespace kinglet::emulator

#include "tests/emulator/driver.hpp"

namespace kinglet::emulator {

bool run_many(const Call& call) {
  using enum cuda::KernelKind;
  return call.run<product_many>() || call.run<product_halves>();
}

}  // namespace kinglet::emulator

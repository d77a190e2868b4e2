#include "tests/emulator/driver.hpp"

namespace kinglet::emulator {

bool run_rows(const Call& call) {
  using enum cuda::KernelKind;
  return call.run<embed>() || call.run<prepare_values>() || call.run<prepare_int8>() || call.run<prepare_fp8>() ||
         call.run<prepare_halves>() || call.run<gate>() || call.run<rotate>() || call.run<attend>() ||
         call.run<merge>() || call.run<sample>();
}

}  // namespace kinglet::emulator

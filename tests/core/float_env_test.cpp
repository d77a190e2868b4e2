#include <kinglet/core/float_env.hpp>

#include <cfenv>

#include "tests/catch.hpp"

using namespace kinglet;

namespace {

/// Divides where no compiler can do it beforehand.
float divide(float a, float b) {
  volatile float x = a, y = b;
  volatile float result = x / y;
  return result;
}

#if defined(__x86_64__)
/// A host that rounds up, flushes subnormal results to zero and reads subnormal numbers as zero.
class HostileHost {
 public:
  HostileHost() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80 | 0x8000 | 0x0040 | 0x4000); }
  ~HostileHost() { _mm_setcsr(saved_); }
  unsigned now() const { return _mm_getcsr(); }

 private:
  unsigned saved_;
};
#else
class HostileHost {
 public:
  HostileHost() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" : : "r"((std::uint64_t{1} << 24) | (std::uint64_t{1} << 22)));
  }
  ~HostileHost() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }
  std::uint64_t now() const {
    std::uint64_t value = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }

 private:
  std::uint64_t saved_ = 0;
};
#endif

}  // namespace

TEST_CASE("inside, the host's settings do not count; afterwards they are back") {
  const float share = divide(1.0f, 25.0f);
  const HostileHost host;
  const float up = divide(1.0f, 25.0f);
  const float flushed = divide(1e-38f, 100.0f);
  const auto before = host.now();  // with the flags of the host's own work
  {
    const core::FloatEnvironment environment;
    CHECK(divide(1.0f, 25.0f) == share);
    CHECK(divide(1e-38f, 100.0f) > 0.0f);
    CHECK(divide(1e-40f, 1e-3f) > 9e-38f);  // a subnormal number is read as what it is
  }
  CHECK(host.now() == before);
  CHECK(up > share);
  CHECK(flushed == 0.0f);
}

#if defined(__x86_64__)
TEST_CASE("exceptions that the host unmasked do not trap, and our flags do not reach it") {
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(0x1f80 & ~0x0200u);  // division by zero traps
  float result = 0.0f;
  {
    const core::FloatEnvironment environment;
    result = divide(1.0f, 0.0f);
  }
  const unsigned after = _mm_getcsr();
  _mm_setcsr(saved);
  CHECK(result > 3e38f);
  CHECK(after == (0x1f80 & ~0x0200u));
}
#endif

#include <kinglet/core/math.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/catch.hpp"
#include "tests/random.hpp"

using namespace kinglet;

namespace {

/// The distance in units of the last place of the FP32 nearest to `exact`.
double ulps(float x, double exact) {
  const float nearest = std::fabs(static_cast<float>(exact));
  const double ulp = static_cast<double>(std::nextafter(nearest, std::numeric_limits<float>::infinity())) - nearest;
  return std::fabs(static_cast<double>(x) - exact) / ulp;
}

constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("exp, log and sincos stay close to libm's double") {
  test::Random random{1};
  double worst_exp = 0.0, worst_log = 0.0;
  for (int i = 0; i < 200000; ++i) {
    const float x = random.uniform() * 87.0f;
    worst_exp = std::max(worst_exp, ulps(core::exp_f32(x), std::exp(static_cast<double>(x))));
    const float small = random.uniform() * 1e-3f;
    worst_exp = std::max(worst_exp, ulps(core::exp_f32(small), std::exp(static_cast<double>(small))));
    const float positive = core::exp_f32(random.uniform() * 80.0f);
    worst_log = std::max(worst_log, ulps(core::log_f32(positive), std::log(static_cast<double>(positive))));
    const float near_one = 1.0f + random.uniform() * 0.4f;
    worst_log = std::max(worst_log, ulps(core::log_f32(near_one), std::log(static_cast<double>(near_one))));
  }
  CHECK(worst_exp < 2.0);
  CHECK(worst_log < 2.0);
}

TEST_CASE("exp at its ends") {
  CHECK(core::exp_f32(0.0f) == 1.0f);
  CHECK(core::exp_f32(-0.0f) == 1.0f);
  CHECK(core::exp_f32(-87.4f) == 0.0f);
  CHECK(core::exp_f32(-infinity) == 0.0f);
  CHECK(core::exp_f32(88.4f) == infinity);
  CHECK(core::exp_f32(infinity) == infinity);
  CHECK(core::exp_f32(88.37f) < infinity);
  CHECK(std::isnan(core::exp_f32(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("log at its ends, subnormal numbers included") {
  CHECK(core::log_f32(1.0f) == 0.0f);
  CHECK(core::log_f32(0.0f) == -infinity);
  CHECK(core::log_f32(infinity) == infinity);
  CHECK(std::isnan(core::log_f32(-1.0f)));
  CHECK(std::isnan(core::log_f32(std::numeric_limits<float>::quiet_NaN())));
  for (const float x : {1e-45f, 1e-40f, 1.17549435e-38f, 3.4e38f}) {
    CHECK(ulps(core::log_f32(x), std::log(static_cast<double>(x))) < 2.0);
  }
}

TEST_CASE("sincos of turns") {
  const auto exact = [](std::uint64_t turns) { return std::ldexp(static_cast<double>(turns), -64) * 2.0 * M_PI; };
  test::Random random{2};
  double worst = 0.0;
  for (int i = 0; i < 200000; ++i) {
    const std::uint64_t turns = random.bits();
    const core::SinCos result = core::sincos_turns(turns);
    worst = std::max(worst, std::fabs(static_cast<double>(result.sin) - std::sin(exact(turns))));
    worst = std::max(worst, std::fabs(static_cast<double>(result.cos) - std::cos(exact(turns))));
  }
  CHECK(worst < 1.5e-7);  // the step between two numbers below 1 is 6e-8

  const std::uint64_t quarter = std::uint64_t{1} << 62;
  const float sines[] = {0.0f, 1.0f, 0.0f, -1.0f};
  for (std::uint64_t q = 0; q < 4; ++q) {
    CHECK(core::sincos_turns(q * quarter).sin == sines[q]);
    CHECK(core::sincos_turns(q * quarter).cos == sines[(q + 1) % 4]);
  }
}

TEST_CASE("a sum in 128 lanes") {
  test::Random random{3};
  for (const std::size_t n : {0u, 1u, 7u, 127u, 128u, 129u, 300u, 1000u}) {
    std::vector<float> v(n);
    double exact = 0.0, size = 0.0;
    for (float& x : v) {
      x = random.normal();
      exact += static_cast<double>(x);
      size += std::fabs(static_cast<double>(x));
    }
    CHECK(std::fabs(static_cast<double>(core::lane_sum(v.data(), n)) - exact) <= 1e-6 * size);
  }
  // The order is the defined one: lane 0 takes 1 and then what is lost in it; lane 64 meets it in the tree's first
  // step.
  std::vector<float> v(129, 0.0f);
  v[0] = 0x1p24f;
  v[128] = 1.0f;
  v[64] = 2.0f;
  CHECK(core::lane_sum(v.data(), v.size()) == 0x1p24f + 2.0f);
  v[128] = 0.0f;
  v[1] = 1.0f;
  v[65] = 1.0f;  // 1 + 1 meet before they meet the large one
  CHECK(core::lane_sum(v.data(), v.size()) == 0x1p24f + 4.0f);
}

// The loops over all logits, at the ends of their blocks, for this machine's instruction set and for none in
// particular.
#include "sample/weights.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <kinglet/core/math.hpp>

#include "tests/catch.hpp"
#include "tests/random.hpp"

using namespace kinglet;

namespace {

namespace plain {
using sample::Loops;
using sample::Scan;
#include "sample/weights.inl"
}  // namespace plain

const sample::Loops own{[](const float* x, std::size_t n) noexcept {
                          return sample::scan({x, n});
                        },
                        [](const float* x, std::size_t n, float max) noexcept {
                          return sample::first_of({x, n}, max);
                        },
                        sample::weights, sample::weight_sum};

constexpr float infinity = std::numeric_limits<float>::infinity();

/// The integer nearest to exp((x - m) / t) * 2^40, one number after the other.
std::uint64_t weight_of(float x, float m, float t) {
  const float z = (x - m) / t;
  if (!(z > -30.0f)) return 0;
  return static_cast<std::uint64_t>(std::nearbyint(static_cast<double>(core::exp_f32(z)) * 0x1p40));
}

}  // namespace

TEST_CASE("scan, first and weights are those of a plain loop, whatever the number of logits", "[sample]") {
  test::Random random{9};
  for (const sample::Loops& loops : {own, plain::loops}) {
    for (const std::size_t n : {1u, 2u, 15u, 16u, 17u, 31u, 63u, 64u, 65u, 127u, 128u, 129u, 1000u}) {
      INFO(n << " logits");
      std::vector<float> x(n);
      for (float& v : x) v = 19.0f - 60.0f * static_cast<float>(random.below(1000)) / 1000.0f;
      x[random.below(static_cast<std::uint32_t>(n))] = -infinity;
      x[n / 2] = 20.0f;
      x[n - 1] = 20.0f;
      const sample::Scan all = loops.scan(x.data(), n);
      CHECK(all.max == 20.0f);
      CHECK(all.finite);
      CHECK(loops.first_of(x.data(), n, 20.0f) == n / 2);
      for (const float t : {1.0f, 0.3f, 4.0f}) {
        std::vector<std::uint64_t> w(n), expected(n);
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < n; ++i) sum += expected[i] = weight_of(x[i], 20.0f, t);
        loops.weights(x.data(), n, 20.0f, t, w.data());
        CHECK(w == expected);
        CHECK(loops.weight_sum(x.data(), n, 20.0f, t) == sum);
      }
      for (std::size_t at = 0; at < n; ++at) {
        const float before = x[at];
        x[at] = at % 2 == 0 ? infinity : std::numeric_limits<float>::quiet_NaN();
        CHECK_FALSE(loops.scan(x.data(), n).finite);
        x[at] = before;
        std::vector<float> one(n, -infinity);
        one[at] = -3.0f;
        CHECK(loops.scan(one.data(), n).max == -3.0f);
        CHECK(loops.first_of(one.data(), n, -3.0f) == at);
      }
    }
    CHECK(loops.scan(nullptr, 0).max == -infinity);
    CHECK(loops.scan(nullptr, 0).finite);
    CHECK(loops.weight_sum(nullptr, 0, 0.0f, 1.0f) == 0);
  }
}

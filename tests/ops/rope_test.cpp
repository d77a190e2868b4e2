#include <kinglet/ops/rope.hpp>

#include <cmath>
#include <vector>

#include <kinglet/core/math.hpp>

#include "tests/catch.hpp"

using namespace kinglet;

namespace {

/// Nearest integers to 2^64 turns, from mpmath with 120 digits.
struct Exact {
  std::size_t pair;
  std::uint64_t step;
};
struct Case {
  std::size_t dim;
  float theta, scale;
  std::vector<float> factor;
  std::vector<Exact> exact;
};

std::vector<std::uint64_t> steps(std::size_t dim, float theta, float scale = 1.0f, std::vector<float> factor = {}) {
  std::vector<std::uint64_t> step(dim / 2);
  ops::rotary_steps(theta, scale, factor, step);
  return step;
}

}  // namespace

TEST_CASE("rotary steps are the nearest integers, to the last of 64 bits") {
  const std::vector<Case> cases = {
      {6, 10000.0f, 1.0f, {}, {{0, 2935890503282001226u}, {1, 136271965767435385u}, {2, 6325184346405909u}}},
      {24, 1e6f, 1.0f, {}, {{1, 928410095122917244u}, {6, 2935890503282001u}, {11, 9284100951229u}}},
      {64, 100000.0f, 1.0f, {}, {{1, 2048754186989806250u}, {16, 9284100951229172u}, {31, 42071679960424u}}},
      {128, 5e5f, 1.0f, {}, {{1, 2391627000689282720u}, {32, 4151976167383778u}, {63, 7208024532904u}}},
      {10, 10000.0f, 8.0f, {}, {{0, 366986312910250153u}, {1, 58163410905785951u}, {4, 231552709454429u}}},
      {16,
       500000.0f,
       1.0f,
       {1, 1, 1.5f, 2.75f, 4.1f, 8, 8, 8},
       {{1, 569335944678046136u}, {2, 73604792717368417u}, {3, 7785623689314633u}, {4, 1012677137551267u}}},
      // Faster than one turn in two positions, and more than a turn: modulo 2^64.
      {8, 0.5f, 0.3f, {}, {{0, 9786301288733996102u}, {1, 11637939122122766685u}, {3, 16458531344578448340u}}},
  };
  for (const Case& c : cases) {
    const auto step = steps(c.dim, c.theta, c.scale, c.factor);
    for (const Exact& e : c.exact) {
      INFO("dim " << c.dim << " pair " << e.pair);
      CHECK(step[e.pair] == e.step);
    }
  }
}

TEST_CASE("no channels, no steps") { CHECK(steps(0, 10000.0f).empty()); }

TEST_CASE("positions in the millions and billions turn as exactly as the first") {
  struct At {
    std::uint32_t position;
    std::size_t pair;
    double sin, cos;  // mpmath
  };
  const auto step = steps(64, 10000.0f);
  for (const At& at :
       {At{1u, 0, 0.841470984808, 0.540302305868}, At{1u, 5, 0.234921075604, 0.972014448574},
        At{1u, 31, 0.000133352142821, 0.999999991109}, At{1000003u, 0, 0.478685408796, -0.877986491585},
        At{1000003u, 5, -0.946981633413, -0.321287699699}, At{1000003u, 31, 0.986394609796, 0.164394871466},
        At{123456789u, 0, 0.990114751802, 0.140259681534}, At{123456789u, 5, -0.766557096279, 0.642176158187},
        At{4294967295u, 0, 0.496677191753, -0.867935347357}, At{4294967295u, 5, 0.14270326593, 0.989765516621},
        At{4294967295u, 31, -0.615360832544, 0.78824554916}}) {
    const core::SinCos turned = core::sincos_turns(at.position * step[at.pair]);
    INFO(at.position << " pair " << at.pair);
    CHECK(std::fabs(static_cast<double>(turned.sin) - at.sin) < 2e-7);
    CHECK(std::fabs(static_cast<double>(turned.cos) - at.cos) < 2e-7);
  }
}

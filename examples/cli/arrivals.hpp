// examples/cli/arrivals.hpp: when do players speak?
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "random.hpp"

namespace kinglet::cli {

/// The times of a Poisson process from 0 on, ascending; the same for the same seed.
/// @param rate  arrivals a second, > 0
/// @return [count] seconds
inline std::vector<double> poisson_arrivals(std::size_t count, double rate, std::uint64_t seed) {
  Random random(seed);
  constexpr std::uint32_t steps = 1u << 30;
  std::vector<double> times;
  double now = 0;
  while (times.size() < count) {
    const double left = (static_cast<double>(random.below(steps)) + 1) / (static_cast<double>(steps) + 1);  // (0, 1)
    now -= std::log(left) / rate;
    times.push_back(now);
  }
  return times;
}

}  // namespace kinglet::cli

// examples/cli/machine.hpp: what can this machine do, measured now?
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kinglet::cli {

/// GB/s (1e9 bytes) at which so many threads together read memory that is in no cache: the best of a few passes.
/// @param bytes  of the buffer
double read_gb_per_s(unsigned threads, std::size_t bytes = std::size_t{256} << 20);

/// The most resident memory this process ever had.
std::uint64_t peak_rss_bytes();

/// The value below which a share of the sorted values lies. 0 for no values.
/// @param share  [0, 1]
double percentile(std::vector<double> values, double share);

/// How long a loop that only watches the clock takes to see `budget` pass, `times` times over, in milliseconds: what is
/// above the budget was the machine's doing.
std::vector<double> spin_times(std::chrono::nanoseconds budget, std::size_t times);

}  // namespace kinglet::cli

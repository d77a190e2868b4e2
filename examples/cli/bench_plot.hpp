// examples/cli/bench_plot.hpp: how near do the results come to the roofs?
#pragma once
#include <string>
#include <vector>

#include "bench_rows.hpp"

namespace kinglet::cli {

/// A point of the roofline: what a row does for each byte it reads, and how fast.
struct RooflinePoint {
  std::string label;
  double intensity = 0;  ///< integer operations a byte
  double gops = 0;       ///< billions of them a second
};

/// One for each rate in the rows.
std::vector<RooflinePoint> roofline_points(const std::vector<BenchRow>& rows);

/// An SVG image: both axes logarithmic; the slope of the read bandwidth, the flat roof of the dot product, and beneath
/// it (dashed) that of groups of 32. Rows that are all of one machine and setting.
std::string roofline_svg(const std::vector<BenchRow>& rows);

}  // namespace kinglet::cli

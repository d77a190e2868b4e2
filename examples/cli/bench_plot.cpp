// examples/cli/bench_plot.cpp: how near do the results come to the roofs?
#include "bench_plot.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace kinglet::cli {
namespace {

constexpr double width = 880;
constexpr double height = 560;
constexpr double left = 80;
constexpr double right = 30;
constexpr double top = 50;
constexpr double bottom = 70;

/// Logarithmic axes over whole powers of ten.
struct Axes {
  double low_x, high_x, low_y, high_y;

  double x(double value) const {
    return left + (std::log10(value) - low_x) / (high_x - low_x) * (width - left - right);
  }
  double y(double value) const {
    return height - bottom - (std::log10(value) - low_y) / (high_y - low_y) * (height - top - bottom);
  }
};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string text(double x, double y, const std::string& words, const char* anchor = "start", const char* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                     escaped(words));
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
}

Axes axes_of(const std::vector<RooflinePoint>& points, const Limits& limits) {
  double low_x = 1, high_x = 100, low_y = 10, high_y = std::max(100.0, limits.vnni_gops);
  for (const RooflinePoint& point : points) {
    low_x = std::min(low_x, point.intensity);
    high_x = std::max(high_x, point.intensity);
    low_y = std::min(low_y, point.gops);
    high_y = std::max(high_y, point.gops);
  }
  return {std::floor(std::log10(low_x)), std::ceil(std::log10(high_x)), std::floor(std::log10(low_y)),
          std::ceil(std::log10(high_y) + 0.02)};
}

std::string grid(const Axes& axes) {
  std::string out;
  for (double decade = axes.low_x; decade <= axes.high_x; ++decade) {
    const double x = axes.x(std::pow(10, decade));
    out += line(x, top, x, height - bottom, "stroke=\"#ddd\"");
    out += text(x, height - bottom + 20, fmt::format("{:g}", std::pow(10, decade)), "middle");
  }
  for (double decade = axes.low_y; decade <= axes.high_y; ++decade) {
    const double y = axes.y(std::pow(10, decade));
    out += line(left, y, width - right, y, "stroke=\"#ddd\"");
    out += text(left - 8, y + 4, fmt::format("{:g}", std::pow(10, decade)), "end");
  }
  out += text((left + width - right) / 2, height - 25, "integer operations for each byte read", "middle");
  out += text(20, (top + height - bottom) / 2, "GOP/s", "middle",
              fmt::format(" transform=\"rotate(-90 20 {:.1f})\"", (top + height - bottom) / 2).c_str());
  return out;
}

std::string roofs(const Axes& axes, const Limits& limits) {
  const double read = limits.read_gb_per_s;
  const double peak = limits.vnni_gops;
  const double low = std::max(std::pow(10, axes.low_x), std::pow(10, axes.low_y) / read);
  const double ridge = std::clamp(peak / read, low, std::pow(10, axes.high_x));
  const double high = std::pow(10, axes.high_x);
  std::string out = line(axes.x(low), axes.y(low * read), axes.x(ridge), axes.y(std::min(peak, ridge * read)),
                         "stroke=\"#1f77b4\" stroke-width=\"2\"");
  out += line(axes.x(ridge), axes.y(peak), axes.x(high), axes.y(peak), "stroke=\"#d62728\" stroke-width=\"2\"");
  out += text(axes.x(high) - 6, axes.y(peak) - 8, fmt::format("dot products {:.0f} GOP/s", peak), "end");
  out += text(axes.x(low) + 10, axes.y(low * read) - 14, fmt::format("read {:.1f} GB/s", read));
  if (limits.vnni_group32_gops > 0) {
    const double group = limits.vnni_group32_gops;
    out += line(axes.x(std::clamp(group / read, low, high)), axes.y(group), axes.x(high), axes.y(group),
                "stroke=\"#d62728\" stroke-dasharray=\"6 4\"");
    out += text(axes.x(high) - 6, axes.y(group) + 16, fmt::format("in groups of 32: {:.0f} GOP/s", group), "end");
  }
  return out;
}

}  // namespace

std::vector<RooflinePoint> roofline_points(const std::vector<BenchRow>& rows) {
  std::vector<RooflinePoint> points;
  for (const BenchRow& row : rows) {
    const double weights = static_cast<double>(row.cost.bytes_per_token);
    const double prefill = row.prefill.median();
    const double decode = row.decode.median();
    if (decode > 0 && weights > 0) {
      const double operations = 2 * row.cost.multiplies_per_token;
      points.push_back(
          {row.work + " decode", operations / (weights / row.sessions + row.kv_bytes), operations * decode * 1e-9});
    }
    if (prefill > 0 && weights > 0) {
      const double operations = 2 * row.cost.block_multiplies;
      const double rows_of_step = std::max(1u, std::min(row.step_rows, row.prompt * row.sessions));
      points.push_back({row.work + " prefill", operations * rows_of_step / weights, operations * prefill * 1e-9});
    }
  }
  points.erase(std::remove_if(points.begin(), points.end(),
                              [](const RooflinePoint& p) { return !(p.intensity > 0 && p.gops > 0); }),
               points.end());
  return points;
}

std::string roofline_svg(const std::vector<BenchRow>& rows) {
  const std::vector<RooflinePoint> points = roofline_points(rows);
  Limits limits;
  for (const BenchRow& row : rows)
    for (const Limits& l : row.limits) limits = best_of(limits, l);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      width, height);
  if (!rows.empty())
    out += text(left, 28, fmt::format("{}, {}, {} threads", rows[0].model, rows[0].backend, rows[0].threads), "start",
                " font-size=\"16\"");
  const Axes axes = axes_of(points, limits);
  out += grid(axes);
  if (limits.read_gb_per_s > 0 && limits.vnni_gops > 0) out += roofs(axes, limits);
  for (const RooflinePoint& point : points) {
    out += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"#2ca02c\"><title>{}: {:.0f} GOP/s</title></circle>\n",
        axes.x(point.intensity), axes.y(point.gops), escaped(point.label), point.gops);
    const bool ends = axes.x(point.intensity) > width * 0.7;
    out +=
        text(axes.x(point.intensity) + (ends ? -8 : 8), axes.y(point.gops) + 14, point.label, ends ? "end" : "start");
  }
  return out + "</svg>\n";
}

}  // namespace kinglet::cli

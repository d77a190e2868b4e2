// examples/cli/bench_flags.hpp: what can `kinglet bench` be asked?
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "options.hpp"

namespace kinglet::cli {

struct BenchFlags {
  ModelFlags model;
  std::string path;
  std::string shape;
  std::string weights = "q4_0";
  std::string output;
  std::vector<std::string> suite;
  std::uint32_t prompt = 256;
  std::uint32_t tokens = 64;
  std::uint32_t sessions = 1;
  std::uint32_t long_prompt = 8192;
  std::uint32_t repeats = 3;
  std::uint64_t seed = 1;
  double budget_ms = 0;
  std::string arrivals;
  double arrival_rate = 2;
  bool first_token = false;
  std::string plot;
  std::vector<std::string> compare;
  const CLI::Option* long_option = nullptr;  ///< knows whether --long-prompt was given

  /// Whether --suite names a row.
  bool asks_for(std::string_view row) const {
    return std::any_of(suite.begin(), suite.end(), [&](const std::string& s) { return s == row || s == "all"; });
  }
};

void add_bench_flags(CLI::App& app, BenchFlags& flags);
/// Fails on what means nothing together, and on a peer's file that cannot be read: before the work, not after.
void check_bench_flags(const BenchFlags& flags);

}  // namespace kinglet::cli

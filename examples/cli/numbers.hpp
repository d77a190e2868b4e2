// examples/cli/numbers.hpp: how is a number spelt on the command line?
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace kinglet::cli {

// Checks for CLI::Option::transform. CLI11's own conversions wrap what is negative or too large, take 010 for 8, and
// let a NaN pass every range.

/// Digits alone, within [low, high].
CLI::Validator whole(std::uint64_t low, std::uint64_t high);

/// A finite number within [low, high].
CLI::Validator real(double low, double high);

/// Digits, perhaps with k, m, g or t (also kb, KiB and so on) for powers of 1024; turned into plain bytes.
CLI::Validator size();

/// "1,2,3" as token ids. Fails (bad usage) on whatever else it is.
/// @param option  named in the message
std::vector<std::int32_t> parse_ids(std::string_view text, const char* option);

}  // namespace kinglet::cli

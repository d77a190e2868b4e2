#include "numbers.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "failure.hpp"

namespace kinglet::cli {
namespace {

/// The whole of `text` as a number, or nothing.
template <class T>
std::optional<T> parse(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::string_view units = "kmgt";
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<std::uint64_t> number = parse<std::uint64_t>(text.substr(0, digits));
  std::string unit;
  for (const char c : text.substr(digits)) unit += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (!number || unit.empty() || unit == "b") return number;
  const std::size_t power = units.find(unit[0]) + 1;  // npos + 1 = 0
  const std::string rest = unit.substr(1);
  if (power == 0 || (!rest.empty() && rest != "b" && rest != "ib")) return std::nullopt;
  const auto shift = static_cast<unsigned>(10 * power);
  if (*number > std::numeric_limits<std::uint64_t>::max() >> shift) return std::nullopt;
  return *number << shift;
}

}  // namespace

CLI::Validator whole(std::uint64_t low, std::uint64_t high) {
  const auto check = [low, high](std::string& text) -> std::string {
    const std::optional<std::uint64_t> value = parse<std::uint64_t>(text);
    if (!value || *value < low || *value > high)
      return fmt::format("'{:.60}' is no whole number from {} to {}", text, low, high);
    text = std::to_string(*value);
    return "";
  };
  return {check, fmt::format("from {} to {}", low, high)};
}

CLI::Validator real(double low, double high) {
  const auto check = [low, high](std::string& text) -> std::string {
    const std::optional<double> value = parse<double>(text);
    if (value && *value >= low && *value <= high) return "";
    return fmt::format("'{:.60}' is no number from {:g} to {:g}", text, low, high);
  };
  return {check, fmt::format("from {:g} to {:g}", low, high)};
}

CLI::Validator size() {
  const auto check = [](std::string& text) -> std::string {
    const std::optional<std::uint64_t> value = parse_size(text);
    if (!value) return fmt::format("'{:.60}' is no number of bytes; give digits, and perhaps k, m or g", text);
    text = std::to_string(*value);
    return "";
  };
  return {check, "bytes"};
}

std::vector<std::int32_t> parse_ids(std::string_view text, const char* option) {
  std::vector<std::int32_t> ids;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view one = text.substr(at, end - at);
    const std::optional<std::int32_t> id = parse<std::int32_t>(one);
    if (!id || *id < 0)
      bad_usage("{}: '{:.60}' is no token id; give whole numbers with commas between, 1,2,3", option, one);
    ids.push_back(*id);
    at = end + 1;
  }
  return ids;
}

}  // namespace kinglet::cli

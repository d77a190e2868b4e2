// examples/cli/bench_peers.cpp: how fast was another engine at the same work?
#include "bench_peers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include <nlohmann/json.hpp>

#include "failure.hpp"

namespace kinglet::cli {
namespace {

using Json = nlohmann::json;

std::uint32_t count(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) return 0;
  if (!found->is_number_integer() || found->get<std::int64_t>() < 0 ||
      found->get<std::int64_t>() > std::numeric_limits<std::int32_t>::max())
    bad_input("{}: '{}' is no count of tokens or sessions", where, key);
  return static_cast<std::uint32_t>(found->get<std::int64_t>());
}

double rate(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number() || !std::isfinite(found->get<double>()) || found->get<double>() <= 0)
    bad_input("{}: '{}' is no rate above zero", where, key);
  return found->get<double>();
}

/// llama-batched-bench: pp tokens of each of pl sequences, then tg tokens of each.
PeerResult batched(const Json& object, const std::string& where) {
  PeerResult result;
  result.sessions = std::max(1u, count(object, "pl", where));
  result.prompt = count(object, "pp", where);
  result.tokens = count(object, "tg", where);
  if (result.prompt > 0) result.prefill = rate(object, "speed_pp", where);
  if (result.tokens > 0) result.decode = rate(object, "speed_tg", where);
  return result;
}

/// llama-bench: one rate, of reading n_prompt tokens or of generating n_gen behind n_depth others. Both at once tell us
/// something only where the prompt was not timed, which `test` then says as "tg16@pp8192".
bool single(const Json& object, const std::string& where, PeerResult& result) {
  const std::uint32_t prompt = count(object, "n_prompt", where);
  const std::uint32_t depth = count(object, "n_depth", where);
  result.tokens = count(object, "n_gen", where);
  const double speed = rate(object, "avg_ts", where);
  if (prompt > 0 && result.tokens > 0) {
    const auto test = object.find("test");
    if (test == object.end() || !test->is_string() || test->get<std::string>().find('@') == std::string::npos)
      return false;
  }
  result.prompt = prompt + depth;
  (result.tokens > 0 ? result.decode : result.prefill) = speed;
  return result.tokens > 0 || (prompt > 0 && depth == 0);
}

/// A line of llama-batched-bench's table: PP, TG, B, N_KV, T_PP, S_PP, T_TG, S_TG and two more, between bars.
void add_line(const std::string& line, const std::string& where, std::vector<PeerResult>& out) {
  std::istringstream cells(line.substr(1));
  std::vector<double> numbers;
  for (std::string cell; std::getline(cells, cell, '|');) {
    char* end = nullptr;
    numbers.push_back(std::strtod(cell.c_str(), &end));
    while (*end == ' ') ++end;
    if (end == cell.c_str() || *end != '\0') return;
  }
  if (numbers.size() != 10) return;
  Json object;
  const char* const counts[] = {"pp", "tg", "pl"};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!(numbers[i] >= 0 && numbers[i] < 2e9)) bad_input("{}: '{}' in a table is no count", where, counts[i]);
    object[counts[i]] = static_cast<std::int64_t>(numbers[i]);
  }
  object["speed_pp"] = numbers[5];
  object["speed_tg"] = numbers[7];
  out.push_back(batched(object, where));
}

void add(const Json& object, const std::string& where, std::vector<PeerResult>& out) {
  if (!object.is_object()) return;
  PeerResult result;
  if (object.contains("speed_tg") || object.contains("speed_pp"))
    out.push_back(batched(object, where));
  else if (object.contains("avg_ts") && single(object, where, result))
    out.push_back(result);
}

}  // namespace

std::vector<PeerResult> parse_peer(std::string_view text, const std::string& where) {
  std::vector<PeerResult> out;
  const Json whole = Json::parse(text, nullptr, false);
  if (whole.is_array()) {
    for (const Json& object : whole) add(object, where, out);
  } else {
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line[0] == '|')
        add_line(line, where, out);
      else
        add(Json::parse(line, nullptr, false), where, out);
    }
    if (out.empty()) add(whole, where, out);
  }
  if (out.empty())
    bad_input("{}: holds no result of llama-bench (-o json) or llama-batched-bench (--output-format jsonl)", where);
  return out;
}

std::vector<PeerResult> read_peer(const std::string& path) {
  constexpr std::uintmax_t most = std::uintmax_t{64} << 20;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) bad_input("{}: cannot be read", path);
  if (size > most) bad_input("{}: has {} bytes; results of a benchmark have less than {}", path, size, most);
  std::ostringstream text;
  text << file.rdbuf();
  return parse_peer(text.str(), path);
}

PeerRate rate_at(const std::string& peer, const std::vector<PeerResult>& results, const BenchRow& row) {
  Repeats prefill;
  Repeats decode;
  const auto close = [](std::uint32_t a, std::uint32_t b) {
    const std::uint32_t apart = a > b ? a - b : b - a;
    return apart <= 256 && apart * std::uint64_t{4} <= std::max({a, b, 1024u});
  };
  for (const PeerResult& result : results) {
    if (result.sessions == 1 && row.sessions == 1 && result.prefill > 0 && result.prompt == row.prompt)
      prefill.add(result.prefill);
    if (result.sessions == row.sessions && result.decode > 0 &&
        close(result.prompt + result.tokens / 2, row.prompt + row.tokens / 2))
      decode.add(result.decode);
  }
  PeerRate out{peer, 0, 0};
  if (!row.prefill.values.empty()) out.prefill = prefill.median();
  if (!row.decode.values.empty()) out.decode = decode.median();
  return out;
}

}  // namespace kinglet::cli

// What a benchmark says once it is measured: shares, keys, the roofline, peers' files, and the times of arrivals.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "arrivals.hpp"
#include "bench_peers.hpp"
#include "bench_plot.hpp"
#include "bench_rows.hpp"
#include "failure.hpp"
#include "limit_loops.hpp"
#include "limits.hpp"
#include "tests/catch.hpp"

using namespace kinglet::cli;

namespace {

/// A model of 1,000 weights of a byte, at limits that are easy to divide by.
BenchRow simple_row() {
  BenchRow row;
  row.work = "decode";
  row.model = "a & b.gguf";
  row.backend = "scalar";
  row.threads = 2;
  row.prompt = 512;
  row.tokens = 64;
  row.cost = {1000, 1250, 1000, 800};
  row.kv_bytes = 250;
  for (int i = 0; i < 3; ++i) row.limits.push_back({1e-3, 8e-3, 4e-3, 2e-3});
  return row;
}

std::string message_of(const std::string& text) {
  try {
    parse_peer(text, "peer.json");
  } catch (const Failure& failure) {
    CHECK(failure.code == exit_bad_input);
    return failure.line;
  }
  return "";
}

/// Every tag closed, in order; every attribute in quotes.
bool well_formed(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at)) {
    const std::size_t end = text.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = text.substr(at + 1, end - at - 1);
    at = end;
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0 || tag.find('<') != std::string::npos) return false;
    const std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" />", 1) - (tag[0] == '/'));
    if (tag.back() == '/') continue;
    if (tag[0] != '/') {
      open.push_back(name);
    } else {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    }
  }
  for (std::size_t at = text.find('&'); at != std::string::npos; at = text.find('&', at + 1))
    if (text.compare(at, 5, "&amp;") != 0 && text.compare(at, 4, "&lt;") != 0 && text.compare(at, 4, "&gt;") != 0 &&
        text.compare(at, 6, "&quot;") != 0)
      return false;
  return open.empty();
}

}  // namespace

TEST_CASE("bench: shares are medians of rates over the limits measured beside them") {
  BenchRow row = simple_row();
  for (const double rate : {700.0, 640.0, 600.0}) row.decode.add(rate);
  for (const double rate : {2000.0, 1000.0, 1500.0}) row.prefill.add(rate);
  row.limits[0].read_gb_per_s = 1;  // one run beside a far higher limit changes no median
  const Shares s = shares(row);
  CHECK(s.decode_bandwidth == Approx(600 * 1250e-9 / 1e-3));
  CHECK(s.decode_limit == Approx(s.decode_bandwidth));
  CHECK(s.prefill_peak == Approx(2 * 800 * 1500e-9 / 8e-3));
  CHECK(s.prefill_group32 == Approx(2 * s.prefill_peak));
  CHECK(impossible_share(row).empty());
  CHECK(row.decode.median() == 640);
  CHECK(row.decode.spread() == Approx(100.0 / 640));
  CHECK(Repeats{{1, 2, 3, 10}}.median() == 2.5);
  CHECK(Repeats{}.median() == 0);
  CHECK(Repeats{}.spread() == 0);
}

TEST_CASE("bench: limits measured beside each piece of work make the shares, where there are such") {
  BenchRow row = simple_row();
  row.decode.add(700);
  row.prefill.add(1000);
  const double whole = shares(row).decode_bandwidth;
  // The memory gives twice as much for a while, and the work follows: the share does not move.
  for (const double speed : {1.0, 2.0, 1.0, 2.0, 1.0})
    row.decode_pairs.push_back({640 * speed, {speed * 1e-3, 0, 0, 0}});
  CHECK(shares(row).decode_bandwidth == Approx(640 * 1250e-9 / 1e-3));
  CHECK(shares(row).decode_bandwidth != Approx(whole));
  CHECK(shares(row).decode_limit == Approx(shares(row).decode_bandwidth));
  CHECK(shares(row).decode_spread == Approx(0).margin(1e-12));
  CHECK(shares(row).prefill_group32 == Approx(2 * 800 * 1000e-9 / 4e-3));
  row.prefill_pairs.push_back({2000, {0, 8e-3, 5e-3, 0}});
  CHECK(shares(row).prefill_group32 == Approx(2 * 800 * 2000e-9 / 5e-3));
  const auto json = to_json(row);
  CHECK(json["decode_pairs"] == 5);
  CHECK(json["prefill_pairs"] == 1);
  CHECK(json["read_gb_per_s"] == 1e-3);
  row.decode_pairs.assign(3, {900, {1e-3, 0, 0, 0}});
  CHECK(impossible_share(row).find("read_gb_per_s") != std::string::npos);
}

TEST_CASE("bench: many rows are held against the slower of memory and integer units") {
  BenchRow row = simple_row();
  row.sessions = 10;
  row.kv_bytes = 0;
  row.decode.add(3500);  // 0.35 of the bandwidth, 0.875 of the peak
  const Shares s = shares(row);
  CHECK(s.decode_bandwidth == Approx(0.35));
  CHECK(s.decode_limit == Approx(0.875));
}

TEST_CASE("bench: a share above 1.02 names the limit that was measured wrongly") {
  BenchRow row = simple_row();
  row.decode.add(810);  // 1.0125
  CHECK(impossible_share(row).empty());
  row.decode.values[0] = 830;
  CHECK(impossible_share(row).find("read_gb_per_s") != std::string::npos);
  BenchRow prompt = simple_row();
  prompt.prefill.add(2600);  // 1.04 of what groups of 32 allow, 0.52 of the peak
  CHECK(impossible_share(prompt).find("vnni_group32_gops") != std::string::npos);
  CHECK(impossible_share(prompt).find("quiet") != std::string::npos);
  BenchRow attention = simple_row();
  attention.attention.add(2.1e6);
  CHECK(impossible_share(attention).find("fp32_gflops") != std::string::npos);
}

TEST_CASE("bench: JSON has the documented keys") {
  BenchRow row = simple_row();
  row.decode.add(600);
  row.steps_ms = {1, 2, 3};
  row.spins_ms = {2};
  row.peak_rss = 2500;
  const auto json = to_json(row, {{"other", 0, 300}});
  for (const char* key : {"work",
                          "rows",
                          "threads",
                          "prefill_tokens_per_s",
                          "decode_tokens_per_s",
                          "weight_bytes_per_token",
                          "kv_bytes_per_token",
                          "read_gb_per_s",
                          "vnni_gops",
                          "vnni_group32_gops",
                          "fp32_gflops",
                          "decode_bandwidth_fraction",
                          "prefill_peak_fraction",
                          "prefill_group32_fraction",
                          "step_p99_ms",
                          "step_p999_ms",
                          "spin_p99_ms",
                          "spin_p999_ms",
                          "longest_wait_ms",
                          "peak_rss_bytes",
                          "load_ms"})
    CHECK(json.contains(key));
  CHECK(json["decode_tokens_per_s"] == 600);
  CHECK(json["step_p99_ms"] == 3);
  CHECK(json["peak_rss_over_weights"] == 2);
  CHECK(json["peer_other_decode_ratio"] == 2);
  CHECK(json["peer_other_prefill_ratio"] == 0);
  for (const auto& [key, value] : json.items()) CHECK(value.is_primitive());
  const std::string text = table({row}, {{{"other", 0, 300}}});
  CHECK(text.find("2.00x") != std::string::npos);
}

TEST_CASE("bench: the roofline is an image whatever the rows are") {
  BenchRow row = simple_row();
  row.work = "<a> & \"b\"";
  row.decode.add(600);
  row.prefill.add(1500);
  row.step_rows = 256;
  const auto points = roofline_points({row});
  REQUIRE(points.size() == 2);
  CHECK(points[0].intensity == Approx(2000.0 / 1250));
  CHECK(points[0].gops == Approx(2000 * 600e-9));
  CHECK(points[1].intensity == Approx(1600.0 * 256 / 1000));
  const std::string image = roofline_svg({row});
  CHECK(well_formed(image));
  CHECK(image.find("&lt;a&gt; &amp; &quot;b&quot; decode") != std::string::npos);
  CHECK(image.find("nan") == std::string::npos);
  CHECK(image.find("inf") == std::string::npos);
  CHECK(well_formed(roofline_svg({})));
  BenchRow empty;
  CHECK(well_formed(roofline_svg({empty})));
  CHECK(roofline_points({empty}).empty());
}

TEST_CASE("bench: results of llama-bench and llama-batched-bench are read") {
  const auto list = parse_peer(
      R"([{"n_prompt": 512, "n_gen": 0, "avg_ts": 200.5}, {"n_prompt": 0, "n_gen": 64, "avg_ts": 30, "n_depth": 0},
          {"n_prompt": 0, "n_gen": 16, "n_depth": 8192, "avg_ts": 12}, {"n_prompt": 512, "n_gen": 64, "avg_ts": 77},
          {"n_prompt": 8192, "n_gen": 16, "avg_ts": 13, "test": "tg16@pp8192"}])",
      "x");
  REQUIRE(list.size() == 4);
  CHECK(list[0].prefill == 200.5);
  CHECK(list[0].decode == 0);
  CHECK(list[1].decode == 30);
  CHECK(list[2].prompt == 8192);
  CHECK(list[3].prompt == 8192);
  const auto lines = parse_peer(
      "loading\n{\"pp\": 16, \"tg\": 32, \"pl\": 8, \"speed_pp\": 100.0, \"speed_tg\": 90.5}\n\n{\"pp\": 16, \"tg\": "
      "32, "
      "\"pl\": 16, \"speed_pp\": 110.0, \"speed_tg\": 95.5}\n",
      "x");
  REQUIRE(lines.size() == 2);
  CHECK(lines[1].sessions == 16);
  CHECK(lines[1].decode == 95.5);
  const auto cells = parse_peer(
      "|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\n"
      "|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\n"
      "|    16 |     32 |    8 |    384 |    0.900 |   142.20 |    3.000 |    85.33 |    3.900 |    98.46 |\n",
      "x");
  REQUIRE(cells.size() == 1);
  CHECK(cells[0].sessions == 8);
  CHECK(cells[0].decode == 85.33);

  BenchRow row = simple_row();
  row.prompt = 16;
  row.tokens = 32;
  row.sessions = 16;
  row.decode.add(200);
  CHECK(rate_at("them", lines, row).decode == 95.5);
  CHECK(rate_at("them", list, row).decode == 0);
  row.sessions = 1;
  CHECK(rate_at("them", list, row).decode == 30);
  row.prompt = 8192;
  CHECK(rate_at("them", list, row).decode == 12.5);
  CHECK(rate_at("them", list, row).prefill == 0);
}

TEST_CASE("bench: a peer's file that says nothing, or nonsense, is an error") {
  for (const char* text : {"", "[]", "{}", "null", "nothing", "[1, \"a\", null]", "{\"n_prompt\": 5", "|1|2|\n",
                           "[[[[[[]]]]]]", "{\"pp\": 1}"})
    CHECK(message_of(text).find("holds no result") != std::string::npos);
  CHECK(message_of(R"([{"n_prompt": -1, "n_gen": 0, "avg_ts": 1}])").find("n_prompt") != std::string::npos);
  CHECK(message_of(R"([{"n_prompt": 1e99, "n_gen": 0, "avg_ts": 1}])").find("n_prompt") != std::string::npos);
  CHECK(message_of(R"([{"n_prompt": 99999999999, "n_gen": 0, "avg_ts": 1}])").find("n_prompt") != std::string::npos);
  CHECK(message_of(R"([{"n_prompt": 5, "n_gen": 0, "avg_ts": "fast"}])").find("avg_ts") != std::string::npos);
  CHECK(message_of(R"([{"n_prompt": 5, "n_gen": 0, "avg_ts": 0}])").find("avg_ts") != std::string::npos);
  CHECK(message_of(R"({"pp": 5, "tg": 1, "pl": 1, "speed_pp": 1})").find("speed_tg") != std::string::npos);
  CHECK(message_of("| 1e30 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 |\n").find("'pp'") != std::string::npos);
  CHECK(message_of("| nan | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 |\n").find("'pp'") != std::string::npos);
}

TEST_CASE("bench: arrivals are the same for a seed, and as many a second as was asked for") {
  const auto times = poisson_arrivals(4000, 5, 7);
  CHECK(times == poisson_arrivals(4000, 5, 7));
  CHECK(times != poisson_arrivals(4000, 5, 8));
  CHECK(std::is_sorted(times.begin(), times.end()));
  CHECK(times.front() > 0);
  CHECK(times.back() == Approx(800).epsilon(0.1));
  // Of exponential gaps, 1/e are longer than the mean.
  std::size_t longer = 0;
  for (std::size_t i = 1; i < times.size(); ++i) longer += times[i] - times[i - 1] > 0.2;
  CHECK(static_cast<double>(longer) / 4000 == Approx(std::exp(-1.0)).epsilon(0.1));
  CHECK(poisson_arrivals(0, 1, 1).empty());
}

TEST_CASE("bench: the limits' loops run for every backend's name") {
  for (const char* backend : {"scalar", "avx2", "avx512", "amx", "neon", "cuda", ""}) {
    const LimitLoops loops = limit_loops(backend);
    for (const auto& some : {loops.dot, loops.group32, loops.fp32}) {
      REQUIRE_FALSE(some.empty());
      for (const ComputeLoop& loop : some) {
        CHECK(loop.operations > 0);
        loop.run(1);
        CHECK(loop.run(0) == loop.run(0));
      }
    }
    std::vector<std::byte> buffer(5 * read_step, std::byte{1});
    REQUIRE(loops.read.size() >= 3);
    for (const ReadLoop read : loops.read) {
      const auto before = read(buffer.data(), 4 * read_step);
      CHECK(before == read(buffer.data(), 4 * read_step));
    }
  }
  LimitGauge gauge("", 2, 1 << 20);
  const Limits limits = gauge.measure();
  CHECK(limits.read_gb_per_s > 0);
  CHECK(limits.vnni_gops >= limits.vnni_group32_gops);
  CHECK(limits.vnni_group32_gops > 0);
  CHECK(limits.fp32_gflops > 0);
  const Limits best = best_of(limits, {1e9, 0, 0, 0});
  CHECK(best.read_gb_per_s == 1e9);
  CHECK(best.vnni_gops == limits.vnni_gops);
}

TEST_CASE("bench: a GPU is not held against the processor's limits") {
  LimitGauge gauge("cuda", 2, 1 << 20);
  BenchRow row;
  row.work = "prefill and decode";
  row.backend = "cuda";
  row.cost.bytes_per_token = 5'000'000'000;
  row.decode.add(100.0);  // 500 GB/s
  row.limits.push_back(gauge.measure());
  CHECK(gauge.buffer_bytes() == 0);
  CHECK(impossible_share(row) == "");
  CHECK(shares(row).decode_bandwidth == 0.0);
}

// examples/cli/bench_rows.cpp: what does a benchmark say about a piece of work, and which share of the limits is that?
#include "bench_rows.hpp"

#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "machine.hpp"

namespace kinglet::cli {
namespace {

/// A share may be this much above 1: clocks and passes differ a little.
constexpr double highest_share = 1.02;

double over(double a, double b) { return b > 0 ? a / b : 0.0; }

/// f(rate, limits) of every pair; where there are none, of every run.
Repeats each_share(const std::vector<Pair>& pairs, const Repeats& rates, const std::vector<Limits>& limits,
                   const std::function<double(double, const Limits&)>& f) {
  Repeats result;
  for (const Pair& pair : pairs) result.add(f(pair.rate, pair.limits));
  if (!pairs.empty()) return result;
  for (std::size_t i = 0; i < rates.values.size() && i < limits.size(); ++i) result.add(f(rates.values[i], limits[i]));
  return result;
}

/// The median of each limit.
Limits median_limits(const std::vector<Limits>& limits) {
  Repeats read, vnni, group, fp32;
  for (const Limits& l : limits) {
    read.add(l.read_gb_per_s);
    vnni.add(l.vnni_gops);
    group.add(l.vnni_group32_gops);
    fp32.add(l.fp32_gflops);
  }
  return {read.median(), vnni.median(), group.median(), fp32.median()};
}

std::string ratio(double ours, double theirs) {
  return ours > 0 && theirs > 0 ? fmt::format("{:6.2f}x", ours / theirs) : "";
}

std::string number(double value) { return value > 0 ? fmt::format("{:.1f}", value) : ""; }
std::string share(double value) { return value > 0 ? fmt::format("{:.3f}", value) : ""; }

}  // namespace

double Repeats::median() const {
  if (values.empty()) return 0;
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t n = sorted.size();
  return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double Repeats::spread() const {
  if (values.empty()) return 0;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return over(*high - *low, median());
}

double Repeats::inner_spread() const {
  return values.empty() ? 0 : over(percentile(values, 0.9) - percentile(values, 0.1), median());
}

Shares shares(const BenchRow& row) {
  const double bytes = static_cast<double>(row.cost.bytes_per_token) / row.sessions + row.kv_bytes;
  const double prompt_operations = 2 * row.cost.block_multiplies;
  const double operations = 2 * row.cost.multiplies_per_token;
  Shares out;
  const auto decode = [&](const auto& f) { return each_share(row.decode_pairs, row.decode, row.limits, f); };
  const auto prefill = [&](const auto& f) { return each_share(row.prefill_pairs, row.prefill, row.limits, f); };
  const Repeats bandwidth =
      decode([&](double rate, const Limits& l) { return over(rate * bytes * 1e-9, l.read_gb_per_s); });
  out.decode_bandwidth = bandwidth.median();
  out.decode_spread = bandwidth.inner_spread();
  out.decode_limit =
      decode([&](double rate, const Limits& l) {
        return std::max(over(rate * bytes * 1e-9, l.read_gb_per_s), over(rate * operations * 1e-9, l.vnni_gops));
      }).median();
  out.prefill_peak = prefill([&](double rate, const Limits& l) {
                       return over(rate * prompt_operations * 1e-9, l.vnni_gops);
                     }).median();
  const Repeats group32 =
      prefill([&](double rate, const Limits& l) { return over(rate * prompt_operations * 1e-9, l.vnni_group32_gops); });
  out.prefill_group32 = group32.median();
  out.prefill_spread = group32.inner_spread();
  out.attention_peak = each_share({}, row.attention, row.limits, [](double rate, const Limits& l) {
                         return over(rate * 1e-9, l.fp32_gflops);
                       }).median();
  return out;
}

std::string impossible_share(const BenchRow& row) {
  const Shares s = shares(row);
  const struct {
    double value;
    const char* of;
  } all[] = {{s.decode_bandwidth, "read_gb_per_s"},
             {s.decode_limit, "the lower of read_gb_per_s and vnni_gops"},
             {s.prefill_peak, "vnni_gops"},
             {s.prefill_group32, "vnni_group32_gops"},
             {s.attention_peak, "fp32_gflops"}};
  for (const auto& one : all) {
    if (one.value > highest_share)
      return fmt::format(
          "{}: {:.3f} of {}, more than there can be: that limit was measured too low, as other work took the "
          "processor; "
          "run it again on a quiet machine",
          row.work, one.value, one.of);
  }
  return "";
}

nlohmann::ordered_json to_json(const BenchRow& row, const std::vector<PeerRate>& peers) {
  const Shares s = shares(row);
  const Limits limits = median_limits(row.limits);
  nlohmann::ordered_json out;
  out["work"] = row.work;
  out["model"] = row.model;
  out["backend"] = row.backend;
  out["rows"] = row.sessions;
  out["threads"] = row.threads;
  out["prompt_tokens"] = row.prompt;
  out["new_tokens"] = row.tokens;
  out["repeats"] = row.limits.size();
  out["prefill_tokens_per_s"] = row.prefill.median();
  out["prefill_spread"] = row.prefill.spread();
  out["decode_tokens_per_s"] = row.decode.median();
  out["decode_spread"] = row.decode.spread();
  out["weight_bytes_per_token"] = row.cost.bytes_per_token;
  out["kv_bytes_per_token"] = row.kv_bytes;
  out["read_gb_per_s"] = limits.read_gb_per_s;
  out["vnni_gops"] = limits.vnni_gops;
  out["vnni_group32_gops"] = limits.vnni_group32_gops;
  out["fp32_gflops"] = limits.fp32_gflops;
  out["decode_bandwidth_fraction"] = s.decode_bandwidth;
  out["decode_limit_fraction"] = s.decode_limit;
  out["prefill_peak_fraction"] = s.prefill_peak;
  out["prefill_group32_fraction"] = s.prefill_group32;
  out["decode_pairs"] = row.decode_pairs.size();
  out["decode_fraction_spread"] = s.decode_spread;
  out["prefill_pairs"] = row.prefill_pairs.size();
  out["prefill_fraction_spread"] = s.prefill_spread;
  out["step_p99_ms"] = percentile(row.steps_ms, 0.99);
  out["step_p999_ms"] = percentile(row.steps_ms, 0.999);
  out["spin_p99_ms"] = percentile(row.spins_ms, 0.99);
  out["spin_p999_ms"] = percentile(row.spins_ms, 0.999);
  out["longest_wait_ms"] = row.longest_wait_ms;
  out["peak_rss_bytes"] = row.peak_rss;
  out["peak_rss_over_weights"] = over(static_cast<double>(row.peak_rss), static_cast<double>(row.cost.file_bytes));
  out["load_ms"] = row.load_ms;
  if (row.budget_ms > 0) {
    out["budget_ms"] = row.budget_ms;
    out["overrun_p99_ms"] = std::max(0.0, percentile(row.steps_ms, 0.99) - row.budget_ms);
    out["overrun_p999_ms"] = std::max(0.0, percentile(row.steps_ms, 0.999) - row.budget_ms);
  }
  if (!row.attention.values.empty()) {
    out["attention_gflops"] = row.attention.median() * 1e-9;
    out["attention_peak_fraction"] = s.attention_peak;
  }
  if (!row.start_ms.values.empty()) {
    out["start_to_first_token_ms"] = row.start_ms.median();
    out["start_spread"] = row.start_ms.spread();
  }
  if (!row.first_token_ms.values.empty()) {
    out["first_token_p50_ms"] = percentile(row.first_token_ms.values, 0.5);
    out["first_token_p99_ms"] = percentile(row.first_token_ms.values, 0.99);
  }
  for (const PeerRate& peer : peers) {
    const std::string name = "peer_" + peer.peer + "_";
    out[name + "prefill_tokens_per_s"] = peer.prefill;
    out[name + "prefill_ratio"] = over(row.prefill.median(), peer.prefill);
    out[name + "decode_tokens_per_s"] = peer.decode;
    out[name + "decode_ratio"] = over(row.decode.median(), peer.decode);
  }
  if (row.interrupted) out["interrupted"] = true;
  return out;
}

std::string table(const std::vector<BenchRow>& rows, const std::vector<std::vector<PeerRate>>& peers) {
  constexpr const char* line = "{:<22} {:>10} {:>8} {:>10} {:>8} {:>8} {:>8} {:>8}\n";
  std::string out =
      fmt::format(line, "work", "prefill/s", "of peak", "decode/s", "of read", "of limit", "p99 ms", "p999 ms");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const BenchRow& row = rows[i];
    const Shares s = shares(row);
    out += fmt::format(line, row.work, number(row.prefill.median()), share(s.prefill_group32),
                       number(row.decode.median()), share(s.decode_bandwidth), share(s.decode_limit),
                       row.budget_ms > 0 ? fmt::format("{:.3f}", percentile(row.steps_ms, 0.99)) : "",
                       row.budget_ms > 0 ? fmt::format("{:.3f}", percentile(row.steps_ms, 0.999)) : "");
    if (row.budget_ms > 0)
      out += fmt::format(line, "  a spinning loop", "", "", "", "", "",
                         fmt::format("{:.3f}", percentile(row.spins_ms, 0.99)),
                         fmt::format("{:.3f}", percentile(row.spins_ms, 0.999)));
    if (!row.start_ms.values.empty())
      out += fmt::format("  start to first token {:.0f} ms, load {:.0f} ms, peak memory {:.3f} of the weights\n",
                         row.start_ms.median(), row.load_ms,
                         over(static_cast<double>(row.peak_rss), static_cast<double>(row.cost.file_bytes)));
    if (!row.attention.values.empty())
      out += fmt::format("  attention alone {:.1f} GFLOP/s, {:.3f} of the FP32 peak\n", row.attention.median() * 1e-9,
                         s.attention_peak);
    if (i >= peers.size()) continue;
    for (const PeerRate& peer : peers[i])
      out += fmt::format(line, "  " + peer.peer, number(peer.prefill), ratio(row.prefill.median(), peer.prefill),
                         number(peer.decode), ratio(row.decode.median(), peer.decode), "", "", "");
  }
  if (rows.empty()) return out;
  const Limits l = median_limits(rows.front().limits);
  out += fmt::format(
      "limits ({} threads): read {:.1f} GB/s, dot products {:.0f} GOP/s, in groups of 32 {:.0f} GOP/s, FP32 {:.0f} "
      "GFLOP/s\n",
      rows.front().threads, l.read_gb_per_s, l.vnni_gops, l.vnni_group32_gops, l.fp32_gflops);
  return out;
}

}  // namespace kinglet::cli

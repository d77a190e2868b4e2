// examples/cli/bench_rows.hpp: what does a benchmark say about a piece of work, and which share of the limits is that?
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "limits.hpp"

namespace kinglet::cli {

/// Some measurements of one thing.
struct Repeats {
  std::vector<double> values;

  void add(double value) { values.push_back(value); }
  /// 0 for none.
  double median() const;
  /// (largest - smallest) / median; 0 for none.
  double spread() const;
  /// (ninth decile - first decile) / median, which a few disturbed ones do not change; 0 for none.
  double inner_spread() const;
};

/// A rate, and the limits measured right before and right after that very work. A limit that was not measured is 0.
struct Pair {
  double rate = 0;  ///< tokens/s of all sessions
  Limits limits;
};

/// What a model's weights cost.
struct WeightCost {
  std::uint64_t bytes_per_token =
      0;                            ///< read for a token: all matrices, of an embedding that is no output layer one row
  std::uint64_t file_bytes = 0;     ///< of all tensors
  double multiplies_per_token = 0;  ///< weights of blocks and output layer
  double block_multiplies = 0;      ///< of the blocks alone: what a token of a prompt costs
};

/// The result of one piece of work. Repeats stand beside each other: index i of all of them is the i-th run, `limits`
/// those measured around it.
struct BenchRow {
  std::string work;
  std::string model;
  std::string backend;
  std::uint32_t sessions = 1;
  unsigned threads = 1;
  std::uint32_t prompt = 0;     ///< tokens of each session
  std::uint32_t tokens = 0;     ///< that each session generates
  std::uint32_t step_rows = 1;  ///< most rows of a step of the prompt
  WeightCost cost;
  double kv_bytes = 0;         ///< read for a token in the middle of the generation
  double attention_flops = 0;  ///< of that token, all layers
  std::vector<Limits> limits;
  std::vector<Pair> prefill_pairs;  ///< one of a run; where there are any, they make the shares instead of `limits`
  std::vector<Pair> decode_pairs;   ///< one of every few tokens
  Repeats prefill;                  ///< tokens/s; empty where it is not what the row is about
  Repeats decode;                   ///< tokens/s of all sessions together; likewise
  Repeats attention;                ///< FLOP/s of attention alone; likewise
  Repeats start_ms;                 ///< from the start of the process to the first token; likewise
  Repeats first_token_ms;           ///< from a session's submit; where sessions arrive
  std::vector<double> steps_ms;
  std::vector<double> spins_ms;  ///< what a loop that watches the clock took for the budget
  double budget_ms = 0;          ///< 0 = none
  double longest_wait_ms = 0;    ///< between two tokens of a session
  std::uint64_t peak_rss = 0;    ///< bytes
  double load_ms = 0;
  bool interrupted = false;
};

/// Shares of the limits, each the median over the pairs, or where there are none over the repeats; 0 where the row has
/// neither.
struct Shares {
  double decode_bandwidth = 0;  ///< bytes of weights and KV a second over the read bandwidth
  double decode_limit = 0;      ///< tokens/s over what the slower of memory and integer units allows
  double prefill_peak = 0;      ///< 2 x block weights x tokens/s over vnni_gops
  double prefill_group32 = 0;   ///< over vnni_group32_gops
  double attention_peak = 0;    ///< over fp32_gflops
  double decode_spread = 0;     ///< of decode_bandwidth over the pairs
  double prefill_spread = 0;    ///< of prefill_group32, likewise
};
Shares shares(const BenchRow& row);

/// What is wrong with a share above 1.02, in a line; "" where none is.
std::string impossible_share(const BenchRow& row);

/// A peer's rate at the same work.
struct PeerRate {
  std::string peer;
  double prefill = 0;  ///< tokens/s; 0 = not measured
  double decode = 0;
};

/// The keys of `bench --json`; see docs/performance.md.
nlohmann::ordered_json to_json(const BenchRow& row, const std::vector<PeerRate>& peers = {});

/// A line of text for each row, and one beneath it for each peer: rates, and ours over the peer's.
std::string table(const std::vector<BenchRow>& rows, const std::vector<std::vector<PeerRate>>& peers);

}  // namespace kinglet::cli

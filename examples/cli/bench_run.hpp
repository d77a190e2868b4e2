// examples/cli/bench_run.hpp: how long does an engine take for a piece of work?
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <kinglet/engine.hpp>

#include "bench_rows.hpp"

namespace kinglet::cli {

/// Sessions that each read a prompt and then speak.
struct BenchWork {
  std::uint32_t sessions = 1;
  std::uint32_t prompt = 512;  ///< tokens
  std::uint32_t tokens = 64;   ///< that each generates
  double budget_ms = 0;        ///< of a step; 0 = none
  double arrivals_per_s = 0;   ///< sessions come one by one (Poisson); 0 = all at once
  std::uint64_t seed = 1;
};

/// Measures limits between the steps of a run. Empty functions measure nothing.
struct Probe {
  std::function<Limits()> prefill;  ///< before and after every step of the prompts
  std::function<Limits()> decode;   ///< before and after every `group` steps that follow
  std::uint32_t group = 1;
};

/// What the sessions did together, once.
struct BenchSample {
  double prefill_s = 0;       ///< until every session has its first token
  double decode_s = 0;        ///< from there until the first one is done
  std::uint64_t decoded = 0;  ///< tokens of all sessions in that time
  std::vector<double> steps_ms;
  std::vector<double> spins_ms;        ///< with a budget: a spinning loop's time after each step
  std::vector<double> first_token_ms;  ///< where sessions arrive
  double longest_wait_ms = 0;
  std::vector<Pair> decode_pairs;
  std::optional<Pair> prefill_pair;  ///< limits are the mean over the prompts' time

  double prefill_rate(const BenchWork& work) const;  ///< tokens/s; 0 = was not seen
  double decode_rate() const;
};

/// Runs it to the end (Ctrl-C ends it early). The time of spinning loops and of probes is in no sum. Where sessions
/// arrive, `decoded` and `decode_s` are of the whole run. Only work without a budget and without arrivals is probed.
/// @param on_step  called after every step with the share of the tokens that are done; its time is in no sum either
BenchSample run_work(Engine& engine, const BenchWork& work, const Probe& probe = {},
                     const std::function<void(double share)>& on_step = {});

/// FLOP/s of attention alone as it is in a long prompt: a layer of the model's heads, the last steps of `context`
/// positions. 0 where the backend cannot be asked.
/// @param rows  of a step
double attention_flops(const Engine& engine, const EngineOptions& options, std::uint32_t context, std::uint32_t rows);

/// What a new process does until its first token.
struct FirstToken {
  double ms = 0;               ///< from its start
  std::uint64_t peak_rss = 0;  ///< bytes, at its end
};

/// Starts this program anew with `arguments`, and waits for the byte that it writes with its first token.
FirstToken time_first_token(const std::vector<std::string>& arguments);

}  // namespace kinglet::cli

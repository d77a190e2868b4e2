// How fast is decode on the threads of a job system that is not ours?
//
// tbb_bench MODEL [threads] [tokens]: tokens per second of one session, on our pool and on oneTBB's threads in turn,
// seven times; the median of each and of the paired ratios.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <kinglet/kinglet.hpp>

#include "tests/bench/need.hpp"
#include "tests/bench/tbb_hooks.hpp"

using namespace kinglet;
using test::need;
using Clock = std::chrono::steady_clock;

namespace {

double tokens_per_second(Engine& engine, std::uint32_t tokens) {
  Session session = need(engine.open_session({.format = PromptFormat::text}));
  need(session.submit("Once upon a time", {.max_new_tokens = tokens + 1, .ignore_end = true}));
  while (session.tokens().empty()) (void)need(engine.step(std::chrono::hours(1)));
  const auto start = Clock::now();
  while (session.state() == SessionState::running) (void)need(engine.step(std::chrono::hours(1)));
  return tokens / std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "tbb_bench MODEL [threads] [tokens]\n"), 2;
  EngineOptions options;
  options.threads = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 2;
  const auto tokens = static_cast<std::uint32_t>(argc > 3 ? std::atoi(argv[3]) : 64);
  test::TbbHost host;
  Engine own = need(Engine::load(argv[1], options));
  options.hooks = host.hooks();
  Engine lent = need(Engine::load(argv[1], options));
  std::vector<double> with_own, with_lent, ratios;
  for (int i = 0; i < 7; ++i) {
    with_own.push_back(tokens_per_second(own, tokens));
    with_lent.push_back(tokens_per_second(lent, tokens));
    ratios.push_back(with_lent.back() / with_own.back());
  }
  std::printf("our pool  %.2f tokens/s\noneTBB    %.2f tokens/s\nratio     %.3f\n", median(with_own), median(with_lent),
              median(ratios));
  return 0;
}

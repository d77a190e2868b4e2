// How long does a session wait for its first token while another one's prompt is read?
//
// urgent_bench MODEL [threads] [budget in microseconds]: a question of a few words, submitted after the first steps of
// a prompt of some 1,000 tokens: to an ordinary session, to an urgent one, and to one in an engine that has nothing
// else to do. Medians of 5, in milliseconds; all steps have the budget.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <kinglet/kinglet.hpp>

#include "tests/bench/need.hpp"

using namespace kinglet;
using test::need;
using Clock = std::chrono::steady_clock;

namespace {

/// Milliseconds from the submit to the first token.
double wait(Engine& engine, bool urgent, bool alone, std::chrono::nanoseconds budget) {
  SessionOptions options;
  options.format = PromptFormat::text;
  Session reader = need(engine.open_session(options));
  options.urgent = urgent;
  Session guard = need(engine.open_session(options));
  std::string prompt;
  for (int i = 0; i < 200; ++i) prompt += "The watchman saw a light. ";
  if (!alone) {
    need(reader.submit(prompt, {.max_new_tokens = 1}));
    for (int i = 0; i < 5; ++i) (void)need(engine.step(budget));
  }
  const auto start = Clock::now();
  need(guard.submit("Who goes there? Speak!", {.max_new_tokens = 1, .ignore_end = true}));
  while (guard.state() == SessionState::running) (void)need(engine.step(budget));
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(Engine& engine, bool urgent, bool alone, std::chrono::nanoseconds budget) {
  std::vector<double> all;
  for (int i = 0; i < 5; ++i) all.push_back(wait(engine, urgent, alone, budget));
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "urgent_bench MODEL [threads] [budget in microseconds]\n"), 2;
  EngineOptions options;
  options.threads = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 2;
  options.max_sessions = 2;
  options.context = 4096;
  options.urgent_rows = 16;
  const std::chrono::nanoseconds budget = std::chrono::microseconds(argc > 3 ? std::atoi(argv[3]) : 2000);
  Engine engine = need(Engine::load(argv[1], options));
  (void)wait(engine, true, false, budget);  // costs of pieces become known
  std::printf("ordinary %.1f\n", median(engine, false, false, budget));
  std::printf("urgent   %.1f\n", median(engine, true, false, budget));
  std::printf("alone    %.1f\n", median(engine, true, true, budget));
  const std::size_t with = need(Engine::plan(argv[1], options)).activations;
  options.urgent_rows = 0;
  std::printf("bytes of urgent_rows = 16: %zu\n", with - need(Engine::plan(argv[1], options)).activations);
  return 0;
}

#include "bench_flags.hpp"

#include <limits>

#include "bench_peers.hpp"
#include "failure.hpp"
#include "numbers.hpp"

namespace kinglet::cli {
namespace {

void add_work_flags(CLI::App& app, BenchFlags& flags) {
  app.add_option("--prompt-tokens", flags.prompt, "Tokens of each session's prompt")
      ->transform(whole(1, 1 << 20))
      ->capture_default_str();
  app.add_option("-n", flags.tokens, "Tokens each session generates")
      ->transform(whole(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--sessions", flags.sessions, "Sessions that run at once")
      ->transform(whole(1, 1024u))
      ->capture_default_str();
  app.add_option("--arrivals", flags.arrivals, "Sessions come one by one, at random times")
      ->check(CLI::IsMember({"poisson"}));
  app.add_option("--arrival-rate", flags.arrival_rate, "With --arrivals: sessions a second")
      ->transform(real(1e-3, 1e6))
      ->capture_default_str();
  app.add_option("--budget-ms", flags.budget_ms, "Budget of each step, with percentiles beside those of a spin loop")
      ->transform(real(0.001, 1e6));
  app.add_option("--suite", flags.suite, "Rows of the table: all, or some of decode,prefill,batch,long,budget,start")
      ->delimiter(',')
      ->check(CLI::IsMember({"all", "decode", "prefill", "batch", "long", "budget", "start"}));
  app.add_option("--long-prompt", flags.long_prompt, "With --suite: tokens of the long prompt")
      ->transform(whole(16, 1 << 20))
      ->capture_default_str();
  app.add_option("--repeats", flags.repeats, "Times that each measurement is made; the median is shown")
      ->transform(whole(1, 1000u))
      ->capture_default_str();
}

/// What would change nothing is an error.
void add_relations(CLI::App& app, BenchFlags& flags) {
  for (const char* name : {"-n", "--sessions", "--suite", "--arrivals", "--budget-ms", "--repeats", "--plot",
                           "--compare", "--ctx", "--json"})
    app.get_option("--first-token")->excludes(app.get_option(name));
  for (const char* name : {"--sessions", "--prompt-tokens", "--arrivals"})
    app.get_option("--suite")->excludes(app.get_option(name));
  for (const char* name : {"--weights", "--output-type"}) app.get_option(name)->needs(app.get_option("--synthetic"));
  app.get_option("--arrival-rate")->needs(app.get_option("--arrivals"));
  app.get_option("--long-prompt")->needs(app.get_option("--suite"));
  flags.long_option = app.get_option("--long-prompt");
}

}  // namespace

void add_bench_flags(CLI::App& app, BenchFlags& flags) {
  app.add_option("model", flags.path, "GGUF file");
  app.add_option("--synthetic", flags.shape, "A shape with random weights instead of a file; see 'kinglet synth'");
  app.add_option("--weights", flags.weights, "With --synthetic: type of the weights")->capture_default_str();
  app.add_option("--output-type", flags.output, "With --synthetic: type of the output layer");
  app.add_option("--seed", flags.seed, "Seed of prompts, arrivals and synthetic weights")
      ->transform(whole(0, std::numeric_limits<std::uint64_t>::max()))
      ->capture_default_str();
  add_work_flags(app, flags);
  app.add_flag("--first-token", flags.first_token,
               "Only load, read the prompt and end with an empty line at the first token");
  app.add_option("--plot", flags.plot, "Writes a roofline with the results to this SVG file");
  app.add_option("--compare", flags.compare,
                 "Results of llama-bench (-o json) or llama-batched-bench (jsonl) to show beside ours")
      ->delimiter(',');
  add_model_flags(app, flags.model, 1);
  add_relations(app, flags);
}

void check_bench_flags(const BenchFlags& flags) {
  if (flags.path.empty() == flags.shape.empty()) bad_usage("bench: give either a MODEL file or --synthetic SHAPE");
  const auto asked = [&](const char* name) { return flags.suite.empty() || flags.asks_for(name); };
  if (flags.long_option->count() > 0 && !asked("long"))
    bad_usage("--long-prompt: --suite has no row 'long' here; leave it out");
  if (flags.budget_ms > 0 && !asked("budget")) bad_usage("--budget-ms: --suite has no row 'budget' here; leave it out");
  for (const std::string& path : flags.compare) read_peer(path);
}

}  // namespace kinglet::cli

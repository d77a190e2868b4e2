// examples/cli/bench.cpp: kinglet bench: how fast is a model here, and how near to what the memory can deliver?
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include <kinglet/core/memory.hpp>
#include <kinglet/engine.hpp>
#include <kinglet/model/gguf.hpp>
#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "files.hpp"
#include "generation.hpp"
#include "interrupt.hpp"
#include "layout.hpp"
#include "machine.hpp"
#include "options.hpp"
#include "program.hpp"
#include "progress.hpp"
#include "random.hpp"
#include "synthesis.hpp"

namespace kinglet::cli {
namespace {

using Json = nlohmann::ordered_json;
using Milliseconds = std::chrono::duration<double, std::milli>;

struct BenchFlags {
  ModelFlags model;
  std::string path;
  std::string shape;
  std::string weights = "q4_0";
  std::string output;
  std::uint32_t prompt = 256;
  std::uint32_t tokens = 64;
  std::uint32_t sessions = 1;
  std::uint64_t seed = 1;
  double budget_ms = 0;
};

/// A model that is made for the run and goes with it.
struct TemporaryModel {
  std::string path;

  TemporaryModel() = default;
  TemporaryModel(const TemporaryModel&) = delete;
  TemporaryModel& operator=(const TemporaryModel&) = delete;
  ~TemporaryModel() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove(path, ignored);
  }
};

/// What the sessions did together.
struct Measured {
  double prefill_s = 0;  ///< from the first submit until every session has its first token
  double decode_s = 0;   ///< from there on
  std::uint64_t decoded = 0;
  std::vector<double> steps_ms;
  double longest_wait_ms = 0;  ///< between two tokens of a session
};

/// Bytes of weights that one decoded token reads: all matrices, of an untied embedding one row.
std::uint64_t weight_bytes_per_token(const std::string& path) {
  core::Memory memory;
  const model::Gguf file = take(model::Gguf::open(path, memory), path);
  const bool untied = file.find("output.weight") != nullptr;
  std::uint64_t bytes = 0;
  for (const model::TensorInfo& tensor : file.tensors())
    bytes += untied && tensor.name == "token_embd.weight" ? tensor.bytes / tensor.dims[1] : tensor.bytes;
  return bytes;
}

std::vector<Session> start(Engine& engine, const BenchFlags& flags) {
  std::vector<Session> sessions;
  Random random(flags.seed);
  const std::uint32_t vocab = engine.model().vocab;
  for (std::uint32_t i = 0; i < flags.sessions; ++i) {
    std::vector<std::int32_t> prompt;
    while (prompt.size() < flags.prompt) {
      const auto token = static_cast<std::int32_t>(random.below(vocab));
      if (engine.tokenizer().type(token) == text::TokenType::normal) prompt.push_back(token);
    }
    sessions.push_back(take(engine.open_session({.format = PromptFormat::text}), "a session"));
    GenerateOptions options{.max_new_tokens = flags.tokens, .ignore_end = true};
    options.sampling.seed = flags.seed + i;
    check(sessions.back().submit_tokens(prompt, options), "the prompt");
  }
  return sessions;
}

Measured measure(Engine& engine, const BenchFlags& flags) {
  const std::chrono::nanoseconds budget =
      flags.budget_ms > 0 ? std::chrono::duration_cast<std::chrono::nanoseconds>(Milliseconds(flags.budget_ms))
                          : std::chrono::nanoseconds(std::chrono::hours(1));
  std::vector<Session> sessions = start(engine, flags);
  std::vector<double> last_ms(sessions.size(), 0);
  std::vector<bool> began(sessions.size(), false);
  std::size_t beginning = sessions.size();
  Measured out;
  const Stopwatch watch;
  for (bool running = true; running && !interrupted();) {
    const double before = watch.seconds() * 1e3;
    take(engine.step(budget), "a step");
    const double now = watch.seconds() * 1e3;
    out.steps_ms.push_back(now - before);
    running = false;
    const bool all_began = beginning == 0;
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      if (sessions[i].state() == SessionState::poisoned)
        bad_input("a session failed: {}", static_cast<const char*>(sessions[i].error().message));
      running = running || sessions[i].state() == SessionState::running;
      if (sessions[i].tokens().empty()) continue;
      if (began[i]) out.longest_wait_ms = std::max(out.longest_wait_ms, now - last_ms[i]);
      beginning -= began[i] ? 0 : 1;
      began[i] = true;
      last_ms[i] = now;
      if (all_began) out.decoded += sessions[i].tokens().size();
    }
    if (!all_began && beginning == 0) out.prefill_s = now * 1e-3;
  }
  out.decode_s = watch.seconds() - out.prefill_s;
  return out;
}

double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0.0; }

Json report(const BenchFlags& flags, const EngineOptions& options, Engine& engine, const std::string& path,
            double load_ms) {
  const Measured run = measure(engine, flags);
  const model::ModelConfig& m = engine.model();
  const std::uint64_t element = options.kv == KvFormat::fp32 ? 4 : 2;
  const double kv =
      2.0 * m.layers * m.kv_heads * m.head_dim * static_cast<double>(element) * (flags.prompt + flags.tokens / 2.0);
  const std::uint64_t weights = weight_bytes_per_token(path);
  const double decode = rate(static_cast<double>(run.decoded), run.decode_s);
  const double bandwidth = read_gb_per_s(options.threads);
  Json out;
  out["work"] = flags.shape.empty() ? std::filesystem::path(path).filename().string() : flags.shape;
  out["backend"] = engine.backend();
  out["rows"] = flags.sessions;
  out["threads"] = options.threads;
  out["prompt_tokens"] = flags.prompt;
  out["new_tokens"] = flags.tokens;
  out["prefill_tokens_per_s"] = rate(static_cast<double>(flags.prompt) * flags.sessions, run.prefill_s);
  out["decode_tokens_per_s"] = decode;
  out["weight_bytes_per_token"] = weights;
  out["kv_bytes_per_token"] = kv;
  out["read_gb_per_s"] = bandwidth;
  // A batch reads the weights once for all its rows.
  const double bytes = static_cast<double>(weights) / flags.sessions + kv;
  out["decode_bandwidth_fraction"] = rate(bytes * decode * 1e-9, bandwidth);
  out["step_p99_ms"] = percentile(run.steps_ms, 0.99);
  out["step_p999_ms"] = percentile(run.steps_ms, 0.999);
  if (flags.budget_ms > 0) {
    const auto spins = spin_times(std::chrono::duration_cast<std::chrono::nanoseconds>(Milliseconds(flags.budget_ms)),
                                  std::min<std::size_t>(run.steps_ms.size(), 2000));
    out["budget_ms"] = flags.budget_ms;
    out["spin_p99_ms"] = percentile(spins, 0.99);
    out["spin_p999_ms"] = percentile(spins, 0.999);
  }
  out["longest_wait_ms"] = run.longest_wait_ms;
  out["peak_rss_bytes"] = peak_rss_bytes();
  out["load_ms"] = load_ms;
  if (interrupted()) out["interrupted"] = true;
  return out;
}

void bench(BenchFlags flags) {
  if (flags.path.empty() == flags.shape.empty()) bad_usage("bench: give either a MODEL file or --synthetic SHAPE");
  flags.model.context = std::max(flags.model.context, flags.prompt + flags.tokens + 1);
  EngineOptions options = engine_options(flags.model);
  options.max_sessions = flags.sessions;
  TemporaryModel temporary;
  std::string path = flags.path;
  if (!flags.shape.empty()) {
    const std::filesystem::path folder = std::filesystem::temp_directory_path();
    temporary.path = (folder / fmt::format("kinglet-bench-{}.gguf", getpid())).string();
    path = temporary.path;
    synthesize(flags.shape, path, parse_type(flags.weights, "--weights"), flags.output, flags.seed);
    if (interrupted()) return;
  }
  const Stopwatch loading;
  Engine engine = load_engine(path, options);
  const double load_ms = loading.seconds() * 1e3;
  const Json out = report(flags, options, engine, path, load_ms);
  if (flags.model.json)
    std::puts(out.dump().c_str());
  else
    for (const auto& [key, value] : out.items())
      std::printf("%-26s %s\n", key.c_str(),
                  value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
}

}  // namespace

void add_bench(Program& program) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* app = program.app.add_subcommand("bench", "Rates of prefill and decoding, memory, shares of the bandwidth");
  app->add_option("model", flags->path, "GGUF file");
  app->add_option("--synthetic", flags->shape, "A shape with random weights instead of a file; see 'kinglet synth'");
  app->add_option("--weights", flags->weights, "With --synthetic: type of the weights")->capture_default_str();
  app->add_option("--output-type", flags->output, "With --synthetic: type of the output layer");
  app->add_option("--prompt-tokens", flags->prompt, "Tokens of each session's prompt")
      ->check(CLI::Range(1u, 1u << 20))
      ->capture_default_str();
  app->add_option("-n", flags->tokens, "Tokens each session generates")
      ->check(CLI::Range(2u, 1u << 20))
      ->capture_default_str();
  app->add_option("--sessions", flags->sessions, "Sessions that run at once")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  app->add_option("--seed", flags->seed, "Seed of prompts and synthetic weights")->capture_default_str();
  app->add_option("--budget-ms", flags->budget_ms, "Budget of each step, with percentiles beside those of a spin loop")
      ->check(CLI::Range(0.001, 1e6));
  add_model_flags(*app, flags->model, 1);
  app->callback([&program, flags] { program.action = [flags] { bench(*flags); }; });
}

}  // namespace kinglet::cli

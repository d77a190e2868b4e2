// examples/cli/bench.cpp: kinglet bench: how fast is a model here, and how near to what the machine can deliver?
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include <kinglet/core/memory.hpp>
#include <kinglet/engine.hpp>
#include <kinglet/model/gguf.hpp>
#include <nlohmann/json.hpp>

#include "bench_flags.hpp"
#include "bench_peers.hpp"
#include "bench_plot.hpp"
#include "bench_rows.hpp"
#include "bench_run.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "generation.hpp"
#include "interrupt.hpp"
#include "json_line.hpp"
#include "layout.hpp"
#include "machine.hpp"
#include "options.hpp"
#include "output_file.hpp"
#include "program.hpp"
#include "progress.hpp"
#include "synthesis.hpp"
#include "temporary_file.hpp"

namespace kinglet::cli {
namespace {

/// One row of the table: its work, and which of the two rates it is about.
struct Planned {
  std::string name;
  BenchWork work;
  bool prefill = true;
  bool decode = true;
  bool attention = false;
  bool once = false;  ///< takes so long that it is not repeated
};

/// @param output  what --output-weights makes of the output layer
WeightCost weight_cost(const std::string& path, std::optional<quant::Format> output) {
  core::Memory memory;
  const model::Gguf file = take(model::Gguf::open(path, memory), path);
  const bool untied = file.find("output.weight") != nullptr;
  WeightCost cost;
  for (const model::TensorInfo& tensor : file.tensors()) {
    const bool lookup = untied && tensor.name == "token_embd.weight";
    cost.file_bytes += tensor.bytes;
    const bool remade = output && tensor.name == (untied ? "output.weight" : "token_embd.weight");
    const auto columns = static_cast<std::size_t>(tensor.dims[0]);
    const std::size_t read = remade ? quant::format_bytes(*output, columns) * tensor.dims[1] : tensor.bytes;
    cost.bytes_per_token += lookup ? tensor.bytes / tensor.dims[1] : read;
    if (tensor.rank < 2 || lookup) continue;
    cost.multiplies_per_token += static_cast<double>(tensor.elements());
    if (tensor.name.substr(0, 4) == "blk.") cost.block_multiplies += static_cast<double>(tensor.elements());
  }
  return cost;
}

/// The rows that `flags` ask for.
std::vector<Planned> plan_rows(const BenchFlags& flags) {
  const auto asked = [&](const char* name) { return flags.asks_for(name); };
  std::vector<Planned> rows;
  const std::uint64_t seed = flags.seed;
  if (flags.suite.empty()) {
    Planned row{"prefill and decode", {flags.sessions, flags.prompt, flags.tokens, flags.budget_ms, 0, seed}};
    if (!flags.arrivals.empty()) {
      row.work.arrivals_per_s = flags.arrival_rate;
      row.name = "sessions that arrive";
      row.prefill = false;
    }
    rows.push_back(row);
  }
  if (asked("decode")) rows.push_back({"decode", {1, 16, flags.tokens, 0, 0, seed}, false});
  if (asked("prefill")) rows.push_back({"prefill 512", {1, 512, 2, 0, 0, seed}, true, false});
  for (const std::uint32_t n : {8u, 16u, 32u}) {
    if (asked("batch")) rows.push_back({fmt::format("decode of {}", n), {n, 16, 32, 0, 0, seed}, false});
  }
  if (asked("long"))
    rows.push_back(
        {fmt::format("at {}", flags.long_prompt), {1, flags.long_prompt, 32, 0, 0, seed}, true, true, true, true});
  if (asked("budget")) {
    const double budget = flags.budget_ms > 0 ? flags.budget_ms : 2.0;
    rows.push_back({fmt::format("steps of {:g} ms", budget), {1, 64, flags.tokens, budget, 0, seed}, false});
  }
  return rows;
}

double kv_bytes(const EngineOptions& options, const model::ModelConfig& m, const BenchWork& work) {
  const double element = options.kv == KvFormat::fp32 ? 4 : 2;
  return 2.0 * m.layers * m.kv_heads * m.head_dim * element * (work.prompt + work.tokens / 2.0);
}

void add_sample(BenchRow& row, const BenchSample& sample, const Planned& planned) {
  if (planned.prefill) {
    row.prefill.add(sample.prefill_rate(planned.work));
    if (sample.prefill_pair) row.prefill_pairs.push_back(*sample.prefill_pair);
  }
  if (planned.decode) {
    row.decode.add(sample.decode_rate());
    row.decode_pairs.insert(row.decode_pairs.end(), sample.decode_pairs.begin(), sample.decode_pairs.end());
  }
  row.steps_ms.insert(row.steps_ms.end(), sample.steps_ms.begin(), sample.steps_ms.end());
  row.spins_ms.insert(row.spins_ms.end(), sample.spins_ms.begin(), sample.spins_ms.end());
  if (planned.work.arrivals_per_s > 0)
    for (const double ms : sample.first_token_ms) row.first_token_ms.add(ms);
  row.longest_wait_ms = std::max(row.longest_wait_ms, sample.longest_wait_ms);
}

/// Limits between a row's steps. A read pass takes as many bytes as the tokens between two of them, from a buffer of
/// the weights' size, so that caches help both alike.
Probe probe_of(const BenchRow& row, LimitGauge& gauge) {
  if (row.backend == "cuda") return {};                           // the limits are the CPU's
  constexpr std::uint64_t pass_bytes = std::uint64_t{256} << 20;  // some milliseconds: a thread's start counts little
  const std::uint64_t each = std::max<std::uint64_t>(row.cost.bytes_per_token, 1);
  Probe probe;
  probe.group = static_cast<std::uint32_t>((pass_bytes + each - 1) / each);
  probe.prefill = [&gauge] { return gauge.integers_now(); };
  probe.decode = [&gauge, many = row.sessions > 1, times = probe.group] {
    const double read = gauge.read_now(times);
    Limits limits = many ? gauge.integers_now() : Limits{};
    limits.read_gb_per_s = read;
    return limits;
  };
  return probe;
}

/// Measures the limits after a run, again where its share would be above what there can be: then other work has slowed
/// them. The row gets the higher of these and those before the run.
Limits measure_limits(BenchRow& row, LimitGauge& gauge, const Limits& before) {
  Limits now = gauge.measure();
  row.limits.push_back(best_of(before, now));
  for (int tries = 1; tries < 5 && !impossible_share(row).empty(); ++tries) {
    now = best_of(now, gauge.measure());
    row.limits.back() = best_of(before, now);
  }
  return now;
}

/// Runs a row's repeats, each between two measurements of the limits, of which the higher counts.
BenchRow measure(Engine& engine, const EngineOptions& options, const BenchFlags& flags, Planned planned, BenchRow row,
                 LimitGauge& gauge, Limits& last) {
  row.work = planned.name;
  row.sessions = planned.work.sessions;
  row.prompt = planned.work.prompt;
  row.tokens = planned.work.tokens;
  row.step_rows = options.max_rows;
  row.budget_ms = planned.work.budget_ms;
  row.kv_bytes = kv_bytes(options, engine.model(), planned.work);
  const std::uint64_t loaded_rss = gauge.buffer_bytes() == 0 ? peak_rss_bytes() : 0;
  if (last.read_gb_per_s == 0) last = gauge.measure();
  const Probe probe = probe_of(row, gauge);
  Progress bar(planned.name);
  const std::uint32_t repeats = planned.once ? 1 : flags.repeats;
  for (std::uint32_t i = 0; i < repeats && !interrupted(); ++i) {
    planned.work.seed += 1000;
    const BenchSample sample =
        run_work(engine, planned.work, probe, [&](double share) { bar.show((i + share) / repeats); });
    if (interrupted()) break;
    add_sample(row, sample, planned);
    if (planned.attention) row.attention.add(attention_flops(engine, options, planned.work.prompt, options.max_rows));
    if (row.peak_rss == 0) {  // the limits' buffer is not the model's
      const std::uint64_t peak = peak_rss_bytes();
      row.peak_rss = std::max(loaded_rss, peak - std::min<std::uint64_t>(peak, gauge.buffer_bytes()));
    }
    last = measure_limits(row, gauge, last);
  }
  if (row.spins_ms.empty()) row.spins_ms = spin_times(std::chrono::milliseconds(1), 100);
  row.interrupted = interrupted();
  return row;
}

/// How the same flags look to a process that only wants its first token.
std::vector<std::string> first_token_arguments(const BenchFlags& flags, const EngineOptions& options,
                                               const std::string& path) {
  std::vector<std::string> out = {"kinglet",
                                  "bench",
                                  path,
                                  "--first-token",
                                  "--prompt-tokens",
                                  "512",
                                  "--threads",
                                  std::to_string(options.threads),
                                  "--activations",
                                  flags.model.activations,
                                  "--kv",
                                  flags.model.kv,
                                  "--scores",
                                  flags.model.scores,
                                  "--bits",
                                  flags.model.bits};
  if (flags.model.prefault) out.push_back("--prefault");
  if (!flags.model.backend.empty()) out.insert(out.end(), {"--backend", flags.model.backend});
  if (!flags.model.output_weights.empty()) out.insert(out.end(), {"--output-weights", flags.model.output_weights});
  if (options.device >= 0) out.insert(out.end(), {"--device", std::to_string(options.device)});
  if (options.gpu_layers >= 0) out.insert(out.end(), {"--gpu-layers", std::to_string(options.gpu_layers)});
  return out;
}

/// Processes of their own, so that a start is a start and their peak memory is of one session.
BenchRow measure_start(const BenchFlags& flags, const EngineOptions& options, const std::string& path, BenchRow row,
                       LimitGauge& gauge) {
  row.work = "start to first token";
  row.prompt = 512;
  row.tokens = 1;
  row.peak_rss = 0;
  Progress bar(row.work);
  for (std::uint32_t i = 0; i < flags.repeats && !interrupted(); ++i) {
    bar.show(static_cast<double>(i) / flags.repeats);
    const FirstToken first = time_first_token(first_token_arguments(flags, options, path));
    row.start_ms.add(first.ms);
    row.peak_rss = std::max(row.peak_rss, first.peak_rss);
  }
  row.limits.push_back(gauge.measure());
  return row;
}

/// Loads, reads a prompt, and writes a byte at the first token.
void only_first_token(const BenchFlags& flags, EngineOptions options, const std::string& path) {
  options.context = flags.prompt + 16;
  Engine engine = load_engine(path, options);
  run_work(engine, {1, flags.prompt, 1, 0, 0, flags.seed});
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

std::vector<BenchRow> measure_all(const BenchFlags& flags, EngineOptions options, const std::string& path) {
  const std::vector<Planned> planned = plan_rows(flags);
  std::uint64_t tokens = 0;
  for (const Planned& row : planned) {
    const std::uint32_t each = row.work.prompt + row.work.tokens + 16;
    if (flags.model.context_given && options.context < each)
      bad_usage("--ctx {}: a session of '{}' has {} tokens; leave --ctx out, or give that many", options.context,
                row.name, each);
    options.context = std::max(options.context, each);
    options.max_sessions = std::max(options.max_sessions, row.work.sessions);
    tokens = std::max(tokens, std::uint64_t{each} * row.work.sessions);
  }
  options.kv_tokens = std::max<std::uint64_t>(tokens, options.context);
  BenchRow base;
  base.model = flags.shape.empty() ? std::filesystem::path(path).filename().string() : flags.shape;
  base.cost = weight_cost(path, options.output_weights);
  base.threads = options.threads;
  const Stopwatch loading;
  Engine engine = load_engine(path, options);
  base.load_ms = loading.seconds() * 1e3;
  base.backend = engine.backend();
  LimitGauge gauge(base.backend, options.threads, base.cost.bytes_per_token);
  std::vector<BenchRow> rows;
  Limits last;
  for (const Planned& row : planned) {
    if (interrupted()) break;
    rows.push_back(measure(engine, options, flags, row, base, gauge, last));
  }
  engine = Engine();
  if (flags.asks_for("start") && !interrupted()) rows.push_back(measure_start(flags, options, path, base, gauge));
  return rows;
}

void print(const BenchFlags& flags, const std::vector<BenchRow>& rows) {
  std::vector<std::vector<PeerRate>> peers(rows.size());
  for (const std::string& path : flags.compare) {
    const std::vector<PeerResult> results = read_peer(path);
    const std::string name = std::filesystem::path(path).stem().string();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const PeerRate rate = rate_at(name, results, rows[i]);
      if (rate.prefill > 0 || rate.decode > 0) peers[i].push_back(rate);
    }
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < rows.size(); ++i) list.push_back(to_json(rows[i], peers[i]));
  const bool sweep = !flags.suite.empty();
  if (flags.model.json) {
    print_line(sweep || list.empty() ? list : list[0]);
  } else if (sweep || !flags.compare.empty()) {
    std::fputs(table(rows, peers).c_str(), stdout);
  } else if (!list.empty()) {
    for (const auto& [key, value] : list[0].items())
      std::printf("%-26s %s\n", key.c_str(),
                  value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
}

void write_plot(const std::string& path, const std::vector<BenchRow>& rows) {
  const std::string image = roofline_svg(rows);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  const bool written = file != nullptr && std::fwrite(image.data(), 1, image.size(), file) == image.size();
  if ((file != nullptr && std::fclose(file) != 0) || !written)
    bad_input("{}: could not be written to; does its folder exist, and is there room?", path);
}

void bench(BenchFlags flags) {
  check_bench_flags(flags);
  EngineOptions options = engine_options(flags.model);
  std::optional<TemporaryFile> made;
  if (!flags.shape.empty()) {
    made.emplace();
    synthesize(flags.shape, made->path, parse_type(flags.weights, "--weights"), flags.output, flags.seed);
    if (interrupted()) return print(flags, {});
  }
  const std::string path = made ? made->path : flags.path;
  if (flags.first_token) return only_first_token(flags, options, path);
  const std::vector<BenchRow> rows = measure_all(flags, options, path);
  if (!flags.plot.empty()) write_plot(flags.plot, rows);
  print(flags, rows);
  if (interrupted()) return;
  for (const BenchRow& row : rows) {
    const std::string fault = impossible_share(row);
    if (!fault.empty()) bad_input("{}", fault);
  }
}

}  // namespace

void add_bench(Program& program) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* app = program.app.add_subcommand("bench", "Rates of prefill and decoding, memory, shares of the limits");
  add_bench_flags(*app, *flags);
  app->callback([&program, flags] { program.action = [flags] { bench(*flags); }; });
}

}  // namespace kinglet::cli

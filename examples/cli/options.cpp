#include "options.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <thread>

#include <kinglet/text/stream_decoder.hpp>

#include "failure.hpp"
#include "files.hpp"
#include "numbers.hpp"

namespace kinglet::cli {
namespace {

/// Warnings of the library (a context beyond the trained length, say) go to stderr.
void log_line(void*, LogLevel level, const char* message) {
  if (level >= LogLevel::warning) std::fprintf(stderr, "kinglet: note: %s\n", message);
}

}  // namespace

void add_model_flags(CLI::App& app, ModelFlags& flags, std::uint32_t context) {
  flags.context = context;
  app.add_option("--threads", flags.threads, "Threads to compute with (default: one per processor, at most 8)")
      ->transform(whole(1, 256u));
  app.add_option_function<std::uint32_t>(
         "--ctx",
         [&flags](std::uint32_t tokens) {
           flags.context = tokens;
           flags.context_given = true;
         },
         "Tokens a session can hold (default: " + std::to_string(context) + ", or what the model was trained for)")
      ->transform(whole(1, 1 << 24));
  app.add_option("--memory-limit", flags.memory_limit,
                 "Bytes the model and all its buffers may take (k, m, g: times 1024); 0 = no limit")
      ->transform(size());
  app.add_flag("--prefault", flags.prefault, "Touch buffers, KV cache and mapped weights while loading, not in a step");
  app.add_option("--backend", flags.backend,
                 "scalar, avx2, avx512, amx, neon or cuda (default: $KINGLET_BACKEND, else the best CPU's)");
  app.add_option("--device", flags.device, "GPU to use, with --backend cuda (default: the first, 0)")
      ->transform(whole(0, 1024));
  app.add_option("--gpu-layers", flags.gpu_layers, "Layers on the GPU, the others on the CPU (default: as many as fit)")
      ->transform(whole(0, 4096));
  app.add_option("--activations", flags.activations, "What products read: fp32, int8 or fp8")
      ->check(CLI::IsMember({"fp32", "int8", "fp8"}))
      ->capture_default_str();
  app.add_option("--kv", flags.kv, "Format of the KV cache: fp32 or fp16")
      ->check(CLI::IsMember({"fp32", "fp16", "fp8", "int4"}))
      ->capture_default_str();
  app.add_option("--scores", flags.scores, "Format of attention scores: fp32 or fp16")
      ->check(CLI::IsMember({"fp32", "fp16"}))
      ->capture_default_str();
  app.add_option("--bits", flags.bits,
                 "exact: the same bits on every machine; device: a GPU may round its own way in prefill")
      ->check(CLI::IsMember({"exact", "device"}))
      ->capture_default_str();
  app.add_option("--window", flags.window, "Positions a token sees back, itself included; 0 = all")
      ->transform(whole(0, 1 << 24));
  app.add_option("--globals", flags.globals, "First positions that are always seen; needs --window")
      ->transform(whole(0, 1 << 24));
  app.add_option("--gate", flags.gate, "Share of each product's inputs that the sparse gate drops, [0, 1)")
      ->transform(real(0.0, 0.999999));
  app.add_option("--output-weights", flags.output_weights,
                 "Re-quantize the output layer while loading: int8 (q8_0) or int4 (q4_0), at some loss")
      ->check(CLI::IsMember({"int8", "q8_0", "int4", "q4_0"}));
  app.add_option("--pre-tokenizer", flags.pre_tokenizer, "Cut text as this pre-tokenizer does, not as the file says");
  app.add_flag("--json", flags.json, "One JSON object on stdout");
}

void add_sampling_flags(CLI::App& app, SamplingFlags& flags) {
  app.add_option_function<std::uint32_t>(
         "-n",
         [&flags](std::uint32_t tokens) {
           flags.tokens = tokens;
           flags.tokens_given = true;
         },
         "Tokens to generate at most; 0 = as many as fit (default: " + std::to_string(flags.tokens) +
             ", fewer where the context holds no more)")
      ->transform(whole(0, 1 << 24));
  app.add_option("--seed", flags.seed, "Seed of the random choices")
      ->transform(whole(0, std::numeric_limits<std::uint64_t>::max()))
      ->capture_default_str();
  app.add_option("--temp", flags.temperature, "Temperature; 0 = always the most probable token")
      ->transform(real(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--top-k", flags.top_k, "Choose among the k most probable tokens; 0 = all")
      ->transform(whole(0, 1 << 30));
  app.add_option("--top-p", flags.top_p, "Choose among the most probable tokens up to this probability")
      ->transform(real(1e-6, 1.0));
  app.add_option("--min-p", flags.min_p, "Drop tokens below this share of the best one's probability")
      ->transform(real(0.0, 1.0));
  app.add_option("--typical-p", flags.typical_p, "Choose among the typical tokens up to this probability")
      ->transform(real(1e-6, 1.0));
  app.add_option("--repeat-penalty", flags.repetition_penalty, "Divides the logits of tokens seen before")
      ->transform(real(0.01, 100.0));
  app.add_option("--presence-penalty", flags.presence_penalty, "Taken from the logits of tokens seen before")
      ->transform(real(-100.0, 100.0));
  app.add_option("--frequency-penalty", flags.frequency_penalty, "The same, for each time they were seen")
      ->transform(real(-100.0, 100.0));
  app.add_option("--stop", flags.stop, "End before this text; may be given several times");
}

EngineOptions engine_options(const ModelFlags& flags) {
  const auto backends = ops::backends();
  const bool gpu = std::any_of(backends.begin(), backends.end(), [](const ops::BackendInfo& b) { return b.gpu; });
  if (!gpu && (flags.device >= 0 || flags.gpu_layers >= 0))
    bad_usage("--device, --gpu-layers: this build has no GPU backend; leave them out to use the CPU");
  if (!gpu && flags.bits == "device") bad_usage("--bits device: this build has no GPU backend; use --bits exact");
  if (flags.kv == "fp8" || flags.kv == "int4") bad_usage("--kv {}: this build has fp16 and fp32", flags.kv);
  if (flags.globals > 0 && flags.window == 0)
    bad_usage("--globals {}: means nothing without a window; add --window N", flags.globals);
  EngineOptions options;
  options.backend = flags.backend;
  options.device = flags.device;
  options.gpu_layers = flags.gpu_layers;
  options.threads = flags.threads != 0 ? flags.threads : std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  options.context = flags.context;
  options.max_sessions = 1;
  options.memory_limit = flags.memory_limit;
  options.prefault = flags.prefault;
  options.activations = flags.activations == "fp32"  ? Activations::fp32
                        : flags.activations == "fp8" ? Activations::fp8
                                                     : Activations::int8;
  options.kv = flags.kv == "fp32" ? KvFormat::fp32 : KvFormat::fp16;
  options.scores = flags.scores == "fp32" ? ScoreFormat::fp32 : ScoreFormat::fp16;
  options.bits = flags.bits == "device" ? Bits::device : Bits::exact;
  options.window = flags.window;
  options.globals = flags.globals;
  options.gate = flags.gate;
  if (!flags.output_weights.empty()) {
    const bool four = flags.output_weights == "int4" || flags.output_weights == "q4_0";
    options.output_weights = four ? quant::Format::q4_0 : quant::Format::q8_0;
  }
  options.pre_tokenizer = flags.pre_tokenizer;
  options.hooks.log = log_line;
  return options;
}

void check_sampling(const SamplingFlags& flags) {
  constexpr std::size_t most = 16;
  constexpr std::size_t longest = text::StreamDecoder::longest_stop;
  if (flags.stop.size() > most) bad_usage("--stop: {} of them; at most {} are possible", flags.stop.size(), most);
  for (const std::string& stop : flags.stop)
    if (stop.empty() || stop.size() > longest || not_text(stop) != std::string::npos)
      bad_usage("--stop '{:.60}': is empty, not UTF-8 text or longer than {} bytes", stop, longest);
  if (flags.temperature > 0) return;
  const char* idle = flags.top_k != 0         ? "--top-k"
                     : flags.top_p < 1.0f     ? "--top-p"
                     : flags.min_p > 0.0f     ? "--min-p"
                     : flags.typical_p < 1.0f ? "--typical-p"
                                              : nullptr;
  if (idle != nullptr)
    std::fprintf(stderr, "kinglet: note: %s changes nothing at --temp 0, which takes the most probable token\n", idle);
}

SamplerOptions sampler_options(const SamplingFlags& flags) {
  SamplerOptions options;
  options.seed = flags.seed;
  options.temperature = flags.temperature;
  options.top_k = flags.top_k;
  options.top_p = flags.top_p;
  options.min_p = flags.min_p;
  options.typical_p = flags.typical_p;
  options.repetition_penalty = flags.repetition_penalty;
  options.presence_penalty = flags.presence_penalty;
  options.frequency_penalty = flags.frequency_penalty;
  return options;
}

}  // namespace kinglet::cli

// examples/cli/options.hpp: which options do the commands that run a model have in common?
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <kinglet/options.hpp>

namespace kinglet::cli {

struct ModelFlags {
  unsigned threads = 0;  ///< 0 = one for each processor, eight at most
  std::uint32_t context = 2048;
  bool context_given = false;  ///< else a model trained for less has less
  std::uint64_t memory_limit = 0;
  bool prefault = false;
  std::string backend;
  int device = -1;
  int gpu_layers = -1;
  std::string activations = "int8";
  std::string kv = "fp16";
  std::string scores = "fp16";
  std::string bits = "exact";
  std::uint32_t window = 0;
  std::uint32_t globals = 0;
  float gate = 0.0f;
  std::string output_weights;
  std::string pre_tokenizer;
  bool json = false;
};

struct SamplingFlags {
  std::uint32_t tokens = 256;
  bool tokens_given = false;  ///< else fewer will do where the context holds no more
  std::uint64_t seed = 0;
  float temperature = 0.0f;
  std::int32_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
  float typical_p = 1.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::vector<std::string> stop;
};

/// @param context  the default of --ctx
void add_model_flags(CLI::App& app, ModelFlags& flags, std::uint32_t context);
void add_sampling_flags(CLI::App& app, SamplingFlags& flags);

/// The engine's options for one session; views into `flags`. Fails on what this build does not do and on
/// contradictions.
EngineOptions engine_options(const ModelFlags& flags);
/// Fails on stop texts that cannot be; notes on stderr what changes nothing at --temp 0.
void check_sampling(const SamplingFlags& flags);
SamplerOptions sampler_options(const SamplingFlags& flags);

}  // namespace kinglet::cli

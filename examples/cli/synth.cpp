// examples/cli/synth.cpp: kinglet synth: a model of a known shape with random weights
#include <filesystem>
#include <limits>
#include <memory>

#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "json_line.hpp"
#include "layout.hpp"
#include "numbers.hpp"
#include "output_file.hpp"
#include "program.hpp"
#include "shapes.hpp"
#include "synthesis.hpp"

namespace kinglet::cli {
namespace {

struct SynthFlags {
  std::string shape;
  std::string path;
  std::string weights;
  std::string output;
  std::uint64_t seed = 1;
  bool json = false;
};

void synth(const SynthFlags& flags) {
  synthesize(flags.shape, flags.path, parse_type(flags.weights, "--weights"), flags.output, flags.seed);
  if (interrupted()) return report_interrupted(flags.path, flags.json);
  if (!flags.json) return;
  nlohmann::ordered_json out;
  out["path"] = flags.path;
  out["shape"] = flags.shape;
  out["bytes"] = std::filesystem::file_size(flags.path);
  out["seed"] = flags.seed;
  print_line(out);
}

}  // namespace

void add_synth(Program& program) {
  auto flags = std::make_shared<SynthFlags>();
  CLI::App* app = program.app.add_subcommand("synth", "Write a model of a known shape with random weights");
  app->add_option("shape", flags->shape, "One of " + shape_names())->required();
  app->add_option("out", flags->path, "GGUF file to write")->required();
  app->add_option("--weights", flags->weights, "f32, f16, bf16, q8_0 (int8) or q4_0 (int4)")->required();
  app->add_option(
      "--output-type", flags->output,
      "Type of the output layer (default: beside q4_0 q6_k, or q8_0 where that does not fit; else the same)");
  app->add_option("--seed", flags->seed, "Seed of weights and words")
      ->transform(whole(0, std::numeric_limits<std::uint64_t>::max()))
      ->capture_default_str();
  app->add_flag("--json", flags->json, "One JSON object on stdout");
  app->callback([&program, flags] { program.action = [flags] { synth(*flags); }; });
}

}  // namespace kinglet::cli

// examples/cli/inspect.cpp: kinglet inspect: what is in a model file, and how much memory will it take?
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include <kinglet/core/memory.hpp>
#include <kinglet/engine.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/model/pack.hpp>
#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "files.hpp"
#include "interrupt.hpp"
#include "json_line.hpp"
#include "layout.hpp"
#include "options.hpp"
#include "program.hpp"
#include "progress.hpp"
#include "synthesis.hpp"
#include "temporary_file.hpp"

namespace kinglet::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InspectFlags {
  ModelFlags model;
  std::string path;
  std::string shape;
  std::string weights = "q4_0";
  std::string output;
  bool check = false;
};

std::string format_name(const model::TensorInfo& tensor) {
  if (tensor.format) return std::string(quant::info(*tensor.format).name) + (tensor.packed ? " strips" : "");
  const quant::GgufType* type = quant::gguf_type(tensor.type);
  return type != nullptr ? type->name : "?";
}

std::string shape_text(const model::TensorInfo& tensor) {
  std::string text;
  for (std::uint32_t i = tensor.rank; i-- > 0;) text += (text.empty() ? "" : " x ") + std::to_string(tensor.dims[i]);
  return text;
}

void add(Json& out, const MemoryPlan& plan) {
  out["plan_weights_bytes"] = plan.weights;
  out["plan_vocabulary_bytes"] = plan.vocabulary;
  out["plan_kv_cache_bytes"] = plan.kv_cache;
  out["plan_activations_bytes"] = plan.activations;
  out["plan_sessions_bytes"] = plan.sessions;
  out["plan_engine_bytes"] = plan.engine;
  out["plan_total_bytes"] = plan.total;
}

void add(Json& out, const model::ModelConfig& config, KvFormat kv) {
  out["name"] = config.name;
  out["layers"] = config.layers;
  out["dim"] = config.dim;
  out["heads"] = config.heads;
  out["kv_heads"] = config.kv_heads;
  out["head_dim"] = config.head_dim;
  out["ffn"] = config.ffn;
  out["vocab"] = config.vocab;
  out["trained_context"] = config.trained_context;
  out["tied_output"] = config.tied_output;
  out["kv_bytes_per_token"] =
      std::uint64_t{2} * config.layers * config.kv_heads * config.head_dim * (kv == KvFormat::fp32 ? 4 : 2);
}

/// The tensors as lists beside each other (index i of all of them is the i-th tensor), and their sums.
void add_tensors(Json& out, const model::Gguf& file) {
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  Json names = Json::array(), shapes = Json::array(), formats = Json::array(), sizes = Json::array();
  for (const model::TensorInfo& tensor : file.tensors()) {
    bytes += tensor.bytes;
    weights += tensor.elements();
    names.push_back(tensor.name);
    shapes.push_back(shape_text(tensor));
    formats.push_back(format_name(tensor));
    sizes.push_back(tensor.bytes);
  }
  out["parameters"] = weights;
  out["tensor_bytes"] = bytes;
  out["bits_per_weight"] = weights == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  out["tensor_names"] = std::move(names);
  out["tensor_shapes"] = std::move(shapes);
  out["tensor_formats"] = std::move(formats);
  out["tensor_sizes"] = std::move(sizes);
}

void print_lines(const Json& out) {
  for (const auto& [key, value] : out.items()) {
    if (value.is_array()) continue;
    std::printf("%-22s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
  for (std::size_t i = 0; i < out["tensor_names"].size(); ++i)
    std::printf("  %-32s %-18s %-7s %12llu bytes\n", out["tensor_names"][i].get<std::string>().c_str(),
                out["tensor_shapes"][i].get<std::string>().c_str(), out["tensor_formats"][i].get<std::string>().c_str(),
                static_cast<unsigned long long>(out["tensor_sizes"][i].get<std::uint64_t>()));
}

void finish(const Json& out, bool json) {
  if (json)
    print_line(out);
  else
    print_lines(out);
}

/// Values of a tensor that are not finite.
std::uint64_t count_not_finite(const model::TensorInfo& tensor, Progress& bar, std::uint64_t done, std::uint64_t all) {
  const quant::FormatInfo& format = quant::info(*tensor.format);
  const std::size_t at_once = std::size_t{1} << 16;  // a multiple of every block
  std::vector<float> values(at_once);
  std::uint64_t wrong = 0;
  const std::uint64_t n = tensor.elements();
  for (std::uint64_t at = 0; at < n && !interrupted(); at += at_once) {
    const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(at_once, n - at));
    quant::dequantize(*tensor.format, tensor.data + at / format.block * format.block_bytes, part, values.data());
    wrong += static_cast<std::uint64_t>(std::count_if(
        values.begin(), values.begin() + static_cast<std::ptrdiff_t>(part), [](float v) { return !std::isfinite(v); }));
    bar.show(static_cast<double>(done + at) / static_cast<double>(all));
  }
  return wrong;
}

/// The bytes of a packed file against the sums in it.
void check_sums(const model::Gguf& file, const std::string& path, Progress& bar) {
  const Status whole = model::check_packed(file, {&bar, [](void* user, float done) {
                                                    static_cast<Progress*>(user)->show(static_cast<double>(done));
                                                    return !interrupted();
                                                  }});
  if (!whole && !interrupted()) bad_input("{}: {}", path, static_cast<const char*>(whole.error().message));
}

/// De-quantizes everything; the first damaged tensor is the failure.
void check_values(const model::Gguf& file, const std::string& path, Json& out) {
  std::uint64_t all = 1;
  for (const model::TensorInfo& tensor : file.tensors()) all += tensor.elements();
  Progress bar("checking");
  if (file.packed()) check_sums(file, path, bar);
  std::uint64_t done = 0;
  for (const model::TensorInfo& tensor : file.tensors()) {
    if (interrupted()) return;
    if (file.packed() && (tensor.packed || !tensor.format)) continue;  // their sums are right
    if (!tensor.format)
      bad_input("{}: tensor {} is {}, which this build cannot read; quantize the model to another type", path,
                tensor.name, format_name(tensor));
    if (const std::uint64_t wrong = count_not_finite(tensor, bar, done, all); wrong != 0)
      bad_input("{}: tensor {} has {} values that are not finite; the file is damaged, fetch it again", path,
                tensor.name, wrong);
    done += tensor.elements();
  }
  out["checked_values"] = done;
}

/// What the options make of the model, as far as that can be told.
Error add_plan(Json& out, const model::Gguf& file, const std::string& path, const EngineOptions& options) {
  const Result<model::ModelConfig> config = model::read_config(file);
  if (!config) return config.error();
  add(out, *config, options.kv);
  const Result<MemoryPlan> plan = Engine::plan(path, options);
  if (!plan) return plan.error();
  out["context"] = options.context;
  add(out, *plan);
  return {};
}

/// @param name  of the model, for messages
void inspect_file(const InspectFlags& flags, const std::string& path, const std::string& name, Json out) {
  EngineOptions options = engine_options(flags.model);
  options.context = fitting_context(path, flags.model);
  core::Memory memory;
  const model::Gguf file = take(model::Gguf::open(path, memory), path);
  out["architecture"] = file.get_string("general.architecture").value_or("");
  out["gguf_version"] = file.version();
  out["packed"] = file.packed();
  out["file_bytes"] = file.bytes();
  out["tokenizer"] = file.get_string("tokenizer.ggml.model").value_or("");
  out["pre_tokenizer"] = file.get_string("tokenizer.ggml.pre").value_or("");
  out["chat_template"] = file.has("tokenizer.chat_template");
  const Error error = add_plan(out, file, path, options);
  if (error.code == Errc::invalid_argument) bad_usage("{}", in_words(error, name));
  add_tensors(out, file);
  if (flags.check) check_values(file, path, out);
  if (interrupted()) out["interrupted"] = true;
  finish(out, flags.model.json);
  if (error) bad_input("{}", in_words(error, name));
  check_limit(name, out["plan_total_bytes"].get<std::uint64_t>(), flags.model.memory_limit);
}

void inspect(const InspectFlags& flags) {
  if (flags.path.empty() == flags.shape.empty()) bad_usage("inspect: give either a MODEL file or --shape SHAPE");
  if (!flags.path.empty()) return inspect_file(flags, flags.path, flags.path, {{"path", flags.path}});
  if (flags.check) bad_usage("--check reads a file's values, and --shape has no file; leave one of them out");
  engine_options(flags.model);  // what is wrong with them shows first
  const TemporaryFile file;
  synthesize_hollow(flags.shape, file.path, parse_type(flags.weights, "--weights"), flags.output, 1);
  inspect_file(flags, file.path, "--shape " + flags.shape, {{"shape", flags.shape}});
}

}  // namespace

void add_inspect(Program& program) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* app = program.app.add_subcommand("inspect", "Architecture, tensors, formats and memory plan of a model");
  app->add_option("model", flags->path, "GGUF file");
  app->add_flag("--check", flags->check, "De-quantize everything and look for values that are not finite");
  CLI::Option* shape =
      app->add_option("--shape", flags->shape, "A shape that 'kinglet synth' knows, instead of a file");
  app->add_option("--weights", flags->weights, "With --shape: type of the weights")
      ->capture_default_str()
      ->needs(shape);
  app->add_option("--output-type", flags->output, "With --shape: type of the output layer")->needs(shape);
  add_model_flags(*app, flags->model, 2048);
  app->callback([&program, flags] { program.action = [flags] { inspect(*flags); }; });
}

}  // namespace kinglet::cli

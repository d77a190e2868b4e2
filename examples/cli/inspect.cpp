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
#include "layout.hpp"
#include "options.hpp"
#include "program.hpp"
#include "progress.hpp"

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

/// What a model's file and a shape both tell.
template <class Sizes>
void add_sizes(Json& out, const Sizes& sizes) {
  out["layers"] = sizes.layers;
  out["dim"] = sizes.dim;
  out["heads"] = sizes.heads;
  out["kv_heads"] = sizes.kv_heads;
  out["head_dim"] = sizes.head_dim;
  out["ffn"] = sizes.ffn;
  out["vocab"] = sizes.vocab;
}

void add(Json& out, const model::ModelConfig& config) {
  out["name"] = config.name;
  add_sizes(out, config);
  out["trained_context"] = config.trained_context;
  out["tied_output"] = config.tied_output;
}

/// The list of a model's tensors, and its sums.
struct TensorList {
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  Json list = Json::array();

  void add(std::string_view name, const std::string& shape, const std::string& format, std::uint64_t size,
           std::uint64_t n) {
    bytes += size;
    weights += n;
    list.push_back({{"name", name}, {"shape", shape}, {"format", format}, {"bytes", size}});
  }
  void sums(Json& out) const {
    out["parameters"] = weights;
    out["tensor_bytes"] = bytes;
    out["bits_per_weight"] = weights == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};

void print(const Json& out) {
  for (const auto& [key, value] : out.items()) {
    if (value.is_array()) continue;
    std::printf("%-22s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
  if (out.contains("tensors"))
    for (const Json& tensor : out["tensors"])
      std::printf("  %-32s %-18s %-7s %12llu bytes\n", tensor["name"].get<std::string>().c_str(),
                  tensor["shape"].get<std::string>().c_str(), tensor["format"].get<std::string>().c_str(),
                  static_cast<unsigned long long>(tensor["bytes"].get<std::uint64_t>()));
}

void finish(const Json& out, bool json) {
  if (json)
    std::puts(out.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  else
    print(out);
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

void inspect_file(const InspectFlags& flags) {
  EngineOptions options = engine_options(flags.model);
  options.context = fitting_context(flags.path, flags.model);
  core::Memory memory;
  const model::Gguf file = take(model::Gguf::open(flags.path, memory), flags.path);
  Json out;
  out["path"] = flags.path;
  out["architecture"] = file.get_string("general.architecture").value_or("");
  out["gguf_version"] = file.version();
  out["packed"] = file.packed();
  out["file_bytes"] = file.bytes();
  out["tokenizer"] = file.get_string("tokenizer.ggml.model").value_or("");
  out["pre_tokenizer"] = file.get_string("tokenizer.ggml.pre").value_or("");
  out["chat_template"] = file.has("tokenizer.chat_template");
  const Result<model::ModelConfig> config = model::read_config(file);
  if (config) add(out, *config);
  Error error = config.error();
  if (config) {
    const Result<MemoryPlan> plan = Engine::plan(flags.path, options);
    error = plan.error();
    if (plan) {
      out["context"] = options.context;
      add(out, *plan);
    }
  }
  TensorList tensors;
  for (const model::TensorInfo& tensor : file.tensors()) {
    tensors.add(tensor.name, shape_text(tensor), format_name(tensor), tensor.bytes, tensor.elements());
  }
  tensors.sums(out);
  out["tensors"] = std::move(tensors.list);
  if (flags.check) check_values(file, flags.path, out);
  if (interrupted()) out["interrupted"] = true;
  finish(out, flags.model.json);
  if (error) bad_input("{}: {}", flags.path, static_cast<const char*>(error.message));
}

void inspect_shape(const InspectFlags& flags) {
  if (flags.check) bad_usage("--check reads a file's values, and --shape has no file; leave one of them out");
  const Shape* shape = find_shape(flags.shape);
  if (shape == nullptr) bad_usage("--shape {}: no such shape; it is one of {}", flags.shape, shape_names());
  const quant::Format weights = parse_type(flags.weights, "--weights");
  const quant::Format output =
      flags.output.empty() ? output_format(weights, shape->dim) : parse_type(flags.output, "--output-type");
  Json out;
  out["shape"] = shape->name;
  out["architecture"] = shape->family;
  TensorList tensors;
  for (const TensorPlan& tensor : tensors_of(*shape, weights, output)) {
    const std::string rows = tensor.rows == 0 ? "" : std::to_string(tensor.rows) + " x ";
    tensors.add(tensor.name, rows + std::to_string(tensor.cols), quant::info(tensor.format).name, tensor.bytes(),
                tensor.elements());
  }
  const std::uint64_t element = flags.model.kv == "fp32" ? 4 : 2;
  const std::uint64_t token = std::uint64_t{2} * shape->layers * shape->kv_heads * shape->head_dim * element;
  add_sizes(out, *shape);
  tensors.sums(out);
  out["kv_bytes_per_token"] = token;
  out["context"] = flags.model.context;
  out["plan_kv_cache_bytes"] =
      token * ((flags.model.context + ops::page_tokens - 1) / ops::page_tokens) * ops::page_tokens;
  out["tensors"] = std::move(tensors.list);
  finish(out, flags.model.json);
}

void inspect(const InspectFlags& flags) {
  if (flags.path.empty() == flags.shape.empty()) bad_usage("inspect: give either a MODEL file or --shape SHAPE");
  flags.path.empty() ? inspect_shape(flags) : inspect_file(flags);
}

}  // namespace

void add_inspect(Program& program) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* app = program.app.add_subcommand("inspect", "Architecture, tensors, formats and memory plan of a model");
  app->add_option("model", flags->path, "GGUF file");
  app->add_flag("--check", flags->check, "De-quantize everything and look for values that are not finite");
  app->add_option("--shape", flags->shape, "A shape that 'kinglet synth' knows, instead of a file");
  app->add_option("--weights", flags->weights, "With --shape: type of the weights")->capture_default_str();
  app->add_option("--output-type", flags->output, "With --shape: type of the output layer");
  add_model_flags(*app, flags->model, 2048);
  app->callback([&program, flags] { program.action = [flags] { inspect(*flags); }; });
}

}  // namespace kinglet::cli

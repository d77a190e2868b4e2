// examples/cli/quantize.cpp: kinglet quantize: the same model in fewer bits
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <memory_resource>
#include <vector>

#include <kinglet/core/memory.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/model/gguf_writer.hpp>
#include <kinglet/quant/quantizer.hpp>
#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "interrupt.hpp"
#include "json_line.hpp"
#include "layout.hpp"
#include "output_file.hpp"
#include "program.hpp"
#include "progress.hpp"
#include "stopwatch.hpp"

namespace kinglet::cli {
namespace {

struct QuantizeFlags {
  std::string in;
  std::string out;
  std::string weights;
  std::string output;
  std::string method = "lsq";
  std::uint32_t group = 32;
  bool json = false;
};

/// What a tensor is, and what becomes of it.
struct Change {
  const model::TensorInfo* tensor;
  quant::Format to;
  bool copy;
};

/// Sums of squares over all weights that changed format.
struct Loss {
  double off = 0;
  double all = 0;
};

std::vector<Change> plan(const model::Gguf& file, const QuantizeFlags& flags) {
  if (file.packed()) bad_input("{}: is a packed file, whose weights are final; quantize the original", flags.in);
  const quant::Format weights = parse_type(flags.weights, "--weights");
  if (weights == quant::Format::q6_k) bad_usage("--weights q6_k: only the output layer can have it; see --output-type");
  const bool untied = file.find("output.weight") != nullptr;
  std::vector<Change> changes;
  for (const model::TensorInfo& tensor : file.tensors()) {
    if (!tensor.format)
      bad_input("{}: tensor {} has a type that this build cannot read; start from another file", flags.in, tensor.name);
    const bool output = tensor.name == (untied ? "output.weight" : "token_embd.weight");
    quant::Format to = weights;
    if (output)
      to = flags.output.empty() ? output_format(weights, tensor.dims[0]) : parse_type(flags.output, "--output-type");
    // Norms, biases and rope factors stay as they are: they are small, and every engine expects FP32.
    const bool small = tensor.rank < 2;
    if (!small && tensor.dims[0] % quant::info(to).block != 0)
      bad_input("{}: tensor {} has {} columns, no multiple of {}'s {}; choose --weights f16 (or --output-type)",
                flags.in, tensor.name, tensor.dims[0], quant::info(to).name, quant::info(to).block);
    changes.push_back({&tensor, small ? *tensor.format : to, small || *tensor.format == to});
  }
  return changes;
}

/// Fails where --method was given and no weights are made that it changes.
void check_method(const QuantizeFlags& flags) {
  const quant::Format weights = parse_type(flags.weights, "--weights");
  const quant::Format output = flags.output.empty() ? weights : parse_type(flags.output, "--output-type");
  for (const quant::Format format : {weights, output})
    if (format == quant::Format::q4_0 || format == quant::Format::q6_k) return;
  bad_usage("--method: changes nothing in {} weights, which are rounded to nearest; leave it out", flags.weights);
}

void add_header(model::GgufWriter& out, const model::Gguf& file, const std::vector<Change>& changes,
                const QuantizeFlags& flags) {
  for (const model::Gguf::Entry& entry : file.entries())
    if (entry.key != "general.file_type" && entry.key != "general.quantization_version" &&
        entry.key != "general.alignment" && entry.key.substr(0, 6) != "split.")
      check(out.add(entry), flags.in);
  check(out.add("general.file_type", file_type(parse_type(flags.weights, "--weights"))), flags.out);
  check(out.add("general.quantization_version", 2u), flags.out);
  for (const Change& change : changes) {
    const model::TensorInfo& tensor = *change.tensor;
    check(out.add_tensor(tensor.name, std::span(tensor.dims, tensor.rank), change.to), flags.out);
  }
}

/// A stretch of a tensor's weights; whole blocks of both formats.
void convert(const Change& change, std::uint64_t at, std::size_t n, quant::Method method, model::GgufWriter& out,
             Loss& loss, const QuantizeFlags& flags) {
  const model::TensorInfo& tensor = *change.tensor;
  const quant::FormatInfo& from = quant::info(*tensor.format);
  const std::byte* data = tensor.data + at / from.block * from.block_bytes;
  if (change.copy) {
    check(out.write({data, quant::format_bytes(*tensor.format, n)}), flags.out);
    return;
  }
  std::vector<float> values(n);
  std::vector<float> back(n);
  std::vector<std::byte> bytes(quant::format_bytes(change.to, n));
  quant::dequantize(*tensor.format, data, n, values.data());
  const Status made = quant::quantize(change.to, method, values, bytes.data());
  if (!made) bad_input("{}: tensor {}: {}", flags.in, tensor.name, static_cast<const char*>(made.error().message));
  check(out.write(bytes), flags.out);
  quant::dequantize(change.to, bytes.data(), n, back.data());
  for (std::size_t i = 0; i < n; ++i) {
    loss.off += std::pow(static_cast<double>(values[i]) - static_cast<double>(back[i]), 2);
    loss.all += std::pow(static_cast<double>(values[i]), 2);
  }
}

void quantize(const QuantizeFlags& flags) {
  std::error_code ignored;
  if (std::filesystem::equivalent(flags.in, flags.out, ignored))
    bad_usage("quantize: IN and OUT are the same file, '{}'; name another OUT", flags.in);
  core::Memory memory;
  const model::Gguf file = take(model::Gguf::open(flags.in, memory), flags.in);
  const std::vector<Change> changes = plan(file, flags);
  const quant::Method method = flags.method == "rtn" ? quant::Method::rtn : quant::Method::lsq;
  OutputFile target(flags.out);
  model::GgufWriter out(target.sink(), std::pmr::new_delete_resource());
  add_header(out, file, changes, flags);
  check(out.begin(), flags.out);

  const Stopwatch watch;
  std::uint64_t all = 0;
  for (const Change& change : changes) all += change.tensor->elements();
  Progress bar("quantizing");
  Loss loss;
  std::uint64_t done = 0;
  constexpr std::uint64_t at_once = std::uint64_t{1} << 16;  // a multiple of every block
  for (const Change& change : changes) {
    const std::uint64_t n = change.tensor->elements();
    for (std::uint64_t at = 0; at < n; at += at_once) {
      if (interrupted()) return report_interrupted(flags.out, flags.json);
      convert(change, at, static_cast<std::size_t>(std::min(at_once, n - at)), method, out, loss, flags);
      bar.show(static_cast<double>(done + at) / static_cast<double>(all));
    }
    done += n;
  }
  check(out.finish(), flags.out);
  target.done();
  bar.clear();
  if (!flags.json) return;
  nlohmann::ordered_json report;
  report["path"] = flags.out;
  report["bytes"] = std::filesystem::file_size(flags.out);
  report["bytes_before"] = file.bytes();
  report["relative_error"] = loss.all > 0 ? std::sqrt(loss.off / loss.all) : 0.0;
  report["seconds"] = watch.seconds();
  print_line(report);
}

}  // namespace

void add_quantize(Program& program) {
  auto flags = std::make_shared<QuantizeFlags>();
  CLI::App* app = program.app.add_subcommand("quantize", "Write a model with its weights in another type");
  app->add_option("in", flags->in, "GGUF file")->required();
  app->add_option("out", flags->out, "GGUF file to write")->required();
  app->add_option("--weights", flags->weights, "f32, f16, bf16, q8_0 (int8) or q4_0 (int4)")->required();
  app->add_option(
      "--output-type", flags->output,
      "Type of the output layer (default: beside q4_0 q6_k, or q8_0 where that does not fit; else the same)");
  CLI::Option* method =
      app->add_option("--method", flags->method, "For int4 and q6_k: rtn: round to nearest; lsq: least squares")
          ->check(CLI::IsMember({"rtn", "lsq"}))
          ->capture_default_str();
  app->add_option("--group", flags->group, "Weights that share a scale; this build writes 32")
      ->check(CLI::IsMember({32u, 128u}))
      ->capture_default_str();
  app->add_flag("--json", flags->json, "One JSON object on stdout");
  app->callback([&program, flags, method] {
    program.action = [flags, chosen = method->count() > 0] {
      if (chosen) check_method(*flags);
      if (flags->group != 32) bad_usage("--group 128: this build writes groups of 32, which is GGUF's Q4_0");
      quantize(*flags);
    };
  });
}

}  // namespace kinglet::cli

#include "synthesis.hpp"

#include <filesystem>
#include <memory_resource>
#include <span>
#include <vector>

#include <kinglet/model/gguf_writer.hpp>

#include "failure.hpp"
#include "interrupt.hpp"
#include "layout.hpp"
#include "output_file.hpp"
#include "progress.hpp"
#include "random_weights.hpp"
#include "shapes.hpp"
#include "vocabulary.hpp"

namespace kinglet::cli {
namespace {

using model::GgufWriter;

/// A ChatML template, the plainest there is.
constexpr const char* chat_template =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

void add_sizes(GgufWriter& out, const Shape& shape, quant::Format weights, const std::string& where) {
  const std::string family = shape.family;
  const auto add = [&](const std::string& key, auto value) { check(out.add(key, value), where); };
  add("general.architecture", shape.family);
  add("general.name", (std::string(shape.name) + " with random weights").c_str());
  add("general.file_type", file_type(weights));
  add(family + ".block_count", shape.layers);
  add(family + ".context_length", shape.context);
  add(family + ".embedding_length", shape.dim);
  add(family + ".feed_forward_length", shape.ffn);
  add(family + ".attention.head_count", shape.heads);
  add(family + ".attention.head_count_kv", shape.kv_heads);
  add(family + ".attention.key_length", shape.head_dim);
  add(family + ".attention.value_length", shape.head_dim);
  add(family + ".attention.layer_norm_rms_epsilon", shape.norm_eps);
  add(family + ".rope.freq_base", shape.rope_theta);
  add(family + ".rope.dimension_count", shape.head_dim);
  add(family + ".vocab_size", shape.vocab);
}

void add_vocabulary(GgufWriter& out, const Shape& shape, std::uint64_t seed, const std::string& where) {
  const GeneratedVocabulary made = generate_vocabulary(shape.base_vocab, shape.vocab, seed);
  const std::vector<std::string_view> pieces(made.pieces.begin(), made.pieces.end());
  const std::vector<std::string_view> merges(made.merges.begin(), made.merges.end());
  const auto add = [&](const char* key, auto value) { check(out.add(key, value), where); };
  add("tokenizer.ggml.model", "gpt2");
  add("tokenizer.ggml.pre", shape.pre);
  add("tokenizer.ggml.tokens", std::span<const std::string_view>(pieces));
  add("tokenizer.ggml.token_type", std::span<const std::int32_t>(made.types));
  add("tokenizer.ggml.merges", std::span<const std::string_view>(merges));
  if (shape.add_bos) add("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(made.bos));
  add("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(made.eot));
  add("tokenizer.ggml.padding_token_id", static_cast<std::uint32_t>(made.eos));
  add("tokenizer.ggml.add_bos_token", shape.add_bos);
  add("tokenizer.chat_template", chat_template);
}

/// A vector of biases or norm weights.
std::vector<float> vector_of(const TensorPlan& tensor, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(tensor.elements());
  for (float& v : values) v = tensor.mean + tensor.deviation * random.normal();
  return values;
}

/// False where Ctrl-C ended it.
bool write_tensors(GgufWriter& out, const std::vector<TensorPlan>& tensors, std::uint64_t seed,
                   const std::string& where) {
  std::uint64_t all = 0;
  for (const TensorPlan& tensor : tensors) all += tensor.bytes();
  Progress bar("writing");
  std::uint64_t done = 0;
  std::vector<std::byte> row;
  for (const TensorPlan& tensor : tensors) {
    ++seed;
    if (tensor.rows == 0) {
      const std::vector<float> values = vector_of(tensor, seed);
      check(out.write(std::as_bytes(std::span(values))), where);
      done += tensor.bytes();
      continue;
    }
    RandomWeights weights(tensor.format, tensor.deviation, seed);
    row.resize(quant::format_bytes(tensor.format, tensor.cols));
    for (std::uint64_t r = 0; r < tensor.rows; ++r) {
      if (interrupted()) return false;
      weights.fill(tensor.cols, row.data());
      check(out.write(row), where);
      done += row.size();
      bar.show(static_cast<double>(done) / static_cast<double>(all));
    }
  }
  return true;
}

/// What is to be made, checked.
struct Synthesis {
  const Shape& shape;
  quant::Format weights;
  std::vector<TensorPlan> tensors;
};

Synthesis plan(const std::string& name, quant::Format weights, const std::string& output) {
  const Shape* shape = find_shape(name);
  if (shape == nullptr) bad_usage("{}: no such shape; it is one of {}", name, shape_names());
  const quant::Format last = output.empty() ? output_format(weights, shape->dim) : parse_type(output, "--output-type");
  if (weights == quant::Format::q6_k) bad_usage("--weights q6_k: only the output layer can have it; see --output-type");
  Synthesis made{*shape, weights, tensors_of(*shape, weights, last)};
  for (const TensorPlan& tensor : made.tensors) {
    const quant::FormatInfo& format = quant::info(tensor.format);
    if (tensor.cols % format.block != 0)
      bad_usage("--output-type: {} has {} columns, which {} (blocks of {}) cannot hold; choose another type",
                tensor.name, tensor.cols, format.name, format.block);
  }
  return made;
}

/// Everything but the weights.
void write_head(GgufWriter& out, const Synthesis& made, std::uint64_t seed, const std::string& path) {
  add_sizes(out, made.shape, made.weights, path);
  add_vocabulary(out, made.shape, seed, path);
  for (const TensorPlan& tensor : made.tensors) {
    const std::uint64_t dims[2] = {tensor.cols, tensor.rows};
    check(out.add_tensor(tensor.name, std::span(dims, tensor.rows == 0 ? 1 : 2), tensor.format), path);
  }
  check(out.begin(), path);
}

}  // namespace

void synthesize(const std::string& name, const std::string& path, quant::Format weights, const std::string& output,
                std::uint64_t seed) {
  const Synthesis made = plan(name, weights, output);
  OutputFile file(path);
  GgufWriter out(file.sink(), std::pmr::new_delete_resource());
  write_head(out, made, seed, path);
  if (!write_tensors(out, made.tensors, seed, path)) return;
  check(out.finish(), path);
  file.done();
}

void synthesize_hollow(const std::string& name, const std::string& path, quant::Format weights,
                       const std::string& output, std::uint64_t seed) {
  constexpr std::uint32_t alignment = 32;
  const Synthesis made = plan(name, weights, output);
  OutputFile file(path);
  GgufWriter out(file.sink(), std::pmr::new_delete_resource(), alignment);
  write_head(out, made, seed, path);
  file.done();
  std::uint64_t bytes = 0;
  for (const TensorPlan& tensor : made.tensors) bytes += (tensor.bytes() + alignment - 1) / alignment * alignment;
  std::error_code error;
  std::filesystem::resize_file(path, std::filesystem::file_size(path) + bytes, error);
  if (error) bad_input("'{}' cannot be made {} bytes longer: {}", path, bytes, error.message());
}

}  // namespace kinglet::cli

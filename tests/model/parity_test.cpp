// Are our logits those of other engines? (fixtures: transformers in FP64, and the NumPy model of docs/numbers.md;
// ../shared/parity: other engines in FP32)
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <kinglet/kinglet.hpp>
#include <kinglet/model/gguf_writer.hpp>
#include <kinglet/quant/quantizer.hpp>

#include "tests/catch.hpp"
#include "tests/data.hpp"

using namespace kinglet;

namespace {

std::vector<std::int32_t> read_tokens(const std::string& path) {
  std::ifstream file(path);
  return {std::istream_iterator<std::int32_t>(file), std::istream_iterator<std::int32_t>()};
}

std::vector<float> read_floats(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), values.size() * 4);
  return values;
}

EngineOptions reference_setting() {
  EngineOptions options;
  options.activations = Activations::fp32;
  options.kv = KvFormat::fp32;
  options.scores = ScoreFormat::fp32;
  return options;
}

/// Logits of all positions, [tokens][vocab]; `model`: a path, or a file's bytes.
template <class Model>
std::vector<float> logits_of(const Model& model, const std::vector<std::int32_t>& tokens, EngineOptions options) {
  options.context = static_cast<std::uint32_t>(tokens.size()) + 8;
  options.max_sessions = 1;
  options.max_logits = 13;  // chunks that end inside a page
  auto engine = Engine::load(model, options);
  INFO(engine.error().message);
  REQUIRE(engine.ok());
  SessionOptions text;
  text.format = PromptFormat::text;
  auto session = engine->open_session(text);
  REQUIRE(session.ok());
  std::vector<float> all;
  const Status status = session->evaluate(tokens, [&](std::uint32_t index, std::span<const float> logits) {
    CHECK(index * logits.size() == all.size());
    all.insert(all.end(), logits.begin(), logits.end());
  });
  INFO(status.error().message);
  REQUIRE(status.ok());
  return all;
}

/// Root mean square of the difference over the standard deviation of the expected values.
double error_of(std::span<const float> got, std::span<const float> expected) {
  REQUIRE(got.size() == expected.size());
  double mean = 0.0, square = 0.0, difference = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    mean += expected[i];
    square += double{expected[i]} * expected[i];
    difference += (double{got[i]} - expected[i]) * (double{got[i]} - expected[i]);
  }
  const double n = static_cast<double>(got.size());
  mean /= n;
  return std::sqrt(difference / n) / std::sqrt(square / n - mean * mean);
}

double top_agreement(std::span<const float> got, std::span<const float> expected, std::size_t vocab) {
  std::size_t same = 0;
  const auto top = [&](std::span<const float> all, std::size_t row) {
    return std::max_element(all.begin() + static_cast<std::ptrdiff_t>(row * vocab),
                            all.begin() + static_cast<std::ptrdiff_t>((row + 1) * vocab)) -
           all.begin();
  };
  for (std::size_t row = 0; row < got.size() / vocab; ++row) same += top(got, row) == top(expected, row) ? 1 : 0;
  return static_cast<double>(same) / static_cast<double>(got.size() / vocab);
}

/// The same model with every matrix in Q8_0.
std::vector<std::byte> in_q8_0(const std::string& path) {
  core::Memory memory;
  const auto file = model::Gguf::open(path, memory);
  REQUIRE(file.ok());
  std::vector<std::byte> out;
  const auto append = [](void* user, const std::byte* data, std::size_t bytes) {
    auto& all = *static_cast<std::vector<std::byte>*>(user);
    all.insert(all.end(), data, data + bytes);
    return true;
  };
  model::GgufWriter writer({&out, append}, std::pmr::get_default_resource());
  for (const auto& entry : file->entries()) REQUIRE(writer.add(entry).ok());
  const auto format_of = [](const model::TensorInfo& t) { return t.rank == 2 ? quant::Format::q8_0 : *t.format; };
  for (const auto& t : file->tensors())
    REQUIRE(writer.add_tensor(t.name, std::span(t.dims, t.rank), format_of(t)).ok());
  REQUIRE(writer.begin().ok());
  for (const auto& t : file->tensors()) {
    std::vector<float> values(t.elements());
    quant::dequantize(*t.format, t.data, values.size(), values.data());
    std::vector<std::byte> bytes(quant::format_bytes(format_of(t), values.size()));
    REQUIRE(quant::quantize(format_of(t), quant::Method::rtn, values, bytes.data()).ok());
    REQUIRE(writer.write(bytes).ok());
  }
  REQUIRE(writer.finish().ok());
  return out;
}

/// INT8 activations over Q8_0 weights: near FP32 ones, and what NumPy makes of docs/numbers.md.
void check_q8_0(const std::string& path, const std::vector<std::int32_t>& tokens, const std::string& name) {
  REQUIRE(tokens.size() == 96);
  const auto bytes = in_q8_0(path);
  const std::span<const std::byte> file = bytes;
  EngineOptions options;
  options.activations = Activations::fp32;
  const auto reference = logits_of(file, tokens, options);
  options.activations = Activations::int8;
  const auto int8 = logits_of(file, tokens, options);
  const double apart = error_of(int8, reference);
  CAPTURE(name, apart);
  CHECK(apart < 0.04);
  CHECK(apart > 1e-3);  // it is another arithmetic
  const auto expected = read_floats(test::fixture("model/fixtures/" + name + "-q8_0.logits.f32"));
  REQUIRE(expected.size() * 6 == int8.size());
  const std::span<const float> last = std::span(int8).last(expected.size());
  CHECK(error_of(last, expected) < 1e-5);
  CHECK(std::equal(last.begin(), last.end(), expected.begin()));
}

}  // namespace

TEST_CASE("every family's logits are those of transformers") {
  for (const char* const name : {"llama-mha", "llama-gqa-tied", "llama3-factors", "llama-linear", "mistral",
                                 "qwen2-tied", "qwen2", "qwen3-tied", "qwen3"}) {
    const std::string stem = test::fixture(std::string("model/fixtures/") + name);
    const auto tokens = read_tokens(stem + ".tokens");
    const auto expected = read_floats(stem + ".logits.f32");
    REQUIRE(tokens.size() >= 16);
    REQUIRE(!expected.empty());
    const auto got = logits_of(stem + ".gguf", tokens, reference_setting());
    const std::span<const float> last = std::span(got).last(expected.size());
    const double error = error_of(last, expected);
    INFO(name << ": " << error);
    CHECK(error < 2e-5);
    const auto plain = logits_of(stem + ".gguf", tokens, {});
    INFO(name << " by default: " << error_of(std::span(plain).last(expected.size()), expected));
    CHECK(error_of(std::span(plain).last(expected.size()), expected) < 0.02);
  }
}

TEST_CASE("logits of the parity models") {
  for (const char* const name : {"llama", "qwen2"}) {
    const std::string file = std::string("parity/") + name + ".gguf";
    const std::string path = test::data(file);
    if (path.empty()) return test::skip("logits of the parity models", file.c_str());
    const auto tokens = read_tokens(test::data("parity/tokens.txt"));
    const auto expected = read_floats(test::data(std::string("parity/") + name + ".logits.f32"));
    const std::size_t vocab = expected.size() / tokens.size();

    const auto reference = logits_of(path, tokens, reference_setting());
    INFO(name << " in the reference setting: " << error_of(reference, expected));
    CHECK(error_of(reference, expected) < 2e-5);

    EngineOptions halves = reference_setting();
    halves.kv = KvFormat::fp16;
    halves.scores = ScoreFormat::fp16;
    const auto half = logits_of(path, tokens, halves);
    INFO(name << " with FP16 KV and scores: " << error_of(half, expected));
    CHECK(error_of(half, expected) < 1.5e-3);
    CHECK(top_agreement(half, expected, vocab) >= 0.99);
  }
}

TEST_CASE("INT8 logits of the parity models with Q8_0 weights are near FP32's, and NumPy's") {
  for (const char* const name : {"llama", "qwen2"}) {
    const std::string file = std::string("parity/") + name + ".gguf";
    const std::string path = test::data(file);
    if (path.empty()) return test::skip("logits of the parity models with Q8_0 weights", file.c_str());
    check_q8_0(path, read_tokens(test::data("parity/tokens.txt")), std::string("parity-") + name);
  }
}

TEST_CASE("INT8 logits of committed models with Q8_0 weights are near FP32's, and NumPy's") {
  for (const auto& [name, vocab] : {std::pair("groups", 131), std::pair("q4", 259)}) {
    std::vector<std::int32_t> tokens;
    for (std::int32_t n = 0; n < 96; ++n) tokens.push_back((7 * n * n + 3) % vocab);
    check_q8_0(test::fixture(std::string("golden/models/") + name + ".gguf"), tokens, std::string("golden-") + name);
  }
}

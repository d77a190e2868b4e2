// A packed file says what its original says, and is refused once it was altered; so does a re-quantized output layer.
#include <kinglet/model/vocabulary.hpp>
#include <kinglet/quant/quantizer.hpp>

#include "engine/state.hpp"
#include "tests/counting.hpp"
#include "tests/data.hpp"
#include "tests/engine/packed_model.hpp"
#include "tests/engine/tiny_engine.hpp"
#include "tests/quant/int4_128.hpp"

using namespace kinglet;
using test::packed;
using test::says;

namespace {

/// A tiny model whose matrices are Q4_0 or Q8_0, in turn; gate and up alike.
test::GgufBytes quantized_model(bool tied) {
  test::TinyShape shape;
  shape.dim = 64;
  shape.ffn = 96;
  shape.head_dim = 16;
  shape.tied = tied;
  test::GgufBytes file = test::tiny_model(shape);
  bool four = false;
  for (auto& tensor : file.tensors) {
    if (tensor.dims.size() != 2) continue;
    four = tensor.name.find("ffn_up") == std::string::npos ? !four : four;
    const auto format = four ? quant::Format::q4_0 : quant::Format::q8_0;
    std::vector<float> values(tensor.data.size() / sizeof(float));
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    std::string blocks(quant::format_bytes(format, values.size()), '\0');
    REQUIRE(quant::quantize(format, quant::Method::rtn, values, reinterpret_cast<std::byte*>(blocks.data())));
    tensor.data = blocks;
    tensor.type = quant::info(format).gguf_type;
  }
  return file;
}

std::vector<float> logits(Engine& engine) {
  auto session = engine.open_session({.format = PromptFormat::text});
  REQUIRE(session.ok());
  std::vector<std::int32_t> tokens;
  for (std::int32_t i = 0; i < 40; ++i) tokens.push_back(i * 37 % 256);
  std::vector<float> out;
  const Status status = session->evaluate(
      tokens, [&](std::uint32_t, std::span<const float> row) { out.insert(out.end(), row.begin(), row.end()); });
  INFO(test::message(status.error()));
  REQUIRE(status.ok());
  return out;
}

std::vector<float> logits(const std::string& bytes, const EngineOptions& options) {
  auto engine = Engine::load(test::as_bytes(bytes), options);
  INFO(test::message(engine.error()));
  REQUIRE(engine.ok());
  return logits(*engine);
}

Error error_of(const std::string& bytes) {
  const auto engine = Engine::load(test::as_bytes(bytes), test::small_options());
  REQUIRE_FALSE(engine.ok());
  return engine.error();
}

}  // namespace

TEST_CASE("a packed file has the logits of its original, whatever the backend, the activations and the gate") {
  for (const bool tied : {false, true}) {
    const std::string original = quantized_model(tied).bytes();
    const std::string file = packed(original);
    for (const ops::BackendInfo& backend : ops::backends()) {
      if (!backend.available() || !backend.packed_files) continue;
      for (const Activations activations : {Activations::int8, Activations::fp32, Activations::fp8}) {
        for (const float gate : {0.0f, 0.25f}) {
          INFO(backend.name << " tied " << tied << " activations " << static_cast<int>(activations) << " gate "
                            << gate);
          EngineOptions options = test::small_options();
          options.backend = backend.name;
          options.activations = activations;
          options.gate = gate;
          CHECK(logits(original, options) == logits(file, options));
        }
      }
    }
  }
}

TEST_CASE("gate and up of a loaded model know whether the matrix that reads them is packed") {
  const std::string original = quantized_model(false).bytes(), file = packed(original);
  const std::string floats = test::tiny_model().bytes();
  for (const std::string* bytes : {&original, &file, &floats}) {
    const auto made = engine::load("", test::as_bytes(*bytes), test::small_options(), *ops::find_backend("scalar"));
    REQUIRE(made.ok());
    std::size_t found = 0;
    const auto& all = (*made)->forward.ops;
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
      if (all[i].kind != ops::OpKind::gate_up) continue;
      ++found;
      CHECK(all[i + 1].kind == ops::OpKind::down);
      CHECK(all[i].packed_reader == (bytes != &floats));
    }
    CHECK(found == 2);
    engine::drop(*made);
  }
}

TEST_CASE("a file in INT4_128 has the logits of Q4_0 with its scales, and keeps its rows when it is packed") {
  test::TinyShape shape;
  shape.dim = shape.ffn = 128;
  shape.head_dim = 32;
  const auto model = [&](bool wide) {
    test::GgufBytes file = test::tiny_model(shape);
    for (auto& tensor : file.tensors) {
      if (tensor.dims.size() != 2) continue;
      std::vector<float> values(tensor.data.size() / sizeof(float));
      std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
      const auto blocks = test::pack_int4_128(values);
      const bool own = wide && tensor.name.find("ffn_down") == std::string::npos;  // a format of strips beside it
      const auto data = own ? blocks : test::as_q4_0(blocks);
      tensor.data.assign(reinterpret_cast<const char*>(data.data()), data.size());
      tensor.type = quant::info(own ? quant::Format::int4_128 : quant::Format::q4_0).gguf_type;
    }
    return file.bytes();
  };
  const std::string wide = model(true), plain = model(false), rows = packed(wide);
  for (const Activations activations : {Activations::int8, Activations::fp32, Activations::fp8}) {
    EngineOptions options = test::small_options();
    options.activations = activations;
    const auto expected = logits(plain, options);
    CHECK(logits(wide, options) == expected);
    CHECK(logits(rows, options) == expected);
  }
}

TEST_CASE("a packed file stays where it is mapped, and a plan counts nothing beside it") {
  const std::string file = packed(quantized_model(true).bytes());
  const test::TemporaryFile on_disk(file);
  const auto plan = Engine::plan(on_disk.path(), test::small_options());
  REQUIRE(plan.ok());
  CHECK(plan->weights == file.size());
  auto engine = Engine::load(on_disk.path(), test::small_options());
  REQUIRE(engine.ok());
  CHECK(engine->memory().mapped == file.size());
  CHECK(engine->memory().peak <= plan->total);
}

TEST_CASE("an altered, truncated or foreign packed file says how to make it anew") {
  const std::string file = packed(quantized_model(true).bytes());
  SECTION("another version") {
    std::string other = file;
    const std::size_t key = other.find("kinglet.pack.version");
    REQUIRE(key != other.npos);
    other[key + 20 + 4] = 1;  // whose scales stood after the codes
    CHECK(error_of(other).code == Errc::unsupported);
    CHECK(says(error_of(other), "another version"));
    CHECK(says(error_of(other), "kinglet pack"));
  }
  SECTION("no version") {
    std::string other = file;
    other[other.find("kinglet.pack.version")] = 'K';
    CHECK(error_of(other).code == Errc::bad_format);
    CHECK(says(error_of(other), "kinglet pack"));
  }
  SECTION("truncated") {
    for (const std::size_t n : {file.size() - 64, file.size() / 2}) {
      const Error error = error_of(file.substr(0, n));
      CHECK(error.code == Errc::bad_format);
      CHECK(says(error, "kinglet pack"));
    }
  }
  SECTION("an altered head") {
    std::string other = file;
    other[other.find("tiny")] = 'T';
    CHECK(says(error_of(other), "head"));
    CHECK(says(error_of(other), "kinglet pack"));
  }
  SECTION("altered weights are found by the check") {
    std::string other = file;
    other[file.size() / 2] = static_cast<char>(other[file.size() / 2] ^ 1);
    core::Memory memory;
    const auto whole = model::Gguf::from_memory(test::as_bytes(file), memory);
    REQUIRE(whole.ok());
    CHECK(model::check_packed(*whole).ok());
    const auto altered = model::Gguf::from_memory(test::as_bytes(other), memory);
    REQUIRE(altered.ok());
    const Status status = model::check_packed(*altered);
    CHECK(status.error().code == Errc::bad_format);
    CHECK(says(status.error(), "kinglet pack"));
  }
  SECTION("it is not packed twice") {
    core::Memory memory;
    const auto once = model::Gguf::from_memory(test::as_bytes(file), memory);
    REQUIRE(once.ok());
    CHECK(model::pack(*once, {}, &memory).error().code == Errc::unsupported);
  }
}

TEST_CASE("the output layer is re-quantized by the option only, and the plan knows it to the byte") {
  for (const bool tied : {false, true}) {
    test::GgufBytes model = quantized_model(tied);
    // A layer in Q8_0 that becomes Q4_0 is what a file quantized so says.
    const std::string name = tied ? "token_embd.weight" : "output.weight";
    auto& output = model.find(name);
    const std::size_t n = static_cast<std::size_t>(output.dims[0] * output.dims[1]);
    std::vector<float> values(n);
    const auto from = *quant::from_gguf_type(output.type);
    quant::dequantize(from, reinterpret_cast<const std::byte*>(output.data.data()), n, values.data());
    const auto to = from == quant::Format::q4_0 ? quant::Format::q8_0 : quant::Format::q4_0;
    for (const std::string& bytes : {model.bytes(), packed(model.bytes())}) {
      EngineOptions options = test::small_options();
      options.output_weights = from;  // as it is: nothing changes
      const auto plain = logits(bytes, test::small_options());
      CHECK(logits(bytes, options) == plain);
      options.output_weights = to;
      const auto changed = logits(bytes, options);
      CHECK(changed != plain);
      if (!tied) {
        test::GgufBytes wanted = model;
        std::string blocks(quant::format_bytes(to, n), '\0');
        REQUIRE(quant::quantize(to, quant::Method::rtn, values, reinterpret_cast<std::byte*>(blocks.data())));
        wanted.find(name).data = blocks;
        wanted.find(name).type = quant::info(to).gguf_type;
        CHECK(changed == logits(wanted.bytes(), test::small_options()));
      }
      const test::TemporaryFile file(bytes);
      test::CountingHeap heap;
      options.hooks = heap.hooks();
      const auto plan = Engine::plan(file.path(), options);
      REQUIRE(plan.ok());
      options.memory_limit = plan->total;
      CHECK(Engine::load(file.path(), options).ok());
      options.memory_limit = plan->total - 1;
      CHECK(Engine::load(file.path(), options).error().code == Errc::out_of_memory);
    }
  }
  EngineOptions options = test::small_options();
  options.output_weights = quant::Format::f16;
  CHECK(Engine::load(test::as_bytes(quantized_model(true).bytes()), options).error().code == Errc::invalid_argument);
}

// tests/engine/model_files.hpp: which models does what holds for every engine have to hold for?
#pragma once
#include <memory_resource>
#include <string>
#include <vector>

#include <kinglet/model/gguf_writer.hpp>

#include "tests/data.hpp"
#include "tests/engine/packed_model.hpp"
#include "tests/engine/tiny_engine.hpp"

namespace kinglet::test {

inline model::ByteSink into(std::string& out) {
  return {&out, [](void* user, const std::byte* data, std::size_t n) {
            static_cast<std::string*>(user)->append(reinterpret_cast<const char*>(data), n);
            return true;
          }};
}

/// A model of tests/golden/models with a chat template that is a message a line.
inline std::string golden_chat(const char* name) {
  core::Memory memory;
  const auto file = model::Gguf::open(fixture(std::string("golden/models/") + name + ".gguf"), memory);
  REQUIRE(file.ok());
  std::string out;
  model::GgufWriter writer(into(out), std::pmr::get_default_resource());
  for (const auto& entry : file->entries()) REQUIRE(writer.add(entry).ok());
  REQUIRE(writer.add("tokenizer.chat_template", "{% for m in messages %}{{ m['content'] }}\n{% endfor %}").ok());
  for (const auto& t : file->tensors()) REQUIRE(writer.add_tensor(t.name, std::span(t.dims, t.rank), *t.format).ok());
  REQUIRE(writer.begin().ok());
  for (const auto& t : file->tensors()) REQUIRE(writer.write({t.data, t.bytes}).ok());
  REQUIRE(writer.finish().ok());
  return out;
}

/// A model and how it is loaded.
struct Variant {
  std::string name;
  std::string bytes;
  EngineOptions options;
};

/// FP32 and quantized weights, packed, with another output layer, with more threads; all of them can chat.
inline std::vector<Variant> variants() {
  TinyShape shape;
  shape.chat_template = chatml;
  std::vector<Variant> all;
  all.push_back({"tiny", tiny_model(shape).bytes(), small_options()});
  for (const char* const name : {"q4", "super", "groups"}) {
    const std::string bytes = golden_chat(name);
    all.push_back({name, bytes, small_options()});
    all.push_back({std::string(name) + " packed", packed(bytes), small_options()});
  }
  for (std::size_t i = 1; i < all.size(); ++i) all[i].options.threads = 1 + i % 2;
  Variant output = all[1];
  output.name = "q4, output layer in Q4_0";
  output.options.output_weights = quant::Format::q4_0;
  output.options.threads = 2;
  all.push_back(output);
  output = all[3];
  output.name = "super, output layer in Q8_0, FP8 and a gate";
  output.options.output_weights = quant::Format::q8_0;
  output.options.activations = Activations::fp8;
  output.options.gate = 0.25f;
  all.push_back(output);
  return all;
}

}  // namespace kinglet::test

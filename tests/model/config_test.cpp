#include <kinglet/model/config.hpp>

#include <string>

#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;

namespace {

Result<model::ModelConfig> config_of(const test::GgufBytes& file) {
  const std::string bytes = file.bytes();
  core::Memory memory;
  const auto gguf = model::Gguf::from_memory(test::as_bytes(bytes), memory);
  REQUIRE(gguf.ok());
  return model::read_config(*gguf);
}

bool says(const Error& error, const char* text) { return std::string(error.message).find(text) != std::string::npos; }

}  // namespace

TEST_CASE("a file tells its model's shape") {
  core::Memory memory;
  const auto file = model::Gguf::open(test::fixture("model/fixtures/llama-gqa-tied.gguf"), memory);
  REQUIRE(file.ok());
  const auto config = model::read_config(*file);
  REQUIRE(config.ok());
  CHECK(std::string(config->family) == "llama");
  CHECK(std::string(config->name) == "llama-gqa-tied");
  CHECK(config->dim == 33);
  CHECK(config->layers == 2);
  CHECK(config->heads == 3);
  CHECK(config->kv_heads == 1);
  CHECK(config->head_dim == 24);
  CHECK(config->rotary_dim == 24);
  CHECK(config->ffn == 40);
  CHECK(config->vocab == 131);
  CHECK(config->trained_context == 1024);
  CHECK(config->norm_eps == 1e-6f);
  CHECK(config->rope_theta == 10000.0f);
  CHECK(config->rope_scale == 1.0f);
  CHECK(config->rotary_pairs == ops::RotaryPairs::interleaved);
  CHECK(config->tied_output);
}

TEST_CASE("what a file leaves out has the usual value") {
  auto file = test::tiny_model();
  file.drop("llama.attention.head_count_kv");
  file.drop("llama.attention.key_length");
  file.drop("llama.attention.value_length");
  const auto config = config_of(file);
  REQUIRE(config.ok());
  CHECK(config->kv_heads == 4);
  CHECK(config->head_dim == 8);
  CHECK(config->rope_theta == 10000.0f);
  CHECK_FALSE(config->tied_output);
}

TEST_CASE("linear rotary scaling, in its new and its old spelling") {
  auto file = test::tiny_model();
  file.f32("llama.rope.scale_linear", 2.0f);
  CHECK(config_of(file)->rope_scale == 2.0f);
  file.string("llama.rope.scaling.type", "linear");
  file.f32("llama.rope.scaling.factor", 4.0f);
  CHECK(config_of(file)->rope_scale == 4.0f);
  file.string("llama.rope.scaling.type", "none");
  CHECK(config_of(file)->rope_scale == 1.0f);
}

TEST_CASE("what this build does not handle is named") {
  auto file = test::tiny_model();
  SECTION("a family") {
    file.string("general.architecture", "mamba");
    const Error error = config_of(file).error();
    CHECK(error.code == Errc::unsupported);
    CHECK(says(error, "mamba"));
    CHECK(says(error, "llama, qwen2, qwen3"));
  }
  SECTION("a rotary scaling") {
    for (const char* const kind : {"yarn", "longrope"}) {
      file.string("llama.rope.scaling.type", kind);
      CHECK(config_of(file).error().code == Errc::unsupported);
      CHECK(says(config_of(file).error(), kind));
    }
  }
  SECTION("experts") {
    file.u32("llama.expert_count", 8);
    CHECK(config_of(file).error().code == Errc::unsupported);
  }
  SECTION("layers of different shapes") {
    file.ints("llama.attention.head_count_kv", {2, 1});
    CHECK(config_of(file).error().code == Errc::unsupported);
    CHECK(says(config_of(file).error(), "head_count_kv"));
  }
  SECTION("values of another length than keys") {
    file.u32("llama.attention.value_length", 16);
    CHECK(config_of(file).error().code == Errc::unsupported);
  }
}

TEST_CASE("a malformed shape is refused, and the message names the key") {
  for (const char* const key : {"embedding_length", "block_count", "feed_forward_length", "context_length",
                                "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
    const std::string name = std::string("llama.") + key;
    auto file = test::tiny_model();
    file.drop(name);
    CHECK(config_of(file).error().code == Errc::bad_format);
    CHECK(says(config_of(file).error(), key));
    file.string(name, "many");
    CHECK(config_of(file).error().code == Errc::bad_format);
    CHECK(says(config_of(file).error(), key));
    if (std::string(key) == "attention.layer_norm_rms_epsilon") continue;
    for (const std::uint32_t value : {0u, 0xffffffffu}) {
      file.u32(name, value);
      CHECK(config_of(file).error().code == Errc::bad_format);
      CHECK(says(config_of(file).error(), key));
    }
  }
  auto file = test::tiny_model();
  SECTION("heads that do not divide") {
    file.u32("llama.attention.head_count_kv", 3);
    CHECK(config_of(file).error().code == Errc::bad_format);
  }
  SECTION("odd rotation") {
    file.u32("llama.rope.dimension_count", 7);
    CHECK(config_of(file).error().code == Errc::bad_format);
    file.u32("llama.rope.dimension_count", 10);
    CHECK(config_of(file).error().code == Errc::bad_format);
  }
  SECTION("a width that the heads do not divide") {
    file.drop("llama.attention.key_length");
    file.u32("llama.embedding_length", 33);
    CHECK(config_of(file).error().code == Errc::bad_format);
  }
  SECTION("numbers that are none") {
    for (const float value : {0.0f, -1.0f, NAN, INFINITY}) {
      file.f32("llama.rope.freq_base", value);
      CHECK(config_of(file).error().code == Errc::bad_format);
    }
  }
  SECTION("no architecture, no embedding") {
    file.drop_tensor("token_embd.weight");
    CHECK(says(config_of(file).error(), "token_embd.weight"));
    file.drop("general.architecture");
    CHECK(says(config_of(file).error(), "general.architecture"));
  }
}

TEST_CASE("a name is cut at a whole character") {
  auto file = test::tiny_model();
  std::string name(62, 'a');
  std::string longer(name);
  longer.append("\xc3\xa9\xc3\xa9");
  file.string("general.name", longer);
  CHECK(config_of(file)->name == name);
}

#include <kinglet/model/family.hpp>

#include <string>

#include <kinglet/model/forward.hpp>

#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;

namespace {

/// Checks a model's tensors without a backend.
Status check(const test::GgufBytes& file, model::Forward& forward, float gate = 0.0f) {
  const std::string bytes = file.bytes();
  core::Memory memory;
  auto gguf = model::Gguf::from_memory(test::as_bytes(bytes), memory);
  REQUIRE(gguf.ok());
  const auto config = model::read_config(*gguf);
  REQUIRE(config.ok());
  model::Placement nowhere;
  model::ForwardOptions options;
  options.gate = gate;
  return model::build_forward(*gguf, *config, options, nowhere, forward);
}

Error error_of(const test::GgufBytes& file) {
  model::Forward forward(std::pmr::get_default_resource());
  return check(file, forward).error();
}

bool says(const Error& error, const char* text) { return std::string(error.message).find(text) != std::string::npos; }

}  // namespace

TEST_CASE("a model becomes a list of operations") {
  for (const char* const family : {"llama", "qwen2", "qwen3"}) {
    test::TinyShape shape;
    shape.family = family;
    model::Forward forward(std::pmr::get_default_resource());
    REQUIRE(check(test::tiny_model(shape), forward).ok());
    REQUIRE(forward.ops.size() == 2 + 5 * 2);
    CHECK(forward.importance.empty());
    CHECK(forward.ops[0].kind == ops::OpKind::embed);
    const ops::Op& input = forward.ops[6];
    CHECK(input.kind == ops::OpKind::attention_input);
    CHECK(input.layer == 1);
    CHECK(input.weight[0].rows == 32);
    CHECK(input.weight[1].rows == 16);
    CHECK(input.weight[2].cols == 32);
    CHECK(input.norm != nullptr);
    CHECK((input.bias[0] != nullptr) == (shape.family == "qwen2"));
    CHECK((input.bias[2] != nullptr) == (shape.family == "qwen2"));
    CHECK((input.head_norm[0] != nullptr) == (shape.family == "qwen3"));
    CHECK((input.head_norm[1] != nullptr) == (shape.family == "qwen3"));
    CHECK(forward.ops[9].kind == ops::OpKind::gate_up);
    CHECK(forward.ops[9].weight[1].rows == 40);
    CHECK(forward.ops[10].weight[0].cols == 40);
    CHECK(forward.ops[11].kind == ops::OpKind::output);
    CHECK(forward.ops[11].weight[0].data != forward.ops[0].weight[0].data);
  }
}

TEST_CASE("a tied output layer is the embedding") {
  test::TinyShape shape;
  shape.tied = true;
  model::Forward forward(std::pmr::get_default_resource());
  REQUIRE(check(test::tiny_model(shape), forward).ok());
  CHECK(forward.ops.back().weight[0].data == forward.ops.front().weight[0].data);
}

TEST_CASE("with a gate every product knows its channels' importance") {
  model::Forward forward(std::pmr::get_default_resource());
  REQUIRE(check(test::tiny_model(), forward, 0.25f).ok());
  for (const ops::Op& op : forward.ops) {
    const bool product = op.kind != ops::OpKind::embed && op.kind != ops::OpKind::attention;
    CHECK((op.importance != nullptr) == product);
  }
  CHECK(forward.importance.size() == 2 * (32 + 32 + 32 + 40) + 32);
}

TEST_CASE("a tensor that is not as the model needs it is named, with what it is and what was expected") {
  auto file = test::tiny_model();
  SECTION("missing") {
    file.drop_tensor("blk.1.ffn_up.weight");
    CHECK(error_of(file).code == Errc::bad_format);
    CHECK(says(error_of(file), "blk.1.ffn_up.weight is missing; expected 32 x 40"));
  }
  SECTION("of another shape") {
    file.find("blk.0.attn_k.weight").dims = {16, 32};
    CHECK(error_of(file).code == Errc::bad_format);
    CHECK(says(error_of(file), "blk.0.attn_k.weight is 16 x 32; expected 32 x 16"));
  }
  SECTION("of three dimensions") {
    file.find("blk.0.attn_k.weight").dims = {32, 8, 2};
    CHECK(error_of(file).code == Errc::bad_format);
  }
  SECTION("a norm of another length") {
    file.find("output_norm.weight").dims = {16, 2};
    CHECK(says(error_of(file), "output_norm.weight is 16 x 2; expected 32"));
  }
  SECTION("a norm in FP16") {
    file.find("blk.1.attn_norm.weight").type = 1;
    CHECK(error_of(file).code == Errc::unsupported);
    CHECK(says(error_of(file), "blk.1.attn_norm.weight is of type F16; expected F32"));
  }
  SECTION("of a type that is not handled") {
    file.find("blk.0.attn_q.weight").type = 16;  // IQ2_XXS, blocks of 256
    file.find("blk.0.attn_q.weight").dims = {256, 4};
    const Error error = error_of(file);
    CHECK(error.code == Errc::unsupported);
    CHECK(says(error, "blk.0.attn_q.weight"));
  }
}

TEST_CASE("a file whose families differ lacks what the family needs") {
  test::TinyShape shape;
  shape.family = "qwen2";
  auto biases = test::tiny_model(shape);
  biases.drop_tensor("blk.1.attn_v.bias");
  CHECK(says(error_of(biases), "blk.1.attn_v.bias is missing"));
  shape.family = "qwen3";
  auto norms = test::tiny_model(shape);
  norms.drop_tensor("blk.0.attn_k_norm.weight");
  CHECK(says(error_of(norms), "blk.0.attn_k_norm.weight is missing"));
}

TEST_CASE("Llama 3's factors divide the frequencies") {
  const auto steps = [](const test::GgufBytes& file, std::pmr::vector<std::uint64_t>& out) {
    const std::string bytes = file.bytes();
    core::Memory memory;
    auto gguf = model::Gguf::from_memory(test::as_bytes(bytes), memory);
    REQUIRE(gguf.ok());
    return model::read_rotary_steps(*gguf, *model::read_config(*gguf), out);
  };
  std::pmr::vector<std::uint64_t> plain, divided;
  auto file = test::tiny_model();
  REQUIRE(steps(file, plain).ok());
  auto& factors = file.tensor("rope_freqs.weight", {4}, {1.0f, 2.0f, 4.0f, 8.0f});
  REQUIRE(steps(file, divided).ok());
  REQUIRE(plain.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    // To a rounding: the integer nearest to 2^64 f / factor against that nearest to 2^64 f, over factor.
    const std::uint64_t expected = plain[i] >> i;
    CHECK(divided[i] - expected <= 1);
  }
  const float bad = -1.0f;
  std::memcpy(factors.data.data(), &bad, 4);
  CHECK(steps(file, divided).error().code == Errc::bad_format);
  factors.dims = {2};
  CHECK(says(steps(file, divided).error(), "rope_freqs.weight"));
}

TEST_CASE("a load that is cancelled stops where it is") {
  const std::string bytes = test::tiny_model().bytes();
  core::Memory memory;
  auto gguf = model::Gguf::from_memory(test::as_bytes(bytes), memory);
  model::ForwardOptions options;
  int calls = 0;
  options.progress_user = &calls;
  options.progress = [](void* user, float done) {
    CHECK(done > 0.0f);
    return ++*static_cast<int*>(user) < 2;
  };
  model::Placement nowhere;
  model::Forward forward(&memory);
  CHECK(model::build_forward(*gguf, *model::read_config(*gguf), options, nowhere, forward).error().code ==
        Errc::cancelled);
  CHECK(calls == 2);
}

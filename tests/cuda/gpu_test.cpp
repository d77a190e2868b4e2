// The kernels on a real device, where there is one: the same comparisons as on the emulator.
#include <kinglet/sample/sampler.hpp>

#include "tests/catch.hpp"
#include "tests/cuda/choices.hpp"
#include "tests/data.hpp"
#include "tests/ops/hand_model.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

const BackendInfo* device() {
  for (const BackendInfo& info : backends()) {
    if (std::string(info.name) == "cuda" && info.available()) return &info;
  }
  return nullptr;
}

void compare(const BackendInfo& gpu, const ContextShape& shape, const std::vector<quant::Format>& formats,
             std::uint32_t rotated, std::uint32_t tokens, std::uint32_t chunk) {
  const HandModel model(shape, formats, rotated);
  const HandSession session = make_session(7, tokens, 5, shape);
  Placed expected(scalar_backend(), model, model.shape);
  Placed got(gpu, model, model.shape);
  REQUIRE(std::string(got.error.message) == "");
  CHECK(same_bits(expected.all(session, 64), got.all(session, chunk)));
  CHECK(std::string(got.error.message) == "");
}

}  // namespace

TEST_CASE("on a GPU, small shapes give the bits of scalar", "[gpu][small]") {
  const BackendInfo* const gpu = device();
  if (gpu == nullptr) return skip("small shapes on a GPU", "a build with KINGLET_CUDA=ON and an NVIDIA GPU");
  for (const auto activations : {Activations::int8, Activations::fp8, Activations::fp32}) {
    ContextShape shape = quantized_shape();
    shape.activations = activations;
    shape.gate = 0.3f;
    compare(*gpu, shape, groups, 32, 11, 1);
    compare(*gpu, shape, groups, 32, 11, 11);
    shape = odd_shape();
    shape.activations = activations;
    compare(*gpu, shape, floats, 6, 7, 3);
  }
}

TEST_CASE("on a GPU, device bits are near the CPU's FP32, the same run after run, and exact in few rows",
          "[gpu][small]") {
  const BackendInfo* const gpu = device();
  if (gpu == nullptr) return skip("device bits on a GPU", "a build with KINGLET_CUDA=ON and an NVIDIA GPU");
  for (const auto& formats : {groups, floats}) {
    ContextShape shape = quantized_shape();
    const HandModel model(shape, formats, 32);
    const HandSession session = make_session(7, 40, 5, shape);
    shape = model.shape;
    Placed exact(scalar_backend(), model, shape);
    const auto few = exact.all(session, 8);
    shape.activations = Activations::fp32;
    Placed reference(scalar_backend(), model, shape);
    const auto expected = reference.all(session, 40);
    shape = model.shape;
    shape.bits = Bits::device;
    Placed got(*gpu, model, shape);
    CHECK(same_bits(few, got.all(session, 8)));
    const auto many = got.all(session, 40);
    CHECK(same_bits(many, got.all(session, 40)));
    REQUIRE(many.size() == expected.size());
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < many.size(); ++i) {
      error += std::pow(static_cast<double>(many[i]) - expected[i], 2);
      size += std::pow(static_cast<double>(expected[i]), 2);
    }
    CHECK(std::sqrt(error / size) < 0.01);
  }
}

TEST_CASE("on a GPU, tokens are chosen as on the CPU", "[gpu][small]") {
  const BackendInfo* const gpu = device();
  if (gpu == nullptr) return skip("sampling on a GPU", "a build with KINGLET_CUDA=ON and an NVIDIA GPU");
  ContextShape shape = odd_shape();
  shape.vocab = 1500;
  const HandModel model(shape, floats, 6);
  const HandSession session = make_session(7, 12, 5, shape);
  Placed placed(*gpu, model, model.shape);
  (void)placed.all(session, 12);
  auto sampler = sample::Sampler::create(1500, std::pmr::get_default_resource());
  REQUIRE(sampler.ok());
  compare_foreseen(*gpu, model, [](std::size_t) {});
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    REQUIRE(sampler->configure(nth_options(seed)).ok());
    const auto expected = sampler->sample(*placed->logits(3), session.tokens, seed);
    const auto got = sampler->sample(*placed, 3, session.tokens, seed);
    REQUIRE(expected.ok());
    REQUIRE(got.ok());
    CHECK(expected->token == got->token);
    CHECK(expected->logprob == got->logprob);
  }
}

TEST_CASE("on a GPU, pages are those of scalar, and go out, in and to other pages", "[gpu][small]") {
  const BackendInfo* const gpu = device();
  if (gpu == nullptr) return skip("pages on a GPU", "a build with KINGLET_CUDA=ON and an NVIDIA GPU");
  for (const auto kv : {KvFormat::fp16, KvFormat::fp32}) {
    ContextShape shape = odd_shape();
    shape.kv = kv;
    const HandModel model(shape, floats, 6);
    const HandSession session = make_session(7, 32, 5, shape);  // whole pages
    Placed expected(scalar_backend(), model, model.shape), got(*gpu, model, model.shape);
    CHECK(same_bits(expected.step({&session}, {0}, {32}), got.step({&session}, {0}, {32})));
    std::vector<std::byte> right(model.shape.page_bytes()), page(right.size());
    for (const std::uint32_t index : session.pages) {
      REQUIRE(expected->read_page(index, right).ok());
      REQUIRE(got->read_page(index, page).ok());
      CHECK(page == right);
      REQUIRE(got->write_page(0, right).ok());
      REQUIRE(got->copy_page(0, 1, 16).ok());
      REQUIRE(got->read_page(1, page).ok());
      CHECK(page == right);
    }
  }
}

TEST_CASE("on a GPU, the bits are those of scalar", "[gpu]") {
  const BackendInfo* const gpu = device();
  if (gpu == nullptr) return skip("the cuda backend on a device", "a build with KINGLET_CUDA=ON and an NVIDIA GPU");
  for (const auto activations : {Activations::int8, Activations::fp8, Activations::fp32}) {
    ContextShape shape = quantized_shape();
    shape.activations = activations;
    for (const std::uint32_t chunk : {1u, 8u, 70u}) compare(*gpu, shape, groups, 32, 300, chunk);
    shape = odd_shape();
    shape.activations = activations;
    for (const std::uint32_t chunk : {1u, 33u}) compare(*gpu, shape, floats, 6, 100, chunk);
    shape = quantized_shape();
    shape.activations = activations;
    shape.dim = shape.ffn = 256;
    shape.heads = shape.kv_heads = 1;
    shape.head_dim = 256;
    const std::vector<quant::Format> k_quants = {quant::Format::q6_k, quant::Format::q4_k, quant::Format::q2_k,
                                                 quant::Format::q3_k, quant::Format::q5_k};
    for (const std::uint32_t chunk : {1u, 33u}) {
      compare(*gpu, shape, k_quants, 64, 40, chunk);
      compare(*gpu, shape, {quant::Format::int4_128}, 64, 40, chunk);
    }
  }
}

TEST_CASE("a backend without its device says so in one line") {
  if (device() != nullptr) return;
  const auto found = find_backend("cuda");
  REQUIRE_FALSE(found);
  const std::string message = found.error().message;
  CHECK(message.find('\n') == std::string::npos);
  // In a build with it: what is missing. In one without: which backends there are.
  CHECK((message.find("NVIDIA GPU") != std::string::npos || found.error().code == Errc::not_found));
}

// The kernels on a real device, where there is one: the same comparisons as on the emulator.
#include "tests/catch.hpp"
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

TEST_CASE("on a GPU, the bits are those of scalar") {
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
    for (const std::uint32_t chunk : {1u, 33u}) compare(*gpu, shape, k_quants, 64, 40, chunk);
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

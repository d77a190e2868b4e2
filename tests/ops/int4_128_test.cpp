// A model in INT4_128 and the same in Q4_0, each of whose groups repeats its block's scale, are one to every backend.
#include "tests/quant/int4_128.hpp"

#include "tests/catch.hpp"
#include "tests/ops/hand_model.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

/// @param to_q4_0  the same weights, in the other format
std::unique_ptr<HandModel> make_model(const ContextShape& shape, bool to_q4_0) {
  auto model = std::make_unique<HandModel>(shape, std::vector{quant::Format::int4_128}, 32);
  Random random{9};
  std::vector<std::unique_ptr<std::vector<std::byte>>> made;
  for (Op& op : model->ops) {
    for (WeightView& w : op.weight) {
      if (!w) continue;
      const auto blocks = pack_int4_128(normals(random, std::size_t{w.rows} * w.cols, 0.1f));
      made.push_back(std::make_unique<std::vector<std::byte>>(to_q4_0 ? as_q4_0(blocks) : blocks));
      if (to_q4_0) w.format = quant::Format::q4_0;
      w.row_bytes = quant::format_bytes(w.format, w.cols);
      w.data = made.back()->data();
    }
  }
  model->matrices = std::move(made);
  return model;
}

}  // namespace

TEST_CASE("INT4_128 gives the bits of Q4_0 with its scales, on every backend, with all activations") {
  ContextShape shape = quantized_shape();
  shape.dim = 128;
  shape.heads = 4;
  shape.kv_heads = 1;
  shape.head_dim = 32;
  shape.ffn = 384;  // not a multiple of a tile's 256 inputs
  shape.vocab = 33;
  shape.max_rows = shape.max_logits = 33;
  for (const Activations activations : {Activations::int8, Activations::fp8, Activations::fp32}) {
    for (const float gate : {0.0f, 0.5f}) {
      shape.activations = activations;
      shape.gate = gate;
      const auto wide = make_model(shape, false), plain = make_model(shape, true);
      const HandSession session = make_session(3, 33, 5, shape);
      const auto expected = Placed(scalar_backend(), *plain, plain->shape).all(session, 33);
      for (const BackendInfo* backend : usable()) {
        for (const std::uint32_t chunk : {1u, 7u, 31u, 33u}) {
          Placed placed(*backend, *wide, wide->shape);
          INFO(backend->name << ", " << chunk << " rows");
          CHECK(same_bits(placed.all(session, chunk), expected));
          CHECK(placed.memory().used() == placed.expected_bytes);
        }
      }
    }
  }
}

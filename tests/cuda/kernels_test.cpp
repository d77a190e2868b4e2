// Every kernel there is runs on the emulator, with every access looked at, and gives the bits of `scalar`, but for
// those of device bits, whose limits halves_test.cpp has.
#include <fstream>
#include <set>
#include <string>

#include "tests/catch.hpp"
#include "tests/cuda/emulated.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

constexpr quant::Format quantized[] = {
    quant::Format::q8_0,  quant::Format::q4_0,   quant::Format::q4_1,    quant::Format::q5_0, quant::Format::q5_1,
    quant::Format::mxfp4, quant::Format::iq4_nl, quant::Format::q2_k,    quant::Format::q3_k, quant::Format::q4_k,
    quant::Format::q5_k,  quant::Format::q6_k,   quant::Format::int4_128};

/// The kernels that are compiled for a device.
std::set<std::string> all_kernels() {
  std::set<std::string> names;
  const auto add = [&]<class Kernel>() { names.insert(emulator::name_of<Kernel>()); };
  const auto of = [&](quant::Format format) {
    [&]<std::size_t... kind>(std::index_sequence<kind...>) {
      (cuda::with_kernel<static_cast<cuda::KernelKind>(kind)>(format, add), ...);
    }
    (std::make_index_sequence<cuda::kernel_kinds>());
  };
  for (const quant::Format format : floats) of(format);
  for (const quant::Format format : quantized) of(format);
  return names;
}

std::set<std::string> ran;

/// All logits of a model of one layer, its matrices of one format.
void compare(quant::Format format, Activations activations, std::uint32_t tokens, float gate, Bits bits = Bits::exact) {
  ContextShape shape = quantized_shape();
  const std::uint32_t size = std::max(32u, quant::info(format).block);
  shape.dim = shape.ffn = shape.head_dim = size;
  shape.heads = shape.kv_heads = shape.layers = 1;
  shape.vocab = 17;
  shape.max_rows = shape.max_logits = tokens;
  shape.pages = 2;
  shape.activations = activations;
  shape.gate = gate;
  shape.bits = bits;
  const HandModel model(shape, {format}, 20);
  const HandSession session = make_session(3, tokens, 0, shape);
  Placed cpu(scalar_backend(), model, model.shape);
  emulator::Machine machine;
  Placed gpu(emulated_cuda, model, model.shape);
  INFO(quant::info(format).name << ", " << tokens << " rows");
  CHECK(same_bits(cpu.all(session, tokens), gpu.all(session, tokens)) == (bits == Bits::exact));
  CHECK(gpu->sample({}).ok());
  CHECK(std::string(gpu.error.message) == "");
  CHECK(machine.device.reports.text() == "");
  ran.insert(machine.device.watched.begin(), machine.device.watched.end());
}

}  // namespace

TEST_CASE("every kernel that is compiled for a device is watched on the emulator") {
  ran.clear();
  for (const quant::Format format : floats) {
    compare(format, Activations::int8, 2, 0.5f);
    compare(format, Activations::int8, 9, 0.0f, Bits::device);
  }
  for (const quant::Format format : quantized) {
    compare(format, Activations::int8, 1, 0.0f);
    compare(format, Activations::int8, 9, 0.0f);
    compare(format, Activations::int8, 9, 0.0f, Bits::device);
    compare(format, Activations::fp8, 1, 0.0f);
    compare(format, Activations::fp32, 1, 0.0f);
  }
  const std::set<std::string> all = all_kernels();
  CHECK(all.size() == 9 + 3 * (std::size(quantized) + 3) + 3 * std::size(quantized));
  for (const std::string& name : all) {
    INFO(name);
    CHECK(ran.count(name) == 1);
  }
#if defined(KINGLET_KERNEL_LIST)  // what tests/cuda/resources.sh finds in the objects, it looks for here
  std::ofstream list(KINGLET_KERNEL_LIST);
  for (const std::string& name : ran) list << name << '\n';
#endif
}

// A re-quantized output layer on the GPU: the CPU's logits to the bit, and the bytes that the plan says.
#include <cstring>
#include <string>
#include <vector>

#include <kinglet/quant/quantizer.hpp>

#include "engine/gpu_layers.hpp"
#include "engine/shape.hpp"
#include "tests/counting.hpp"
#include "tests/cuda/loaded.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;
using namespace kinglet::test;

namespace {

constexpr quant::Format formats[] = {quant::Format::q4_0, quant::Format::q8_0};

/// A model whose matrices are all of one format; its vocabulary fills no last strip.
std::string model_bytes(bool tied, quant::Format format) {
  TinyShape shape;
  shape.layers = 3;
  shape.dim = 64;
  shape.ffn = 96;
  shape.head_dim = 16;
  shape.tied = tied;
  GgufBytes file = tiny_model(shape);
  for (auto& tensor : file.tensors) {
    if (tensor.dims.size() != 2 || format == quant::Format::f32) continue;
    std::vector<float> values(tensor.data.size() / sizeof(float));
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    tensor.data.resize(quant::format_bytes(format, values.size()));
    REQUIRE(quant::quantize(format, quant::Method::rtn, values, reinterpret_cast<std::byte*>(tensor.data.data())));
    tensor.type = quant::info(format).gguf_type;
  }
  return file.bytes();
}

EngineOptions twelve_rows() {
  EngineOptions options = small_options();
  options.max_rows = options.max_logits = 12;
  return options;
}

/// What a matrix of the output layer takes on the GPU.
std::size_t placed_bytes(const engine::EngineState& state, quant::Format format) {
  const std::uint32_t cols = state.config.dim;
  return emulated_cuda.placed_bytes(
      {}, {format, state.config.vocab, cols, quant::format_bytes(format, cols), nullptr, ops::WeightLayout::rows},
      ops::WeightUse::product);
}

struct Loaded : LoadedEngine {
  using LoadedEngine::LoadedEngine;

  /// Of twelve tokens, all rows in one step.
  std::vector<float> logits() {
    INFO(error.message);
    REQUIRE(state != nullptr);
    const auto slot = engine::open_slot(*state, {.format = PromptFormat::text});
    REQUIRE(slot.ok());
    std::vector<std::int32_t> tokens;
    for (std::int32_t i = 0; i < 12; ++i) tokens.push_back(i * 37 % 256);
    REQUIRE(engine::submit_tokens(**slot, tokens, {}).ok());
    REQUIRE(engine::begin_alone(**slot, 12, true, false).ok());
    REQUIRE(engine::run_all(*state).ok());
    std::vector<float> out;
    for (std::uint32_t i = 0; i < 12; ++i) {
      const auto row = state->backend->logits(i);
      REQUIRE(row.ok());
      out.insert(out.end(), row->begin(), row->end());
    }
    engine::abandon(*state, state->plan);
    close(**slot);
    return out;
  }
};

/// The least memory of a GPU for which an engine puts all layers there, less what it leaves free.
std::uint64_t room_for_all(const engine::EngineState& state, const EngineOptions& options, bool lent = false) {
  ops::ContextShape shape = engine::shape_of(state);
  shape.lent = lent;
  std::size_t low = 0, high = std::size_t{8} << 20;
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    emulator::Machine machine(middle, false);
    const auto layers = engine::choose_gpu_layers(options, emulated_cuda, shape, state.file);
    REQUIRE(layers.ok());
    (*layers == shape.layers ? high : low) = middle;
  }
  return high - high / 16;
}

}  // namespace

TEST_CASE("a re-quantized output layer gives the CPU's bits on a GPU, and the plan knows it to the byte") {
  for (const bool tied : {false, true}) {
    for (const auto from : {quant::Format::f32, quant::Format::q4_0}) {
      const TemporaryFile file(model_bytes(tied, from));
      for (const auto to : formats) {
        EngineOptions options = twelve_rows();
        options.output_weights = to;
        const auto expected = Loaded(file.path(), options, &scalar_backend()).logits();
        const auto plain = Loaded(file.path(), twelve_rows(), &scalar_backend()).logits();
        CHECK(same_bits(expected, plain) == (from == to));
        for (const std::int32_t layers : {1, 2, 3}) {
          INFO("tied " << tied << ", " << quant::info(from).name << " to " << quant::info(to).name << ", " << layers
                       << " layers");
          emulator::Machine machine;
          options.gpu_layers = layers;
          options.memory_limit = 0;
          {
            Loaded gpu(file.path(), options);
            REQUIRE(std::string(gpu.error.message) == "");
            CHECK(gpu.state->split.has_value() == (layers < 3));
            CHECK(gpu.state->forward.output_strips.empty());
            CHECK(machine.device.allocations() == 2);  // the matrices, and all the rest
            CHECK(same_bits(gpu.logits(), expected));
          }
          CHECK(machine.device.reports.text() == "");
          const auto plan = engine::plan(file.path(), options, &emulated_cuda);
          REQUIRE(plan.ok());
          options.memory_limit = plan->total;
          CHECK(Loaded(file.path(), options).error.code == Errc::ok);
          --options.memory_limit;
          CHECK(Loaded(file.path(), options).error.code == Errc::out_of_memory);
          CHECK(machine.device.allocations() == 0);
          CHECK(machine.pinned == 0);
        }
      }
    }
  }
}

TEST_CASE("a re-quantized output layer takes its bytes on the GPU once it is there, and none of the host's") {
  for (const bool tied : {false, true}) {
    const TemporaryFile file(model_bytes(tied, quant::Format::f32));
    for (const auto to : formats) {
      emulator::Machine machine(std::size_t{1} << 30, false);
      CountingHeap heap;
      EngineOptions options = twelve_rows();
      options.file_access = FileAccess::copy;
      options.hooks = heap.hooks();
      const auto plain_plan = engine::plan(file.path(), options, &emulated_cuda);
      std::size_t plain = 0, plain_heap = 0, from_bytes = 0, to_bytes = 0;
      {
        const Loaded gpu(file.path(), options);
        REQUIRE(gpu.state != nullptr);
        plain = gpu.state->memory.used();
        plain_heap = heap.used;
        from_bytes = tied ? 0 : placed_bytes(*gpu.state, quant::Format::f32);  // tied: the embedding stays there
        to_bytes = placed_bytes(*gpu.state, to);
      }
      options.output_weights = to;
      const auto plan = engine::plan(file.path(), options, &emulated_cuda);
      REQUIRE(plan.ok());
      CHECK(plan->weights + from_bytes == plain_plan->weights + to_bytes);
      const Loaded gpu(file.path(), options);
      REQUIRE(gpu.state != nullptr);
      CHECK(gpu.state->memory.used() + from_bytes == plain + to_bytes);
      CHECK(heap.used == plain_heap);
      CHECK(gpu.state->memory.peak() <= plan->total);
    }
  }
}

TEST_CASE("the choice of a GPU's layers counts the output layer as it will be there, and a shared embedding once") {
  for (const bool tied : {false, true}) {
    const TemporaryFile file(model_bytes(tied, quant::Format::f32));
    const Loaded cpu(file.path(), twelve_rows(), &scalar_backend());
    REQUIRE(cpu.state != nullptr);
    std::uint64_t matrices = 0;
    for (const model::TensorInfo& tensor : cpu.state->file.tensors()) matrices += tensor.bytes;
    EngineOptions options = twelve_rows();
    const std::uint64_t buffers = emulated_cuda.bytes(engine::shape_of(*cpu.state));
    CHECK(room_for_all(*cpu.state, options) == buffers + matrices);
    CHECK(room_for_all(*cpu.state, options, true) == buffers);
    const std::uint64_t output = model::output_tensor(cpu.state->file)->bytes;
    for (const auto to : formats) {
      options.output_weights = to;
      const std::uint64_t bytes = output / sizeof(float) / quant::info(to).block * quant::info(to).block_bytes;
      CHECK(room_for_all(*cpu.state, options) == buffers + matrices + bytes - (tied ? 0 : output));
      CHECK(room_for_all(*cpu.state, options, true) == buffers + bytes);
    }
  }
}

TEST_CASE("where an integrated GPU reads the mapped file, a re-quantized output layer alone lies beside it") {
  for (const bool tied : {false, true}) {
    const std::string bytes = model_bytes(tied, quant::Format::f32);
    const TemporaryFile file(bytes);
    EngineOptions options = twelve_rows();
    options.output_weights = quant::Format::q8_0;
    const auto expected = Loaded(file.path(), options, &scalar_backend()).logits();
    emulator::Machine machine;
    machine.integrated = true;
    const auto plan = engine::plan(file.path(), options, &emulated_cuda);
    REQUIRE(plan.ok());
    {
      Loaded gpu(file.path(), options);
      REQUIRE(gpu.state != nullptr);
      CHECK(machine.lent.count() == 1);
      CHECK(plan->weights == bytes.size() + placed_bytes(*gpu.state, quant::Format::q8_0));
      CHECK(machine.device.allocations() == 2);
      CHECK(same_bits(gpu.logits(), expected));
    }
    CHECK(machine.device.reports.text() == "");
    options.memory_limit = plan->total;
    CHECK(Loaded(file.path(), options).error.code == Errc::ok);
    --options.memory_limit;
    CHECK(Loaded(file.path(), options).error.code == Errc::out_of_memory);
    CHECK(machine.device.allocations() == 0);
    CHECK(machine.lent.count() == 0);
  }
}

// An engine on the emulated GPU: the same tokens as on the CPU, however many layers the GPU has.
#include <limits>
#include <string>
#include <vector>

#include "tests/cuda/loaded.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;
using namespace kinglet::test;

namespace {

struct Loaded : LoadedEngine {
  Loaded(const std::string& bytes, const EngineOptions& options, const ops::BackendInfo* backend)
      : LoadedEngine({}, options, backend, as_bytes(bytes)) {}
};

std::vector<SamplerOptions> samplings() {
  SamplerOptions draw;
  draw.temperature = 1.2f;
  draw.top_k = 40;
  draw.top_p = 0.95f;
  draw.repetition_penalty = 1.1f;
  draw.seed = 7;
  SamplerOptions listed;
  listed.logprobs = 2;
  return {SamplerOptions{}, draw, listed};
}

/// Of a model whose layers are on both.
std::uint32_t layers_on_cpu(const engine::EngineState& state) {
  if (!state.split) return 0;
  std::uint32_t cut = 0;
  for (const ops::Op& op : state.forward.ops) {
    // What stayed on the CPU stayed in the file.
    const bool on_gpu = op.kind == ops::OpKind::down && op.weight[0].layout == ops::WeightLayout::packed;
    if (op.kind == ops::OpKind::down && !on_gpu) ++cut;
  }
  return cut;
}

const std::string& model_bytes() {
  static const std::string bytes = [] {
    TinyShape shape;
    shape.layers = 3;
    return tiny_model(shape).bytes();
  }();
  return bytes;
}

}  // namespace

TEST_CASE("an engine on the GPU says what one on the CPU says, with any number of layers there") {
  EngineOptions options = small_options();
  std::vector<std::vector<std::int32_t>> expected;
  {
    Loaded cpu(model_bytes(), options, &scalar_backend());
    for (const SamplerOptions& s : samplings()) expected.push_back(cpu.generate(s));
    CHECK(expected[0].size() == 6);
  }
  for (const std::int32_t layers : {-1, 0, 1, 2, 3}) {
    emulator::Machine machine;
    options.gpu_layers = layers;
    {
      Loaded gpu(model_bytes(), options, &emulated_cuda);
      REQUIRE(std::string(gpu.error.message) == "");
      CHECK(std::string(gpu.state->backend->name()) == (layers == 0 ? (*ops::find_backend(""))->name : "cuda"));
      for (std::size_t i = 0; i < expected.size(); ++i) {
        INFO(layers << " layers, sampling " << i);
        CHECK(gpu.generate(samplings()[i]) == expected[i]);
      }
      CHECK(std::string(gpu.error.message) == "");
      const std::size_t steps = machine.launches["sample"] / 12;  // of the two generations that the GPU chooses for
      CHECK(steps == (layers == 0 ? 0 : 1));
      CHECK((machine.launches["attend"] > 0) == (layers != 0));
      CHECK((machine.launches["embed"] > 0) == (layers != 0));
    }
    CHECK(machine.device.reports.text() == "");
    CHECK(machine.device.allocations() == 0);
    CHECK(machine.pinned == 0);
  }
}

TEST_CASE("the gate means the same on a GPU") {
  EngineOptions options = small_options();
  options.gate = 0.5f;
  Loaded cpu(model_bytes(), options, &scalar_backend());
  const auto expected = cpu.generate({});
  for (const std::int32_t layers : {1, 3}) {
    emulator::Machine machine;
    options.gpu_layers = layers;
    Loaded gpu(model_bytes(), options, &emulated_cuda);
    CHECK(gpu.generate({}) == expected);
    CHECK(std::string(gpu.error.message) == "");
    CHECK(machine.launches["gate"] > 0);
    CHECK(machine.device.reports.text() == "");
  }
}

TEST_CASE("layers that do not fit the GPU's memory stay on the CPU, and the plan is to the byte") {
  EngineOptions options = small_options();
  struct Log {
    std::string text;
  } log;
  options.hooks.user = &log;
  options.hooks.log = [](void* user, LogLevel, const char* line) { static_cast<Log*>(user)->text += line; };
  std::vector<std::int32_t> expected;
  {
    Loaded cpu(model_bytes(), options, &scalar_backend());
    expected = cpu.generate({});
  }
  TemporaryFile file(model_bytes());
  std::vector<std::size_t> seen(4);
  for (std::size_t memory = std::size_t{4} << 20; seen[0] == 0; memory -= 16 << 10) {
    REQUIRE(memory > std::size_t{1} << 20);
    emulator::Machine machine(memory, false);
    log.text.clear();
    options.memory_limit = 0;
    const auto made = engine::load(file.path(), {}, options, &emulated_cuda);
    REQUIRE(made.ok());
    const bool cpu_alone = machine.device.allocations() == 0;
    const std::uint32_t on_gpu = cpu_alone ? 0 : 3 - layers_on_cpu(**made);
    const std::size_t peak = (*made)->memory.peak();
    engine::drop(*made);
    CHECK((log.text != "") == (on_gpu < 3));
    if (++seen[on_gpu] > 1) continue;
    const auto plan = engine::plan(file.path(), options, &emulated_cuda);
    REQUIRE(plan.ok());
    CHECK(peak <= plan->total);
    {
      Loaded gpu(model_bytes(), options, &emulated_cuda);
      CHECK(gpu.generate({}) == expected);
    }
    if (on_gpu != 0) continue;  // a limit leaves a GPU less room too
    options.memory_limit = plan->total - 1;
    CHECK_FALSE(engine::load(file.path(), {}, options, &emulated_cuda).ok());
  }
  CHECK(seen[0] > 0);  // nothing fits
  CHECK(seen[1] > 0);
  CHECK(seen[2] > 0);
  CHECK(seen[3] > 0);  // all
}

TEST_CASE("devices and layers that are not there are refused") {
  emulator::Machine machine;
  machine.devices = 2;
  const auto refused = [](const EngineOptions& options, const ops::BackendInfo* backend) {
    Loaded loaded(model_bytes(), options, backend);
    CHECK(loaded.state == nullptr);
    return loaded.error;
  };
  EngineOptions options = small_options();
  options.device = 5;
  CHECK(std::string(refused(options, &emulated_cuda).message).find("no CUDA device 5") != std::string::npos);
  CHECK(refused(options, &scalar_backend()).code == Errc::invalid_argument);
  options.device = 1;
  {
    Loaded loaded(model_bytes(), options, &emulated_cuda);
    CHECK(machine.opened_device == 1);
  }
  options.device = -2;
  CHECK(refused(options, &emulated_cuda).code == Errc::invalid_argument);
  options.device = -1;
  options.gpu_layers = 4;
  CHECK(std::string(refused(options, &emulated_cuda).message).find("has 3 layers") != std::string::npos);
  CHECK(refused(options, &scalar_backend()).code == Errc::invalid_argument);
  options.gpu_layers = -2;
  CHECK(refused(options, &emulated_cuda).code == Errc::invalid_argument);
  options = small_options();
  options.bits = Bits::device;
  CHECK(std::string(refused(options, &scalar_backend()).message).find("backend scalar has none") != std::string::npos);
  options.gpu_layers = 0;
  CHECK(std::string(refused(options, &emulated_cuda).message).find("gpu_layers is 0") != std::string::npos);
  options.bits = static_cast<Bits>(7);
  CHECK(refused(options, &emulated_cuda).code == Errc::invalid_argument);
  {
    emulator::Machine tiny(100 << 10);
    options.gpu_layers = -1;
    options.bits = Bits::device;
    CHECK(std::string(refused(options, &emulated_cuda).message).find("none fits its memory") != std::string::npos);
  }
  CHECK(machine.device.allocations() == 0);
}

TEST_CASE("a device that is lost, or out of memory, at any call of a load or a step is an error of that engine alone",
          "[slow]") {
  EngineOptions options = small_options();
  Loaded cpu(model_bytes(), options, &scalar_backend());
  const auto expected = cpu.generate({}, 3);
  for (const std::int32_t layers : {1, 3}) {
    options.gpu_layers = layers;
    std::size_t loaded_calls = 0, calls = 0;
    {
      emulator::Machine machine(std::size_t{1} << 30, false);
      Loaded gpu(model_bytes(), options, &emulated_cuda);
      loaded_calls = machine.calls;
      CHECK(gpu.generate({}, 3) == expected);
      calls = machine.calls;
    }
    REQUIRE(calls > loaded_calls + 50);
    for (const int code : {emulator::error_device_lost, cuda::error_out_of_memory}) {
      for (std::size_t at = 1; at <= calls; ++at) {
        emulator::Machine machine(std::size_t{1} << 30, false);
        machine.fail_at = at;
        machine.code = code;
        {
          INFO(layers << " layers, call " << at << " of " << loaded_calls << " and " << calls << ", code " << code);
          Loaded gpu(model_bytes(), options, &emulated_cuda);
          CHECK((gpu.state == nullptr) == (at <= loaded_calls));
          const auto got = gpu.state == nullptr ? expected : gpu.generate({}, 3);
          const Errc errc = gpu.error.code;
          if (errc == Errc::ok) {  // a graph that the machine had no memory for
            CHECK(code == cuda::error_out_of_memory);
            CHECK(got == expected);
          } else if (at > 1) {  // the first call counts the devices
            CHECK((errc == (code == cuda::error_out_of_memory ? Errc::out_of_memory : Errc::backend) ||
                   (errc == Errc::not_finite && at > loaded_calls)));
          }
        }
        CHECK(machine.graphs == 0);
        CHECK(machine.device.allocations() == 0);
        CHECK(machine.pinned == 0);
        CHECK(machine.opened == 0);
      }
    }
  }
  CHECK(cpu.generate({}, 3) == expected);
}

TEST_CASE("a step comes back while the GPU works, on the host's stream if it has one, and a later one commits") {
  EngineOptions options = small_options();
  Loaded cpu(model_bytes(), options, &scalar_backend());
  std::vector<std::int32_t> expected = cpu.generate({});
  int host = 0;
  options.stream = &host;
  CHECK(std::string(Loaded(model_bytes(), options, &scalar_backend()).error.message).find("stream") !=
        std::string::npos);
  emulator::Machine machine(std::size_t{1} << 30, false);
  machine.slowness = 3;
  Loaded gpu(model_bytes(), options, &emulated_cuda);
  CHECK(machine.stream == &host);
  CHECK(gpu.generate({}) == expected);  // without a budget it waits

  const auto steps = [&](int slowness, const SamplerOptions& sampling) {
    machine.slowness = slowness;
    const auto slot = engine::open_slot(*gpu.state, {});
    REQUIRE(slot.ok());
    GenerateOptions generate;
    generate.max_new_tokens = 6;
    generate.ignore_end = true;
    generate.sampling = sampling;
    REQUIRE(engine::submit(**slot, "the thing", generate).ok());
    std::vector<std::int32_t> ids;
    int count = 0;
    const std::size_t waits = machine.waits;
    for (; count < 1000 && (*slot)->state.load() == SessionState::running; ++count) {
      const auto report = engine::step(*gpu.state, std::chrono::nanoseconds(0));
      REQUIRE(report.ok());
      CHECK(report->pieces == 1);
      if ((*slot)->has_event) ids.push_back((*slot)->event.id);
    }
    CHECK(machine.waits == waits);
    CHECK(ids == expected);
    gpu.close(**slot);
    return count;
  };
  const int fast = steps(0, {});
  CHECK(steps(3, {}) > fast + 6);
  for (const SamplerOptions& sampling :
       samplings()) {  // by the GPU and by the host: what they need comes with the step
    expected = cpu.generate(sampling);
    (void)steps(3, sampling);
  }
}

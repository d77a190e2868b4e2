// What a GPU's backend is to its host: pages out and in, one arena, several engines, loads that end early, files and
// devices that it cannot use.
#include <string>
#include <vector>

#include <kinglet/model/pack.hpp>
#include <kinglet/quant/quantizer.hpp>

#include "engine/state.hpp"
#include "tests/catch.hpp"
#include "tests/counting.hpp"
#include "tests/cuda/emulated.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;
using namespace kinglet::test;

namespace {

struct Log {
  std::string text;
};

EngineOptions small_options(Log* log = nullptr) {
  EngineOptions options;
  options.context = 64;
  options.max_sessions = 2;
  options.max_rows = 8;
  options.hooks.user = log;
  if (log != nullptr) {
    options.hooks.log = [](void* user, LogLevel, const char* line) {
      static_cast<Log*>(user)->text += std::string(line) + "\n";
    };
  }
  return options;
}

std::string model_bytes() {
  TinyShape shape;
  shape.layers = 3;
  shape.dim = 64;
  shape.ffn = 96;
  shape.head_dim = 16;
  GgufBytes file = tiny_model(shape);
  for (auto& tensor : file.tensors) {
    if (tensor.dims.size() != 2) continue;
    std::vector<float> values(tensor.data.size() / sizeof(float));
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    tensor.data.resize(quant::format_bytes(quant::Format::q4_0, values.size()));
    REQUIRE(quant::quantize(quant::Format::q4_0, quant::Method::rtn, values,
                            reinterpret_cast<std::byte*>(tensor.data.data())));
    tensor.type = quant::info(quant::Format::q4_0).gguf_type;
  }
  return file.bytes();
}

std::string packed(const std::string& bytes) {
  core::Memory memory;
  const auto file = model::Gguf::from_memory(as_bytes(bytes), memory);
  REQUIRE(file.ok());
  std::string out;
  const model::ByteSink sink{&out, [](void* user, const std::byte* data, std::size_t n) {
                               static_cast<std::string*>(user)->append(reinterpret_cast<const char*>(data), n);
                               return true;
                             }};
  REQUIRE(model::pack(*file, sink, &memory).ok());
  return out;
}

/// An engine with one session, which answers step by step.
struct Talker {
  Talker(const std::string& bytes, const EngineOptions& options, const ops::BackendInfo* backend) {
    const auto made = engine::load({}, as_bytes(bytes), options, backend);
    REQUIRE(std::string(made.error().message) == "");
    state = *made;
    const auto opened = engine::open_slot(*state, {});
    REQUIRE(opened.ok());
    slot = *opened;
    GenerateOptions generate;
    generate.max_new_tokens = 6;
    generate.ignore_end = true;
    REQUIRE(engine::submit(*slot, "the thing", generate).ok());
  }
  ~Talker() {
    engine::close_slot(*slot);
    engine::reap(*state);
    engine::drop(state);  // the session was an owner too
    engine::drop(state);
  }
  Talker(const Talker&) = delete;
  Talker& operator=(const Talker&) = delete;

  bool running() const { return slot->state.load() == SessionState::running; }
  Status step(std::chrono::nanoseconds budget = std::chrono::hours(24)) {
    const auto report = engine::step(*state, budget);
    if (report && slot->has_event) ids.push_back(slot->event.id);
    return report ? Status() : Status(report.error());
  }
  const std::vector<std::int32_t>& all() {
    while (running()) REQUIRE(step().ok());
    return ids;
  }

  engine::EngineState* state = nullptr;
  engine::SessionSlot* slot = nullptr;
  std::vector<std::int32_t> ids;
};

}  // namespace

TEST_CASE("pages are copied out and in, from a GPU to a CPU and back") {
  for (const auto kv : {ops::KvFormat::fp16, ops::KvFormat::fp32}) {
    ops::ContextShape shape = odd_shape();
    shape.layers = 3;
    shape.head_dim = kv == ops::KvFormat::fp32 ? 10 : 802;  // pages of more than both pinned buffers
    shape.heads = shape.kv_heads = kv == ops::KvFormat::fp32 ? 2 : 16;
    shape.pages = 6;
    shape.max_rows = shape.max_logits = 20;
    shape.kv = kv;
    const HandModel model(shape, floats, 6);
    const HandSession session = make_session(5, 24, 0, shape);
    emulator::Machine machine(std::size_t{1} << 30, false);
    Placed cpu(scalar_backend(), model, model.shape), gpu(emulated_cuda, model, model.shape);
    const auto at_once = cpu.step({&session}, {0}, {20});
    CHECK(same_bits(at_once, gpu.step({&session}, {0}, {20})));
    const auto expected = cpu.step({&session}, {20}, {4});

    HandSession moved = session;
    moved.pages = {0, 1};
    std::vector<std::byte> page(model.shape.page_bytes()), again(page.size());
    CHECK((page.size() > 2 * cuda::staging_bytes) == (kv == ops::KvFormat::fp16));
    for (std::uint32_t i = 0; i < 2; ++i) {
      REQUIRE(gpu->read_page(session.pages[i], page).ok());
      REQUIRE(cpu->write_page(moved.pages[i], page).ok());
      REQUIRE(cpu->read_page(moved.pages[i], again).ok());
      CHECK(page == again);
      REQUIRE(gpu->write_page(moved.pages[i], again).ok());
    }
    CHECK(same_bits(expected, cpu.step({&moved}, {20}, {4})));
    CHECK(same_bits(expected, gpu.step({&moved}, {20}, {4})));
    for (Placed* p : {&cpu, &gpu}) {
      CHECK((*p)->read_page(6, page).error().code == Errc::internal);
      CHECK((*p)->write_page(6, page).error().code == Errc::internal);
      CHECK((*p)->read_page(0, std::span(page).first(1)).error().code == Errc::internal);
      CHECK((*p)->write_page(0, std::span(page).first(1)).error().code == Errc::internal);
    }
    CHECK(machine.device.reports.text() == "");
  }
}

TEST_CASE("all of an engine's matrices lie in one block, however many they are") {
  emulator::Machine machine;
  Talker gpu(model_bytes(), small_options(), &emulated_cuda);
  CHECK(machine.device.allocations() == 2);  // they, and all the rest
  (void)gpu.all();
  CHECK(machine.device.allocations() == 2);
  CHECK(machine.device.reports.text() == "");
}

TEST_CASE("several engines on one machine take turns step by step, and one that loses its device harms no other") {
  const std::string bytes = model_bytes();
  std::vector<std::int32_t> expected;
  {
    Talker cpu(bytes, small_options(), &scalar_backend());
    expected = cpu.all();
  }
  emulator::Machine machine;
  machine.devices = 2;
  EngineOptions second_device = small_options();
  second_device.device = 1;
  {
    Talker one(bytes, small_options(), &emulated_cuda), other(bytes, second_device, &emulated_cuda);
    Talker cpu(bytes, small_options(), &scalar_backend());
    CHECK(machine.opened == 2);
    while (one.running() || other.running()) {
      for (Talker* talker : {&one, &other, &cpu}) {
        if (talker->running()) REQUIRE(talker->step(std::chrono::nanoseconds(0)).ok());
      }
    }
    CHECK(one.ids == expected);
    CHECK(other.ids == expected);
    CHECK(cpu.all() == expected);
    CHECK(machine.entered == 0);
  }
  CHECK(machine.device.reports.text() == "");
  {
    Talker gpu(bytes, small_options(), &emulated_cuda), cpu(bytes, small_options(), &scalar_backend());
    REQUIRE(cpu.step().ok());
    machine.fail_at = machine.calls + 20;  // in mid-step
    const Status lost = gpu.step();
    CHECK(lost.error().code == Errc::backend);
    CHECK(std::string(lost.error().message).find("unspecified launch failure (code 719, device 0)") !=
          std::string::npos);
    CHECK(cpu.all() == expected);
    CHECK_FALSE(gpu.step().ok());
  }
  CHECK(machine.device.allocations() == 0);
  CHECK(machine.pinned == 0);
}

TEST_CASE("a load onto a GPU that the host cancels leaves nothing there, however far it came") {
  const std::string bytes = model_bytes();
  struct Host {
    int calls = 0, last = 0;
  };
  EngineOptions options = small_options();
  options.progress = [](void* user, float) {
    Host& host = *static_cast<Host*>(user);
    return ++host.calls != host.last;
  };
  Host whole;
  options.progress_user = &whole;
  {
    emulator::Machine machine;
    Talker gpu(bytes, options, &emulated_cuda);
  }
  REQUIRE(whole.calls > 5);
  for (int last = 1; last <= whole.calls; ++last) {
    emulator::Machine machine;
    Host host{0, last};
    options.progress_user = &host;
    const auto made = engine::load({}, as_bytes(bytes), options, &emulated_cuda);
    CHECK(made.error().code == Errc::cancelled);
    CHECK(host.calls == last);
    CHECK(machine.device.allocations() == 0);
    CHECK(machine.pinned == 0);
    CHECK(machine.opened == 0);
    CHECK(machine.device.reports.text() == "");
  }
}

TEST_CASE("layers in an order that the GPU does not read stay on the CPU, with a line in the log") {
  const std::string bytes = model_bytes(), strips = packed(bytes);
  std::vector<std::int32_t> expected;
  {
    Talker cpu(bytes, small_options(), &scalar_backend());
    expected = cpu.all();
  }
  for (const std::int32_t layers : {-1, 2, 3}) {
    emulator::Machine machine;
    Log log;
    EngineOptions options = small_options(&log);
    options.gpu_layers = layers;
    {
      Talker cpu(strips, options, &emulated_cuda);
      CHECK(cpu.all() == expected);
      CHECK(machine.device.allocations() == 0);
    }
    CHECK(log.text.find("in an order that backend cuda does not read") != std::string::npos);
    CHECK(log.text.find("0 of 3 layers on the GPU") != std::string::npos);
    options.bits = Bits::device;
    const auto made = engine::load({}, as_bytes(strips), options, &emulated_cuda);
    CHECK(std::string(made.error().message).find("packed for CPUs") != std::string::npos);
  }
}

TEST_CASE("a build without kernels for the device says so when it loads") {
  emulator::Machine machine;
  machine.has_kernels = false;
  machine.compute = 103;
  const auto made = engine::load({}, as_bytes(model_bytes()), small_options(), &emulated_cuda);
  CHECK(made.error().code == Errc::backend);
  CHECK(std::string(made.error().message) ==
        "this build has no kernels for CUDA device 0 (emulator 0), whose compute capability is 10.3; configure it with "
        "that in KINGLET_CUDA_ARCHITECTURES");
  CHECK(machine.opened == 0);
  CHECK(machine.device.allocations() == 0);
}

TEST_CASE("the host's memory refused at any allocation, and limits below the plan, leave nothing on the GPU") {
  const std::string bytes = model_bytes();
  for (const std::int32_t layers : {1, 3}) {
    CountingHeap heap;
    EngineOptions options = small_options();
    options.gpu_layers = layers;
    options.hooks = heap.hooks();
    std::size_t peak = 0, calls = 0;
    {
      emulator::Machine machine(std::size_t{1} << 30, false);
      Talker gpu(bytes, options, &emulated_cuda);
      calls = heap.calls;
      peak = gpu.state->memory.peak();
    }
    CHECK(heap.used == 0);
    const auto refused = [&] {
      emulator::Machine machine(std::size_t{1} << 30, false);
      const auto made = engine::load({}, as_bytes(bytes), options, &emulated_cuda);
      if (made) engine::drop(*made);
      CHECK(machine.device.allocations() == 0);
      CHECK(machine.pinned == 0);
      CHECK(machine.opened == 0);
      CHECK(heap.used == 0);
      return made.error().code == Errc::out_of_memory;
    };
    std::size_t failed = 0;
    for (std::size_t at = 0; at < calls; ++at) {
      heap.countdown = static_cast<long>(at);
      failed += refused() ? 1 : 0;
    }
    CHECK(failed > calls / 2);  // the others are the session's
    heap.countdown = -1;
    for (std::size_t share = 1; share < 32; ++share) {
      options.memory_limit = peak * share / 32;
      CHECK(refused());
    }
  }
}

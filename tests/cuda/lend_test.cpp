// An integrated GPU reads the weights where the file is mapped, and copies them where it cannot.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/cuda/loaded.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;
using namespace kinglet::test;

namespace {

const std::string& model_bytes() {
  static const std::string bytes = [] {
    TinyShape shape;
    shape.layers = 3;
    shape.dim = 64;
    shape.ffn = 96;
    shape.head_dim = 16;
    return tiny_model(shape).bytes();
  }();
  return bytes;
}

std::vector<std::int32_t> expected_tokens(const std::string& path) {
  return LoadedEngine(path, small_options(), &scalar_backend()).generate({}, 4);
}

void check_empty(const emulator::Machine& machine) {
  CHECK(machine.lent.count() == 0);
  CHECK(machine.device.allocations() == 0);
  CHECK(machine.pinned == 0);
  CHECK(machine.opened == 0);
  CHECK(machine.entered == 0);
}

const std::string copied = "the GPU reads copies of the weights, not the mapped file: ";

}  // namespace

TEST_CASE("an integrated GPU reads the weights in the mapped file, and the plan has them once") {
  const TemporaryFile file(model_bytes());
  const auto expected = expected_tokens(file.path());
  CHECK(expected.size() == 4);
  emulator::Machine machine;
  machine.integrated = true;
  {
    const auto plan = engine::plan(file.path(), small_options(), &emulated_cuda);
    REQUIRE(plan.ok());
    CHECK(plan->weights == model_bytes().size());
    check_empty(machine);
    LoadedEngine gpu(file.path(), small_options());
    REQUIRE(std::string(gpu.error.message) == "");
    CHECK(machine.lent.count() == 1);
    CHECK(machine.lent.bytes() == model_bytes().size());
    CHECK(machine.device.allocations() == 1);  // no block for the matrices
    CHECK(gpu.generate({}, 4) == expected);
    CHECK(gpu.state->memory.peak() <= plan->total);
    CHECK(gpu.log == "");
  }
  CHECK(machine.device.reports.text() == "");
  check_empty(machine);
  const auto plan = engine::plan(file.path(), small_options(), &emulated_cuda);
  machine.integrated = false;
  const auto copies = engine::plan(file.path(), small_options(), &emulated_cuda);
  REQUIRE(copies.ok());
  CHECK(copies->weights > plan->weights);
  CHECK(copies->total > plan->total);
  EngineOptions options = small_options();
  options.memory_limit = plan->total;
  machine.integrated = true;
  CHECK(LoadedEngine(file.path(), options).error.code == Errc::ok);
  --options.memory_limit;
  CHECK(LoadedEngine(file.path(), options).error.code == Errc::out_of_memory);
  check_empty(machine);
}

TEST_CASE("a GPU that reads any memory of the host is lent nothing in so many words") {
  const TemporaryFile file(model_bytes());
  const auto expected = expected_tokens(file.path());
  emulator::Machine machine(std::size_t{1} << 30, false);
  machine.integrated = machine.pageable = true;
  machine.registers = false;
  LoadedEngine gpu(file.path(), small_options());
  CHECK(machine.lent.count() == 0);
  CHECK(machine.device.allocations() == 1);
  CHECK(gpu.generate({}, 4) == expected);
  CHECK(gpu.log == "");
}

TEST_CASE("several engines of one file on an integrated GPU come and go on their own") {
  const TemporaryFile file(model_bytes());
  const auto expected = expected_tokens(file.path());
  emulator::Machine machine;
  machine.integrated = true;
  {
    LoadedEngine one(file.path(), small_options());
    {
      LoadedEngine other(file.path(), small_options());
      CHECK(machine.lent.count() == 2);
      CHECK(other.generate({}, 4) == expected);
    }
    CHECK(machine.lent.count() == 1);
    CHECK(one.generate({}, 4) == expected);
  }
  CHECK(machine.device.reports.text() == "");
  check_empty(machine);
}

TEST_CASE("weights that are lent take none of the free memory; those of a model that is cut are copied") {
  const TemporaryFile file(model_bytes());
  const auto expected = expected_tokens(file.path());
  EngineOptions options = small_options();
  std::size_t buffers = 0;
  {
    emulator::Machine machine;
    machine.integrated = true;
    const auto plan = engine::plan(file.path(), options, &emulated_cuda);
    REQUIRE(plan.ok());
    buffers = plan->kv_cache + plan->activations;
  }
  for (const bool integrated : {false, true}) {
    emulator::Machine machine(buffers + buffers / 15 + 1024, false);  // a sixteenth is left
    machine.integrated = integrated;
    LoadedEngine gpu(file.path(), options);
    REQUIRE(gpu.state != nullptr);
    CHECK((gpu.log == "") == integrated);  // else some layers are on the CPU
    CHECK(machine.lent.count() == (integrated ? 1 : 0));
    CHECK(gpu.generate({}, 4) == expected);
  }
  options.gpu_layers = 2;
  emulator::Machine machine(std::size_t{1} << 30, false);
  machine.integrated = true;
  {
    const auto plan = engine::plan(file.path(), options, &emulated_cuda);
    REQUIRE(plan.ok());
    LoadedEngine gpu(file.path(), options);
    CHECK(machine.lent.count() == 0);
    CHECK(machine.device.allocations() == 2);
    CHECK(gpu.generate({}, 4) == expected);
    CHECK(gpu.state->memory.peak() <= plan->total);
  }
  for (const auto access : {FileAccess::copy, FileAccess::map}) {
    options = small_options();
    options.file_access = access;
    LoadedEngine gpu(file.path(), options);
    CHECK(machine.lent.count() == (access == FileAccess::map ? 1 : 0));
    CHECK(gpu.generate({}, 4) == expected);
    CHECK(gpu.log == "");
  }
  check_empty(machine);
}

TEST_CASE("a device that refuses the mapping gets copies, as planned, with a line in the log") {
  const TemporaryFile file(model_bytes());
  const auto expected = expected_tokens(file.path());
  emulator::Machine machine;
  machine.integrated = true;
  machine.registers = false;
  {
    const auto plan = engine::plan(file.path(), small_options(), &emulated_cuda);
    REQUIRE(plan.ok());
    LoadedEngine gpu(file.path(), small_options());
    CHECK(gpu.log == copied + "CUDA device 0 (emulator 0) takes no read-only memory of the host\n");
    CHECK(machine.device.allocations() == 2);
    CHECK(gpu.generate({}, 4) == expected);
    CHECK(gpu.state->memory.peak() <= plan->total);
  }
  machine.registers = true;
  machine.refuses = true;
  {
    const auto plan = engine::plan(file.path(), small_options(), &emulated_cuda);
    REQUIRE(plan.ok());
    CHECK(plan->weights > model_bytes().size());
    LoadedEngine gpu(file.path(), small_options());
    CHECK(gpu.log == copied + "CUDA: cudaHostRegister: unspecified launch failure (code 712, device 0)\n");
    CHECK(machine.device.allocations() == 2);
    CHECK(gpu.generate({}, 4) == expected);
    CHECK(gpu.state->memory.peak() <= plan->total);
  }
  CHECK(machine.device.reports.text() == "");
  check_empty(machine);
}

TEST_CASE("an integrated GPU that fails at any call of a plan, a load or a step leaves nothing lent", "[slow]") {
  const TemporaryFile file(model_bytes());
  const auto expected = expected_tokens(file.path());
  std::size_t planned = 0, calls = 0;
  {
    emulator::Machine machine(std::size_t{1} << 30, false);
    machine.integrated = true;
    CHECK(engine::plan(file.path(), small_options(), &emulated_cuda).ok());
    planned = machine.calls;
    CHECK(LoadedEngine(file.path(), small_options()).generate({}, 4) == expected);
    calls = machine.calls;
  }
  REQUIRE(calls > planned + 50);
  std::size_t copies = 0;
  for (const int code : {emulator::error_device_lost, cuda::error_out_of_memory}) {
    for (std::size_t at = 1; at <= calls; ++at) {
      emulator::Machine machine(std::size_t{1} << 30, false);
      machine.integrated = true;
      machine.fail_at = at;
      machine.code = code;
      INFO("call " << at << " of " << planned << " and " << calls << ", code " << code);
      CHECK(engine::plan(file.path(), small_options(), &emulated_cuda).ok());
      {
        LoadedEngine gpu(file.path(), small_options());
        if (gpu.state != nullptr) {
          const auto got = gpu.generate({}, 4);
          if (!gpu.error) CHECK(got == expected);
        }
        CHECK((gpu.error || code == cuda::error_out_of_memory || at > planned));
        if (gpu.state != nullptr && machine.lent.count() == 0) ++copies;
      }
      check_empty(machine);
    }
  }
  CHECK(copies >= 4);  // a registration, or its address, in the trial and for good
}

TEST_CASE("a matrix is read in lent memory where its address suits the kernels, and copied where not") {
  using namespace kinglet::ops;
  ContextShape shape = quantized_shape();
  shape.max_rows = shape.max_logits = 12;
  shape.pages = 20;
  HandModel model(shape, groups, 32);
  const HandSession session = make_session(3, 12, 5, shape);
  std::vector<float> expected;
  {
    Placed cpu(scalar_backend(), model, model.shape);
    expected = cpu.all(session, 12);
  }
  // Two parts of a file, with the matrices by turns at even and odd addresses.
  constexpr std::size_t size = 1 << 20;
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> memory(static_cast<std::byte*>(std::aligned_alloc(4096, size)));
  std::memset(memory.get(), 0, size);
  std::byte* at = memory.get();
  std::size_t odd = 0, copied_bytes = 0;
  for (Op& op : model.ops) {
    for (WeightView& w : op.weight) {
      if (!w) continue;
      const std::size_t bytes = w.row_bytes * w.rows;
      at +=
          odd++ % 2 == 0 ? 2 - reinterpret_cast<std::uintptr_t>(at) % 2 : 1 + reinterpret_cast<std::uintptr_t>(at) % 2;
      if (at < memory.get() + size / 2 && at + bytes > memory.get() + size / 2) at = memory.get() + size / 2 + odd % 2;
      REQUIRE(at + bytes <= memory.get() + size);
      std::memcpy(at, w.data, bytes);
      w.data = at;
      const bool even = reinterpret_cast<std::uintptr_t>(at) % 2 == 0;
      if (!even && w.format != quant::Format::mxfp4) copied_bytes += bytes;
      at += bytes;
    }
  }
  CHECK(copied_bytes > 0);
  const std::span<const std::byte> halves[] = {{memory.get(), size / 2}, {memory.get() + size / 2, size / 2}};
  const HostMemory parts = halves;
  ContextShape lent_shape = model.shape;
  lent_shape.lent = true;
  emulator::Machine machine;
  machine.integrated = true;
  {
    Placed gpu(emulated_cuda, model, lent_shape, {}, parts);
    REQUIRE(std::string(gpu.error.message) == "");
    CHECK(machine.lent.count() == 2);
    CHECK(gpu.memory().used() == gpu.expected_bytes);
    CHECK(gpu.memory().used() >= emulated_cuda.bytes(lent_shape) + copied_bytes);
    CHECK(gpu->lend(parts).error().code == Errc::internal);
    CHECK(same_bits(expected, gpu.all(session, 12)));
  }
  CHECK(machine.device.reports.text() == "");
  check_empty(machine);

  // More parts than a backend takes, and parts that overlap: nothing of them.
  const std::vector<std::span<const std::byte>> many(33, parts[0]), twice(2, parts[0]);
  core::Memory host;
  const auto made = emulated_cuda.create(lent_shape, {}, host);
  REQUIRE(made.ok());
  CHECK(std::string((*made)->lend(many).error().message).find("33 parts") != std::string::npos);
  CHECK(std::string((*made)->lend(twice).error().message).find("cudaHostRegister") != std::string::npos);
  CHECK(machine.lent.count() == 0);
  CHECK(emulated_cuda.lends(lent_shape, many).error().code == Errc::backend);
  CHECK(emulated_cuda.lends(lent_shape, twice).error().code == Errc::backend);
  CHECK(emulated_cuda.lends(lent_shape, parts).ok());
  lent_shape.device = 3;
  CHECK(emulated_cuda.lends(lent_shape, parts).error().code == Errc::unsupported);
  emulated_cuda.destroy(*made, host);
  check_empty(machine);
}

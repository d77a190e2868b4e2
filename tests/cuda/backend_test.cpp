#include "tests/cuda/emulated.hpp"

#include <functional>

#include <kinglet/sparse/gate.hpp>

#include "tests/catch.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

/// All logits of some positions, on the scalar CPU backend and on the emulated GPU.
void compare(const ContextShape& shape, const std::vector<quant::Format>& formats, std::uint32_t rotated,
             std::uint32_t tokens, std::uint32_t chunk, std::uint64_t seed = 3) {
  const HandModel model(shape, formats, rotated);
  const HandSession session = make_session(seed, tokens, 5, shape);
  Placed cpu(scalar_backend(), model, model.shape);
  const auto expected = cpu.all(session, 64);
  for (const auto order : {emulator::Order::ascending, emulator::Order::shuffled}) {
    emulator::Machine machine;
    machine.device.order = order;
    {
      Placed gpu(emulated_cuda, model, model.shape);
      REQUIRE(std::string(gpu.error.message) == "");
      CHECK(gpu.memory().used() == gpu.expected_bytes);
      const auto got = gpu.all(session, chunk);
      CHECK(std::string(gpu.error.message) == "");
      CHECK(machine.device.reports.text() == "");
      CHECK(same_bits(expected, got));
    }
    CHECK(machine.device.allocations() == 0);
    CHECK(machine.pinned == 0);
    CHECK(machine.opened == 0);
    CHECK(machine.entered == 0);
  }
}

ContextShape small(ContextShape s) {
  s.max_rows = s.max_logits = 33;
  s.pages = 20;
  return s;
}

}  // namespace

TEST_CASE("a model gives the CPU's bits: float weights, odd sizes") {
  ContextShape shape = small(odd_shape());
  for (const auto activations : {Activations::fp32, Activations::int8}) {
    shape.activations = activations;
    compare(shape, floats, 6, 5, 1);
    compare(shape, floats, 10, 7, 7);
  }
  shape.kv = KvFormat::fp32;
  shape.scores = ScoreFormat::fp32;
  compare(shape, floats, 6, 9, 4);
}

TEST_CASE("a model gives the CPU's bits: quantized weights, in every form of activations") {
  ContextShape shape = small(quantized_shape());
  for (const auto activations : {Activations::int8, Activations::fp8, Activations::fp32}) {
    shape.activations = activations;
    compare(shape, groups, 32, 3, 1);
    compare(shape, groups, 20, 11, 11);  // more than 8 rows: the tensor cores
  }
}

TEST_CASE("a model gives the CPU's bits: blocks of 256") {
  ContextShape shape = small(quantized_shape());
  shape.dim = 256;
  shape.heads = shape.kv_heads = 1;
  shape.head_dim = 256;
  shape.ffn = 256;
  shape.layers = 1;
  shape.vocab = 37;
  const std::vector<quant::Format> k_quants = {quant::Format::q6_k, quant::Format::q4_k, quant::Format::q2_k,
                                               quant::Format::q3_k, quant::Format::q5_k};
  for (const auto activations : {Activations::int8, Activations::fp8}) {
    shape.activations = activations;
    compare(shape, k_quants, 64, 3, 2);
  }
  shape.activations = Activations::int8;
  compare(shape, k_quants, 64, 10, 10);
}

TEST_CASE("a model gives the CPU's bits: groups of 128", "[slow]") {
  ContextShape shape = small(quantized_shape());
  shape.dim = 128;
  shape.heads = 4;
  shape.ffn = 384;
  shape.layers = 1;
  shape.vocab = 37;
  for (const auto activations : {Activations::int8, Activations::fp8, Activations::fp32}) {
    shape.activations = activations;
    for (const std::uint32_t chunk : {1u, 7u, 9u, 33u}) {
      compare(shape, {quant::Format::int4_128}, 32, chunk == 33 ? 33 : 9, chunk);
    }
  }
}

TEST_CASE("the gate drops the CPU's channels") {
  ContextShape shape = small(odd_shape());
  for (const float gate : {0.01f, 0.5f, 0.97f}) {
    shape.gate = gate;
    compare(shape, floats, 6, 5, 3);
  }
  shape = small(quantized_shape());
  shape.gate = 0.4f;
  for (const auto activations : {Activations::int8, Activations::fp8, Activations::fp32}) {
    shape.activations = activations;
    compare(shape, groups, 32, 11, 11);
  }
}

TEST_CASE("the gate's ties, zeros and NaN are those of the CPU, in rows of any length") {
  Random random{11};
  for (const std::uint32_t cols : {1u, 31u, 255u, 256u, 257u, 700u}) {
    for (const float share : {0.3f, 0.6f, 0.99f}) {
      emulator::Machine machine;
      machine.device.order = emulator::Order::shuffled;
      std::vector<float> x(3 * cols), importance(cols);
      for (float& v : x) v = static_cast<float>(random.below(7)) - 3.0f;  // few values: many ties
      for (float& v : importance) v = static_cast<float>(1 + random.below(2));
      if (cols > 5) x[3] = std::numeric_limits<float>::quiet_NaN();
      std::vector<float> expected = x;
      std::size_t drop = 0;
      for (std::size_t row = 0; row < 3; ++row) {
        drop = sparse::gate_row(std::span(expected).subspan(row * cols, cols), importance, share);
      }
      if (drop == 0) continue;
      auto* const to = static_cast<float*>(machine.device.allocate(x.size() * 4));
      auto* const scores = static_cast<float*>(machine.device.allocate(cols * 4));
      machine.device.write(to, x.data(), x.size() * 4);
      machine.device.write(scores, importance.data(), cols * 4);
      const cuda::GateArgs args{{to, x.size()}, {scores, cols}, cols, static_cast<std::uint32_t>(drop)};
      machine.device.launch<cuda::GateRow>("gate", cuda::launch_gate(3, cuda::GateRow::shared_bytes), args);
      machine.device.read(x.data(), to, x.size() * 4);
      CHECK(machine.device.reports.text() == "");
      CHECK(same_bits(expected, x));
    }
  }
}

TEST_CASE("long contexts: stretches in passes, windows and globals") {
  ContextShape shape = odd_shape();
  shape.heads = 4;
  shape.kv_heads = 1;
  shape.head_dim = 6;
  shape.dim = 10;
  shape.ffn = 12;
  shape.vocab = 9;
  shape.layers = 1;
  shape.pages = 50;
  const HandSession session = make_session(9, 700, 3, shape);
  for (const std::uint32_t window : {0u, 40u, 300u}) {
    shape.window = window;
    shape.globals = window == 0 ? 0 : window == 40 ? 7 : 260;
    const HandModel model(shape, floats, 6);
    Placed cpu(scalar_backend(), model, model.shape);
    const auto expected = cpu.all(session, 70);
    emulator::Machine machine(std::size_t{1} << 30, false);  // the kernels are watched in the shorter cases
    Placed gpu(emulated_cuda, model, model.shape);
    const auto got = gpu.all(session, 61);
    CHECK(std::string(gpu.error.message) == "");
    CHECK(same_bits(expected, got));
    CHECK(machine.launches["merge"] > 700 / 61 + 1);  // 61 rows leave room for one stretch at a time
  }
}

TEST_CASE("several sessions in a step, and pages that are copied") {
  ContextShape shape = small(quantized_shape());
  const HandModel model(shape, groups, 32);
  std::vector<HandSession> sessions;
  for (std::uint32_t s = 0; s < 3; ++s) sessions.push_back(make_session(20 + s, 20, 2 * s, shape));
  const std::vector<const HandSession*> all = {&sessions[0], &sessions[1], &sessions[2]};
  emulator::Machine machine;
  Placed cpu(scalar_backend(), model, model.shape);
  Placed gpu(emulated_cuda, model, model.shape);
  const std::vector<std::vector<std::uint32_t>> counts = {{5, 1, 9}, {1, 1, 1}, {0, 7, 1}};
  std::vector<std::uint32_t> from = {0, 0, 0};
  for (const auto& count : counts) {
    const auto expected = cpu.step(all, from, count);
    CHECK(same_bits(expected, gpu.step(all, from, count)));
    for (std::size_t s = 0; s < 3; ++s) from[s] += count[s];
  }
  // The first session's page goes to a fork, which goes on by itself.
  HandSession fork = sessions[0];
  fork.pages = {0, 1};
  for (Placed* p : {&cpu, &gpu}) REQUIRE((*p)->copy_page(sessions[0].pages[0], 0, 6).ok());
  CHECK(same_bits(cpu.step({&fork}, {6}, {2}), gpu.step({&fork}, {6}, {2})));
  CHECK(machine.device.reports.text().find("race") == std::string::npos);
  CHECK(std::string(gpu.error.message) == "");
  CHECK_FALSE(gpu->copy_page(0, shape.pages, 1).ok());
}

TEST_CASE("a row that is not finite is named by its layer") {
  ContextShape shape = small(odd_shape());
  const HandModel model(shape, floats, 6);
  HandModel* const mutable_model = const_cast<HandModel*>(&model);
  // the second layer's first norm gets an infinity: what follows is not finite
  const_cast<float*>(mutable_model->ops[6].norm)[3] = std::numeric_limits<float>::infinity();
  const HandSession session = make_session(3, 4, 5, shape);
  emulator::Machine machine;
  Placed cpu(scalar_backend(), model, model.shape);
  Placed gpu(emulated_cuda, model, model.shape);
  (void)cpu.step({&session}, {0}, {4});
  (void)gpu.step({&session}, {0}, {4});
  for (std::uint32_t row = 0; row < 4; ++row) {
    CHECK(gpu->bad_layer(row) == cpu->bad_layer(row));
    CHECK(gpu->bad_layer(row) >= 1);
  }
  CHECK(gpu->bad_layer(4) == -1);
}

TEST_CASE("a call of CUDA that fails, wherever it is, is an error and leaks nothing") {
  ContextShape shape = small(quantized_shape());
  shape.layers = 1;
  const HandModel model(shape, groups, 32);
  const HandSession session = make_session(3, 2, 5, shape);
  Placed cpu(scalar_backend(), model, model.shape);
  const auto expected = cpu.all(session, 2);
  std::size_t calls = 0;
  {
    emulator::Machine machine(std::size_t{1} << 30, false);
    Placed gpu(emulated_cuda, model, model.shape);
    REQUIRE(same_bits(expected, gpu.all(session, 2)));
    ops::SampleRequest request;
    request.window = std::span(session.tokens).first(2);
    REQUIRE(gpu->sample(request).ok());
    calls = machine.calls;
  }
  REQUIRE(calls > 50);
  for (const int code : {emulator::error_device_lost, cuda::error_out_of_memory}) {
    for (std::size_t at = 1; at <= calls; ++at) {
      emulator::Machine machine(std::size_t{1} << 30, false);
      machine.fail_at = at;
      machine.code = code;
      {
        core::Memory memory;
        auto made = emulated_cuda.create(model.shape, {}, memory);
        Error error = made.error();
        if (made) {
          ops::Backend& gpu = **made;
          std::vector<Op> list = model.ops;
          for (Op& op : list) {
            for (WeightView& w : op.weight) {
              if (!w || error) continue;
              error = gpu.place({&w, 1}, WeightUse::product).error();
            }
            for (std::size_t i = 0; i < 3 && !error; ++i) {
              if (op.bias[i] == nullptr) continue;
              const auto placed = gpu.place(op.bias[i], op.weight[i].rows);
              error = placed.error();
              if (placed) op.bias[i] = *placed;
            }
            if (op.norm != nullptr && !error) {
              const auto placed = gpu.place(op.norm, shape.dim);
              error = placed.error();
              if (placed) op.norm = *placed;
            }
          }
          const Row rows[2] = {{session.tokens[0], 0, 0}, {session.tokens[1], 1, 0}};
          const Sequence sequence{0, 2, 0, session.pages.data()};
          const std::uint32_t both[2] = {0, 1};
          if (!error) error = gpu.begin({rows, {&sequence, 1}, both, both}).error();
          for (const Op& op : list) {
            if (!error) error = gpu.run(op, 0, 0, 1).error();
          }
          ops::SampleRequest request;
          request.window = std::span(session.tokens).first(2);
          if (!error) error = gpu.sample(request).error();
          if (!error) error = gpu.logits(0).error();
          emulated_cuda.destroy(*made, memory);
        }
        // Failures while closing have nobody to tell.
        if (error) {
          CHECK(std::string(error.message).find("CUDA: ") == 0);
          if (at > 1) {  // the first call counts the devices
            CHECK(error.code == (code == cuda::error_out_of_memory ? Errc::out_of_memory : Errc::backend));
            CHECK(std::string(error.message).find("device 0") != std::string::npos);
          }
        } else {
          CHECK(at + 8 > calls);
        }
        CHECK(memory.used() == 0);
      }
      CHECK(machine.device.allocations() == 0);
      CHECK(machine.pinned == 0);
      CHECK(machine.opened == 0);
      CHECK(machine.entered == 0);
    }
  }
  CHECK(same_bits(expected, cpu.all(session, 2)));  // a CPU backend beside it is unharmed
}

TEST_CASE("what is asked between steps may fail at any of its calls, too") {
  ContextShape shape = small(quantized_shape());
  shape.layers = 1;
  const HandModel model(shape, groups, 32);
  const HandSession session = make_session(3, 3, 5, shape);
  const std::vector<std::function<Error(ops::Backend&)>> asked = {
      [&](ops::Backend& b) { return b.copy_page(session.pages[0], 0, 3).error(); },
      [&](ops::Backend& b) {
        std::vector<std::byte> page(model.shape.page_bytes());
        const Status read = b.read_page(session.pages[0], page);
        return read ? b.write_page(0, page).error() : read.error();
      },
      [&](ops::Backend& b) { return b.finish(false).error(); },
      [&](ops::Backend& b) {
        std::vector<float> x(3 * shape.dim);
        const Status read = b.read_rows(x);
        return read ? b.write_rows(x).error() : read.error();
      },
      [&](ops::Backend& b) { return b.hidden(0).error(); },
      [&](ops::Backend& b) { return b.logits(2).error(); },
      [&](ops::Backend& b) {
        ops::SampleRequest request;
        request.window = session.tokens;
        return b.sample(request).error();
      }};
  for (std::size_t what = 0; what < asked.size(); ++what) {
    for (const int code : {emulator::error_device_lost, cuda::error_out_of_memory}) {
      bool failed = true;
      for (std::size_t at = 1; failed; ++at) {
        REQUIRE(at < 40);
        emulator::Machine machine(std::size_t{1} << 30, false);
        machine.code = code;
        {
          Placed gpu(emulated_cuda, model, model.shape);
          REQUIRE(gpu->begin({}).ok());
          const Row rows[3] = {{session.tokens[0], 0, 0}, {session.tokens[1], 1, 0}, {session.tokens[2], 2, 0}};
          const Sequence sequence{0, 3, 0, session.pages.data()};
          const std::uint32_t all[3] = {0, 1, 2};
          REQUIRE(gpu->begin({rows, {&sequence, 1}, all, all}).ok());
          REQUIRE(gpu.walk().ok());
          machine.fail_at = machine.calls + at;
          const Error error = asked[what](*gpu);
          failed = static_cast<bool>(error);
          if (failed) {
            INFO("asked " << what << ", call " << at);
            CHECK(error.code == (code == cuda::error_out_of_memory ? Errc::out_of_memory : Errc::backend));
            CHECK(std::string(error.message).find("CUDA: ") == 0);
          }
          machine.fail_at = 0;
        }
        CHECK(machine.device.allocations() == 0);
        CHECK(machine.pinned == 0);
        CHECK(machine.opened == 0);
        CHECK(machine.entered == 0);
      }
    }
  }
}

TEST_CASE("what the device or the options lack is said in one line") {
  const ContextShape shape = small(odd_shape());
  const auto create = [](const ContextShape& s, core::Memory& memory) {
    return emulated_cuda.create(s, {}, memory).error();
  };
  {
    emulator::Machine machine(1000);
    core::Memory memory;
    CHECK(create(shape, memory).code == Errc::out_of_memory);
    CHECK(memory.used() == 0);
  }
  {
    emulator::Machine machine;
    const auto fault = [&](int devices, int code, int version) {
      machine.devices = devices;
      machine.driver_fault = code;
      machine.driver_version = version;
      core::Memory memory;
      const Error error = create(shape, memory);
      CHECK(error.code == Errc::backend);
      CHECK(std::string(error.message) == emulated_cuda.fault().message);
      return std::string(error.message);
    };
    CHECK(fault(0, 0, 13000).find("needs an NVIDIA GPU") != std::string::npos);
    CHECK(fault(0, cuda::error_no_device, 13000).find("needs an NVIDIA GPU") != std::string::npos);
    CHECK(fault(0, cuda::error_driver, 0).find("needs an NVIDIA driver") != std::string::npos);
    CHECK(fault(0, cuda::error_driver, 12020).find("CUDA 13.0, but this machine's is for 12.2") != std::string::npos);
    CHECK(fault(0, 999, 13000).find("cudaGetDeviceCount") != std::string::npos);
  }
  {
    emulator::Machine machine;
    machine.devices = 2;
    CHECK_FALSE(emulated_cuda.fault());
    core::Memory memory;
    ContextShape other = shape;
    other.device = 2;
    CHECK(std::string(create(other, memory).message) ==
          "there is no CUDA device 2; this machine has 0 (emulator 0), 1 (emulator 1)");
    other.device = 1;
    const auto made = emulated_cuda.create(other, {}, memory);
    REQUIRE(made.ok());
    CHECK(machine.opened_device == 1);
    emulated_cuda.destroy(*made, memory);
  }
  {
    emulator::Machine machine;
    machine.compute = 70;
    core::Memory memory;
    CHECK(std::string(create(shape, memory).message).find("compute capability 7.0") != std::string::npos);
    CHECK(memory.used() == 0);
    CHECK(machine.device.allocations() == 0);
  }
  {
    emulator::Machine machine;
    core::Memory memory({}, emulated_cuda.bytes(shape) - 1);
    CHECK(create(shape, memory).code == Errc::out_of_memory);
    CHECK(memory.used() == 0);
  }
  {
    emulator::Machine machine;
    core::Memory memory;
    ContextShape huge = shape;
    huge.vocab = huge.max_logits = huge.max_rows = 0xffffffffu;
    CHECK(emulated_cuda.bytes(huge) == 0);
    CHECK(create(huge, memory).code == Errc::invalid_argument);
  }
}

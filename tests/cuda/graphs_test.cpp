// A decode step's layers as one launch: the same bits, fewer calls, and what takes the captured launches back.
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/cuda/emulated.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

ContextShape few_pages(ContextShape s) {
  s.max_rows = s.max_logits = 8;
  s.pages = 20;
  return s;
}

/// Small enough for hundreds of steps.
ContextShape tiny() {
  ContextShape s = odd_shape();
  s.heads = s.kv_heads = s.layers = 1;
  s.head_dim = 6;
  s.dim = 10;
  s.ffn = 12;
  s.vocab = 9;
  s.pages = 100;
  return s;
}

}  // namespace

TEST_CASE("from the second step on, the layers of a token are one launch, with the same bits") {
  for (const std::uint32_t layers : {1u, 5u}) {
    ContextShape shape = few_pages(quantized_shape());
    shape.layers = layers;
    const HandModel model(shape, groups, 32);
    const HandSession session = make_session(3, 6, 5, shape);
    emulator::Machine machine;
    Placed cpu(scalar_backend(), model, model.shape);
    Placed gpu(emulated_cuda, model, model.shape);
    CHECK(gpu.memory().used() == gpu.expected_bytes);
    for (std::uint32_t i = 0; i < 6; ++i) {
      const std::size_t launches = machine.launch_calls, calls = machine.calls;
      const auto expected = cpu.step({&session}, {i}, {1});
      CHECK(same_bits(expected, gpu.step({&session}, {i}, {1})));
      CHECK(machine.captures == (i == 0 ? 0 : 1));
      CHECK(machine.replays == i);
      if (i < 2) continue;
      // However many layers there are: the embedding, the asked state, and the output's norm and product.
      CHECK(machine.launch_calls - launches == 4);
      CHECK(machine.calls - calls <= 21 + 5 * layers);  // each operation makes the device current
    }
    CHECK(machine.device.reports.text() == "");
    CHECK(machine.graphs == 1);
  }
}

TEST_CASE("captured steps look at twice the stretches when they must, and at no page that is not theirs") {
  for (const std::uint32_t window : {0u, 40u}) {
    ContextShape shape = tiny();
    shape.window = window;
    shape.globals = window == 0 ? 0 : 7;
    const HandModel model(shape, floats, 6);
    const HandSession session = make_session(9, 780, 3, shape);
    emulator::Machine machine(std::size_t{1} << 30, false);
    Placed cpu(scalar_backend(), model, model.shape);
    Placed gpu(emulated_cuda, model, model.shape);
    CHECK(same_bits(cpu.all(session, 64), gpu.all(session, 1)));
    CHECK(machine.captures == 3);  // 1, 2 and 4 stretches
    CHECK(machine.replays == 779);
  }
}

TEST_CASE("sessions that come, go and fork have a graph for each number of them") {
  const ContextShape shape = few_pages(quantized_shape());
  const HandModel model(shape, groups, 32);
  std::vector<HandSession> sessions;
  for (std::uint32_t s = 0; s < 3; ++s) sessions.push_back(make_session(20 + s, 20, 2 * s, shape));
  std::vector<const HandSession*> all = {&sessions[0], &sessions[1], &sessions[2]};
  emulator::Machine machine;
  machine.device.order = emulator::Order::shuffled;
  Placed cpu(scalar_backend(), model, model.shape);
  Placed gpu(emulated_cuda, model, model.shape);
  std::vector<std::uint32_t> from = {0, 0, 0};
  const auto step = [&](const std::vector<std::uint32_t>& count) {
    CHECK(same_bits(cpu.step(all, from, count), gpu.step(all, from, count)));
    for (std::size_t s = 0; s < 3; ++s) from[s] += count[s];
  };
  for (const auto& count : std::vector<std::vector<std::uint32_t>>{
           {5, 1, 1}, {1, 1, 1}, {1, 0, 1}, {0, 1, 0}, {1, 1, 1}, {2, 1, 0}, {0, 1, 1}, {1, 0, 0}}) {
    step(count);
  }
  CHECK(machine.captures == 3);
  CHECK(machine.replays == 6);
  HandSession fork = sessions[0];
  fork.pages = {0, 1};
  for (Placed* p : {&cpu, &gpu}) REQUIRE((*p)->copy_page(sessions[0].pages[0], 0, from[0]).ok());
  all[0] = &fork;
  step({1, 1, 1});
  CHECK(machine.captures == 3);
  CHECK(machine.device.reports.text() == "");
}

TEST_CASE("there are at most 32 graphs; the one that was not used for the longest time makes room") {
  ContextShape shape = tiny();
  shape.max_sequences = 40;
  shape.max_rows = shape.max_logits = 40;
  const HandModel model(shape, floats, 6);
  std::vector<HandSession> sessions;
  std::vector<const HandSession*> all;
  for (std::uint32_t s = 0; s < 40; ++s) sessions.push_back(make_session(s, 80, 2 * s, shape));
  for (HandSession& s : sessions) {
    s.pages.resize(1);
    all.push_back(&s);
  }
  emulator::Machine machine(std::size_t{1} << 30, false);
  Placed cpu(scalar_backend(), model, model.shape);
  Placed gpu(emulated_cuda, model, model.shape);
  const auto step = [&](std::uint32_t n, std::uint32_t position) {
    std::vector<std::uint32_t> from(40, position), count(40, 0);
    std::fill(count.begin(), count.begin() + n, 1);
    CHECK(same_bits(cpu.step(all, from, count), gpu.step(all, from, count)));
  };
  step(40, 0);  // too many: never captured
  step(40, 1);
  CHECK(machine.captures == 0);
  for (std::uint32_t n = 1; n <= 32; ++n) step(n, 2);
  CHECK(machine.captures == 32);
  step(1, 3);
  CHECK(machine.captures == 32);
  HandSession long_one = make_session(77, 300, 0, shape);
  for (Placed* p : {&cpu, &gpu}) (void)p->step({&long_one}, {0}, {40});
  for (std::uint32_t at = 40; at < 280; at += 40) {
    CHECK(same_bits(cpu.step({&long_one}, {at}, {40}), gpu.step({&long_one}, {at}, {40})));
  }
  CHECK(same_bits(cpu.step({&long_one}, {280}, {1}), gpu.step({&long_one}, {280}, {1})));  // two stretches
  CHECK(machine.captures == 33);
  CHECK(machine.graphs == 32);
  for (Placed* p : {&cpu, &gpu}) {
    (void)p->step(all, std::vector<std::uint32_t>(40, 0), std::vector<std::uint32_t>(40, 1));
    (void)p->step(all, std::vector<std::uint32_t>(40, 1), std::vector<std::uint32_t>(40, 1));
  }
  step(2, 2);  // its graph was the oldest
  CHECK(machine.captures == 34);
  step(1, 2);
  CHECK(machine.captures == 34);
}

TEST_CASE("a graph goes where what it reads is placed anew or an operation changes") {
  ContextShape shape = few_pages(quantized_shape());
  shape.layers = 2;
  HandModel model(shape, groups, 32);
  const HandSession session = make_session(3, 8, 5, shape);
  emulator::Machine machine;
  Placed gpu(emulated_cuda, model, model.shape);
  for (std::uint32_t i = 0; i < 3; ++i) (void)gpu.step({&session}, {i}, {1});
  CHECK(machine.graphs == 1);
  WeightView again = model.add_matrix(quant::Format::q4_0, shape.dim, shape.ffn);
  REQUIRE(gpu->place({&again, 1}, WeightUse::product).ok());
  CHECK(machine.graphs == 0);
  for (std::uint32_t i = 3; i < 5; ++i) (void)gpu.step({&session}, {i}, {1});
  CHECK(machine.captures == 2);

  // An operation of the second layer has another matrix: the step in which it is noticed had a graph and fails.
  std::vector<Op> list = gpu.placed();
  Op& down = list[list.size() - 2];
  REQUIRE(down.kind == OpKind::down);
  down.weight[0] = again;
  const Row row{session.tokens[5], 5, 0};
  const Sequence sequence{0, 1, 5, session.pages.data()};
  const std::uint32_t zero = 0;
  const auto walk = [&] {
    Status status = gpu->begin({{&row, 1}, {&sequence, 1}, {&zero, 1}, {}});
    for (const Op& op : list) {
      if (status) status = gpu->run(op, 0, 0, 1);
    }
    return status;
  };
  CHECK(walk().error().code == Errc::internal);
  CHECK(machine.graphs == 0);
  std::vector<std::vector<float>> logits;
  for (int i = 0; i < 3; ++i) {  // in single launches, captured, replayed
    REQUIRE(walk().ok());
    const auto out = *gpu->logits(0);
    logits.emplace_back(out.begin(), out.end());
  }
  CHECK(machine.captures == 3);
  CHECK(same_bits(logits[0], logits[1]));
  CHECK(same_bits(logits[0], logits[2]));
  CHECK(machine.device.reports.text() == "");
}

TEST_CASE("a capture that fails leaves single launches, and a device that is lost in it is an error") {
  ContextShape shape = few_pages(quantized_shape());
  shape.layers = 1;
  const HandModel model(shape, groups, 32);
  const HandSession session = make_session(3, 4, 5, shape);
  Placed cpu(scalar_backend(), model, model.shape);
  std::vector<std::vector<float>> expected;
  for (std::uint32_t i = 0; i < 4; ++i) expected.push_back(cpu.step({&session}, {i}, {1}));
  std::size_t first = 0, last = 0;
  {
    emulator::Machine machine(std::size_t{1} << 30, false);
    Placed gpu(emulated_cuda, model, model.shape);
    (void)gpu.step({&session}, {0}, {1});
    first = machine.calls + 1;
    (void)gpu.step({&session}, {1}, {1});
    last = machine.calls;
    CHECK(machine.captures == 1);
  }
  for (const int code : {cuda::error_out_of_memory, emulator::error_device_lost}) {
    int without = 0, failed = 0;
    for (std::size_t at = first; at <= last; ++at) {
      emulator::Machine machine(std::size_t{1} << 30, false);
      machine.code = code;
      {
        Placed gpu(emulated_cuda, model, model.shape);
        (void)gpu.step({&session}, {0}, {1});
        machine.fail_at = at;
        const auto got = gpu.step({&session}, {1}, {1});
        if (gpu.error) {
          ++failed;
          CHECK(gpu.error.code == (code == cuda::error_out_of_memory ? Errc::out_of_memory : Errc::backend));
        } else {
          CHECK(same_bits(expected[1], got));
          without += machine.replays == 0 ? 1 : 0;
          for (std::uint32_t i = 2; i < 4; ++i) CHECK(same_bits(expected[i], gpu.step({&session}, {i}, {1})));
          CHECK(machine.graphs == (machine.replays == 0 ? 0 : 1));
        }
        CHECK(machine.device.reports.text() == "");
      }
      CHECK(machine.graphs == 0);
      CHECK(machine.device.allocations() == 0);
      CHECK(machine.pinned == 0);
      CHECK(machine.opened == 0);
      CHECK(machine.entered == 0);
    }
    CHECK(failed > 0);
    CHECK((without > 0) == (code == cuda::error_out_of_memory));
  }
}

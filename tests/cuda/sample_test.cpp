// The choice of a token on the device: the CPU sampler's, for any options that the device takes.
#include <kinglet/sample/sampler.hpp>

#include <cmath>

#include "tests/catch.hpp"
#include "tests/cuda/choices.hpp"
#include "tests/cuda/emulated.hpp"

using namespace kinglet;
using namespace kinglet::test;
using sample::Sampler;
using sample::SamplerOptions;

namespace {

/// A backend whose step has one row, of logits that the test writes.
struct Row {
  explicit Row(std::uint32_t vocab, bool watching = true)
      : machine(std::size_t{1} << 30, watching), shape(odd_shape()) {
    machine.device.order = emulator::Order::shuffled;
    shape.vocab = vocab;
    shape.max_rows = shape.max_logits = 2;
    shape.pages = 2;
    steps.resize(3);
    ops::rotary_steps(10000.0f, 1.0f, {}, steps);
    shape.rotary_steps = steps;
    const auto made = emulated_cuda.create(shape, {}, memory);
    REQUIRE(made.ok());
    backend = *made;
  }
  ~Row() { emulated_cuda.destroy(backend, memory); }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  /// Logits of a step's two rows.
  void write(const std::vector<float>& logits) {
    REQUIRE(backend->begin({{rows, 2}, {&sequence, 1}, all, {}}).ok());
    // The one array of [max_logits][vocab] floats that the test can reach is found through the layout.
    const cuda::DeviceLayout layout = cuda::device_layout(shape);
    auto* const block = static_cast<std::byte*>(machine.device.largest());
    machine.device.write(block + layout.logits + logits.size() * 4, logits.data(), logits.size() * 4);
    machine.device.write(block + layout.logits, logits.data(), logits.size() * 4);
  }

  emulator::Machine machine;
  core::Memory memory;
  ops::ContextShape shape;
  std::vector<std::uint64_t> steps;
  ops::Backend* backend = nullptr;
  const ops::Row rows[2] = {{0, 0, 0}, {0, 1, 0}};
  const std::uint32_t page = 0;
  const ops::Sequence sequence{0, 2, 0, &page};
  const std::uint32_t all[2] = {0, 1};
};

std::vector<float> random_logits(Random& random, std::uint32_t n, int kind) {
  std::vector<float> logits = normals(random, n, kind == 2 ? 12.0f : 2.0f);
  if (kind == 1) {  // ties
    for (float& l : logits) l = std::round(l);
  }
  if (kind == 3) {  // some are out, and both zeros are there
    for (std::uint32_t i = 0; i < n; i += 3) logits[i] = -std::numeric_limits<float>::infinity();
    for (std::uint32_t i = 1; i < n; i += 4) logits[i] = i % 8 == 1 ? 0.0f : -0.0f;
  }
  return logits;
}

/// Both choices, which must be the same.
void compare(Row& row, const std::vector<float>& logits, const SamplerOptions& options,
             std::span<const std::int32_t> history) {
  auto sampler = Sampler::create(static_cast<std::int32_t>(row.shape.vocab), std::pmr::get_default_resource());
  REQUIRE(sampler.ok());
  REQUIRE(sampler->configure(options).ok());
  row.write(logits);
  const auto expected = sampler->sample(logits, history, history.size());
  const std::size_t before = row.machine.launches["sample"];
  const auto got = sampler->sample(*row.backend, 1, history, history.size());
  CHECK(row.machine.launches["sample"] == before + 1);
  CHECK(row.machine.device.reports.text() == "");
  REQUIRE(expected.ok() == got.ok());
  if (!expected) {
    CHECK(std::string(expected.error().message) == got.error().message);
    return;
  }
  INFO("temperature " << options.temperature << " top_k " << options.top_k << " top_p " << options.top_p << " min_p "
                      << options.min_p << " vocab " << logits.size());
  CHECK(expected->token == got->token);
  CHECK(expected->logprob == got->logprob);
}

}  // namespace

TEST_CASE("a token is chosen on the device, and its logits stay there") {
  Row row(51);
  Random random{1};
  const std::int32_t history[] = {3, 4, 3};
  SamplerOptions options;
  options.temperature = 0.8f;
  options.top_k = 5;
  options.top_p = 0.9f;
  compare(row, random_logits(random, 51, 0), options, history);
}

TEST_CASE("choices on the device are the CPU's, whatever the options") {
  Random random{5};
  for (const std::uint32_t vocab : {1u, 2u, 31u, 513u, 1500u}) {
    Row row(vocab);
    std::vector<std::int32_t> history;
    for (int i = 0; i < 40; ++i) history.push_back(static_cast<std::int32_t>(random.below(vocab)));
    for (int kind = 0; kind < 4; ++kind) {
      for (int round = 0; round < (vocab < 100 ? 12 : 5); ++round) {
        SamplerOptions options;
        options.temperature = round % 5 == 0 ? 0.0f : round % 5 == 1 ? 0.3f : round % 5 == 2 ? 1.0f : 4.0f;
        if (random.below(2) != 0) options.top_k = static_cast<std::int32_t>(1 + random.below(vocab + 3));
        if (random.below(2) != 0) options.top_p = 0.05f + 0.9f * static_cast<float>(random.below(100)) / 100.0f;
        if (random.below(3) == 0) options.min_p = 0.02f;
        if (random.below(2) != 0) {
          options.repetition_penalty = 1.3f;
          options.presence_penalty = 0.5f;
          options.frequency_penalty = -0.25f;
        }
        options.penalty_last_n = random.below(2) != 0 ? -1 : 7;
        options.seed = random.below(1000000);
        compare(row, random_logits(random, vocab, kind), options, history);
      }
    }
  }
}

TEST_CASE("a large vocabulary, of nearly equal tokens and of one that leads") {
  Random random{6};
  Row row(70001, false);
  for (int kind = 0; kind < 3; ++kind) {
    SamplerOptions options;
    options.temperature = 1.5f;
    options.top_p = kind == 1 ? 0.37f : 1.0f;
    options.top_k = kind == 2 ? 3000 : 0;
    options.seed = static_cast<std::uint64_t>(kind);
    std::vector<float> logits = random_logits(random, 70001, 0);
    if (kind == 1) std::fill(logits.begin(), logits.end(), 1.25f);
    if (kind == 2) logits[60000] = 40.0f;
    compare(row, logits, options, {});
  }
}

TEST_CASE("bad logits and bad histories are the CPU's errors; what the device cannot do the host does") {
  Row row(51);
  Random random{7};
  std::vector<float> logits = random_logits(random, 51, 0);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    logits[17] = bad;
    compare(row, logits, {}, {});
  }
  compare(row, std::vector<float>(51, -std::numeric_limits<float>::infinity()), {}, {});
  logits[17] = 0.0f;
  row.write(logits);
  auto sampler = Sampler::create(51, std::pmr::get_default_resource());
  SamplerOptions options;
  options.repetition_penalty = 2.0f;
  REQUIRE(sampler->configure(options).ok());
  const std::int32_t outside[] = {51};
  CHECK(sampler->sample(*row.backend, 1, outside, 1).error().code == Errc::invalid_argument);
  CHECK(row.backend->sample({}).ok());
  ops::SampleRequest request;
  request.logits = 2;
  CHECK(row.backend->sample(request).error().code == Errc::invalid_argument);

  const std::size_t before = row.machine.launches["sample"];
  const auto on_host = [&](const SamplerOptions& o, std::span<const std::int32_t> history) {
    REQUIRE(sampler->configure(o).ok());
    const auto expected = sampler->sample(logits, history, 3);
    const auto got = sampler->sample(*row.backend, 1, history, 3);
    REQUIRE(expected.ok());
    REQUIRE(got.ok());
    CHECK(expected->token == got->token);
    CHECK(expected->top.size() == got->top.size());
    CHECK(row.machine.launches["sample"] == before);
  };
  const std::int32_t banned[] = {3};
  options = {};
  options.banned = banned;
  on_host(options, {});
  options = {};
  options.logprobs = 3;
  on_host(options, {});
  options = {};
  options.penalty_last_n = -1;
  options.presence_penalty = 1.0f;
  on_host(options, std::vector<std::int32_t>(2000, 5));
}

TEST_CASE("what a step was told to choose comes with it, in one launch") {
  ops::ContextShape shape = odd_shape();
  shape.vocab = 300;
  const HandModel model(shape, floats, 6);
  emulator::Machine machine;
  machine.device.order = emulator::Order::shuffled;
  std::size_t calls = 0;
  compare_foreseen(emulated_cuda, model, [&](std::size_t chosen) {
    if (chosen == 0) calls = machine.calls;
    CHECK(machine.calls == calls);  // it was there
    CHECK(machine.launches["sample"] == 1);
  });
  CHECK(machine.launches["sample"] == 2);  // the one that was asked for with other options
  CHECK(machine.device.reports.text() == "");
}

#include <algorithm>
#include <array>
#include <kinglet/batch/batcher.hpp>
#include <map>
#include <vector>

#include "tests/catch.hpp"
#include "tests/random.hpp"

using namespace kinglet::batch;
using kinglet::test::Random;

namespace {

Request decoding(std::uint32_t id, std::uint32_t cached) {
  Request r;
  r.id = id;
  r.cached_tokens = cached;
  r.decoding = true;
  return r;
}

Request prompt(std::uint32_t id, std::uint32_t tokens) {
  Request r;
  r.id = id;
  r.pending_tokens = tokens;
  return r;
}

std::uint64_t pages(std::uint64_t tokens, std::uint64_t size) { return (tokens + size - 1) / size; }

std::vector<Request> random_requests(Random& random, std::size_t n) {
  std::vector<Request> requests;
  for (std::uint32_t id = 0; id < n; ++id) {
    Request r = random.below(2) != 0 ? decoding(id, 1 + random.below(300)) : prompt(id, 1 + random.below(400));
    r.arrival = random.below(50);
    r.last_served = random.below(20);
    r.priority = static_cast<std::int32_t>(random.below(5)) - 2;
    r.prepaid_tokens = random.below(3) == 0 ? random.below(500) : 0;
    requests.push_back(r);
  }
  return requests;
}

}  // namespace

TEST_CASE("decoding sessions get a row each, prompts share the rest", "[batch]") {
  const std::vector<Request> requests{prompt(1, 1000), decoding(2, 40), decoding(3, 7), prompt(4, 10)};
  std::array<PlannedSequence, 32> out;
  BatchLimits limits;
  limits.max_rows = 64;
  const StepPlan plan = plan_step(requests, limits, out);
  REQUIRE(plan.sequences == 4);
  CHECK(plan.rows == 64);
  CHECK(plan.waiting == 0);
  CHECK(plan.bound == Bound::rows);
  CHECK((out[0].request == 1 && out[0].rows == 1));
  CHECK((out[1].request == 2 && out[1].rows == 1));
  CHECK((out[2].request == 0 && out[2].rows == 52));  // all that the short prompt does not need
  CHECK((out[3].request == 3 && out[3].rows == 10));
}

TEST_CASE("memory bounds a step by whole pages", "[batch]") {
  std::array<PlannedSequence, 32> out;
  BatchLimits limits;
  limits.bytes_per_token = 100;
  limits.free_bytes = 3 * 1600 + 1599;  // three pages of 16 tokens
  const std::vector<Request> one{prompt(1, 1000)};
  StepPlan plan = plan_step(one, limits, out);
  CHECK(plan.rows == 48);
  CHECK(plan.bytes == 3 * 1600);
  CHECK(plan.bound == Bound::memory);

  limits.free_bytes = 0;
  const std::vector<Request> two{decoding(1, 16), decoding(2, 17)};  // the second still has room in its page
  plan = plan_step(two, limits, out);
  REQUIRE(plan.sequences == 1);
  CHECK(out[0].request == 1);
  CHECK(plan.waiting == 1);
  CHECK(plan.bound == Bound::memory);

  std::vector<Request> paid = one;
  paid[0].prepaid_tokens = 1000;
  CHECK(plan_step(paid, limits, out).rows == 256);
}

TEST_CASE("a step has 32 sequences at most, and as many as `out` has room for", "[batch]") {
  std::vector<Request> requests;
  for (std::uint32_t i = 0; i < 50; ++i) requests.push_back(decoding(i, 3));
  std::array<PlannedSequence, 64> out;
  BatchLimits limits;
  limits.max_sequences = 64;
  StepPlan plan = plan_step(requests, limits, out);
  CHECK(plan.sequences == 32);
  CHECK(plan.waiting == 18);
  CHECK(plan.bound == Bound::sequences);
  CHECK(plan_step(requests, limits, std::span(out).first(5)).sequences == 5);
  CHECK(plan_step({}, limits, out).bound == Bound::nothing);
  limits.max_rows = 0;
  CHECK(plan_step(requests, limits, out).sequences == 0);
}

TEST_CASE("random states: no limit is passed, no row is wasted, and the order of the requests does not matter",
          "[batch]") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Random random{seed};
    auto requests = random_requests(random, random.below(60));
    BatchLimits limits;
    limits.step = 20;
    limits.max_rows = random.below(300);
    limits.max_sequences = random.below(40);
    limits.page_tokens = 1 + random.below(20);
    limits.bytes_per_token = random.below(3) * 10;
    limits.free_bytes = random.below(3) == 0 ? 0 : random.below(9000);
    std::array<PlannedSequence, 40> out, again;
    const StepPlan plan = plan_step(requests, limits, out);

    std::uint64_t rows = 0, bytes = 0;
    std::vector<bool> planned(requests.size(), false);
    bool every_row = true;
    for (const auto& s : std::span(out).first(plan.sequences)) {
      const Request& r = requests[s.request];
      REQUIRE_FALSE(planned[s.request]);
      planned[s.request] = true;
      REQUIRE(s.rows >= 1);
      REQUIRE(s.rows <= (r.decoding ? 1 : r.pending_tokens));
      every_row = every_row && s.rows == (r.decoding ? 1 : r.pending_tokens);
      rows += s.rows;
      const std::uint64_t paid = r.cached_tokens + std::min(r.prepaid_tokens, r.pending_tokens);
      const std::uint64_t end = std::max<std::uint64_t>(paid, r.cached_tokens + s.rows);
      bytes += (pages(end, limits.page_tokens) - pages(paid, limits.page_tokens)) * limits.page_tokens *
               limits.bytes_per_token;
    }
    REQUIRE(plan.rows == rows);
    REQUIRE(plan.bytes == bytes);
    REQUIRE(plan.waiting == requests.size() - plan.sequences);
    REQUIRE(rows <= limits.max_rows);
    REQUIRE(plan.sequences <= std::min(limits.max_sequences, 32u));
    REQUIRE(bytes <= limits.free_bytes);
    REQUIRE((plan.bound == Bound::nothing) == (every_row && plan.waiting == 0));
    if (limits.bytes_per_token == 0 && plan.sequences > 0) {  // greedy: rows are left only where nobody wants them
      REQUIRE((rows == limits.max_rows || every_row));
    }

    std::vector<Request> reversed(requests.rbegin(), requests.rend());
    const StepPlan same = plan_step(reversed, limits, again);
    REQUIRE(same.rows == plan.rows);
    REQUIRE(same.sequences == plan.sequences);
    for (std::uint32_t i = 0; i < plan.sequences; ++i) {
      REQUIRE(reversed[again[i].request].id == requests[out[i].request].id);
      REQUIRE(again[i].rows == out[i].rows);
    }
  }
}

TEST_CASE("nobody starves: a row at least once in n + priorities + patience + 1 steps", "[batch]") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Random random{seed};
    const std::uint32_t n = 1 + random.below(60);
    std::vector<Request> requests;
    for (std::uint32_t id = 0; id < n; ++id) {
      requests.push_back(random.below(3) != 0 ? decoding(id, 1) : prompt(id, 1u << 30));  // as hungry as can be
      requests.back().priority = static_cast<std::int32_t>(random.below(6));
      requests.back().arrival = id;
    }
    BatchLimits limits;
    limits.max_rows = 1 + random.below(40);
    limits.max_sequences = 1 + random.below(32);
    limits.patience = random.below(8);
    std::array<PlannedSequence, 32> out;
    const std::uint64_t bound = n + 5 + limits.patience + 1;
    for (limits.step = 1; limits.step < 500; ++limits.step) {
      const StepPlan plan = plan_step(requests, limits, out);
      REQUIRE(plan.sequences > 0);
      for (const auto& s : std::span(out).first(plan.sequences)) requests[s.request].last_served = limits.step;
      for (const Request& r : requests) REQUIRE(limits.step - r.last_served <= bound);
    }
  }
}

TEST_CASE("sizes near the ends of their types do not wrap", "[batch]") {
  Request r = prompt(1, UINT32_MAX);
  r.cached_tokens = UINT32_MAX;
  std::array<PlannedSequence, 32> out;
  BatchLimits limits;
  limits.step = UINT64_MAX;
  limits.max_rows = UINT32_MAX;
  limits.page_tokens = UINT32_MAX;
  limits.bytes_per_token = UINT64_MAX;
  limits.free_bytes = UINT64_MAX;
  CHECK(plan_step({&r, 1}, limits, out).sequences <= 1);
  limits.page_tokens = 0;
  CHECK(plan_step({&r, 1}, limits, out).rows == 1);  // UINT64_MAX bytes a token, and UINT64_MAX are free
  limits.bytes_per_token = 1;
  CHECK(plan_step({&r, 1}, limits, out).rows == UINT32_MAX);
  r.pending_tokens = 0;
  CHECK(plan_step({&r, 1}, limits, out).sequences == 0);
  const std::array<std::uint32_t, 2> tokens{UINT32_MAX, UINT32_MAX};
  CHECK(batch_size(tokens, UINT64_MAX, UINT64_MAX, 100) == 0);
  CHECK(batch_size(tokens, 0, 0, 100) == 2);
}

TEST_CASE("the first 50 requests come in small, growing batches, later ones as memory allows", "[batch]") {
  const std::vector<std::uint32_t> tokens(100, 200);
  std::uint32_t last = 0;
  for (std::uint64_t served = 0; served < 50; ++served) {
    const std::uint32_t size = batch_size(tokens, 1, 1 << 20, served);
    CHECK(size >= last);
    CHECK(size <= 1 + served * 31 / 50);
    last = size;
  }
  CHECK(batch_size(tokens, 1, 1 << 20, 0) == 1);
  CHECK(batch_size(tokens, 1, 1 << 20, 50) == 32);
  CHECK(batch_size(tokens, 10, 200 * 10 * 7 + 1999, 50) == 7);
  CHECK(batch_size(tokens, 10, 1999, 50) == 0);
  CHECK(batch_size(std::vector<std::uint32_t>{100, 5000, 1}, 1, 1000, 50) == 1);  // nobody overtakes
  CHECK(batch_size({}, 1, 1000, 50) == 0);
}

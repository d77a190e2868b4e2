// Does an urgent session go first, whatever the others are in the middle of, and are they none the worse for it?
#include <cstring>
#include <utility>

#include "tests/counting.hpp"
#include "tests/engine/tiny_engine.hpp"

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;
using test::TinyEngine;

namespace {

constexpr const char* call_out = "Who goes there?";

EngineOptions urgent_options() {
  EngineOptions options = test::small_options();
  options.max_rows = 200;
  options.urgent_rows = 8;
  return options;
}

Session open_urgent(TinyEngine& tiny) {
  SessionOptions options;
  options.urgent = true;
  return tiny.open(options);
}

std::string long_prompt() {
  std::string text;
  for (int i = 0; i < 150; ++i) text.push_back(static_cast<char>('a' + i * 7 % 26));
  return text;
}

/// A clock that each look moves on by a microsecond; a step looks once for each range of pieces.
struct Clock {
  std::uint64_t now = 0;
  Hooks hooks() {
    Hooks hooks;
    hooks.user = this;
    hooks.clock = [](void* user) { return static_cast<Clock*>(user)->now += 1000; };
    return hooks;
  }
};

/// Nanoseconds from the submit of `call_out` to its first token, in steps of one piece.
/// @param pieces  of a long prompt, that ran before it came
std::uint64_t first_token_after(bool urgent, int pieces) {
  Clock clock;
  EngineOptions options = urgent_options();
  options.hooks = clock.hooks();
  TinyEngine tiny(options);
  Session reader = tiny.open();
  Session guard = urgent ? open_urgent(tiny) : tiny.open();
  if (pieces > 0) REQUIRE(reader.submit(long_prompt(), answer_of(5)).ok());
  for (int i = 0; i < pieces; ++i) REQUIRE(tiny.engine.step(0ns)->pieces == 1);
  REQUIRE(guard.submit(call_out, answer_of(2)).ok());
  const std::uint64_t before = clock.now;
  while (guard.tokens().empty()) REQUIRE(tiny.engine.step(0ns).ok());
  return clock.now - before;
}

}  // namespace

TEST_CASE("an urgent session's first token comes as soon as in an empty engine") {
  const std::uint64_t empty = first_token_after(true, 0);
  for (const int pieces : {1, 2, 7, 31, 100}) {
    CAPTURE(pieces);
    CHECK(first_token_after(true, pieces) == empty);
    CHECK(first_token_after(false, pieces) > 2 * empty);
  }
}

TEST_CASE("a prompt that is interrupted at every piece says what it says undisturbed") {
  GenerateOptions sampled = answer_of(25);
  sampled.sampling.temperature = 0.9f;
  sampled.sampling.logprobs = 64;
  struct Said {
    std::vector<std::int32_t> ids;
    std::vector<float> logprobs;
    void note(const Session& session) {
      for (const Token& token : session.tokens()) {
        ids.push_back(token.id);
        for (const auto& other : token.top) logprobs.push_back(other.logprob);
      }
    }
    bool operator==(const Said& other) const {
      return ids == other.ids && logprobs.size() == other.logprobs.size() &&
             std::memcmp(logprobs.data(), other.logprobs.data(), logprobs.size() * sizeof(float)) == 0;
    }
  };
  for (const Activations activations : {Activations::int8, Activations::fp32, Activations::fp8}) {
    for (const unsigned threads : {1u, 3u}) {
      EngineOptions options = urgent_options();
      options.activations = activations;
      options.threads = threads;
      const auto run = [&](bool disturbed) {
        TinyEngine tiny(options);
        Session reader = tiny.open(), guard = open_urgent(tiny);
        const auto expected = test::say(guard, call_out, answer_of(3));
        Said said;
        REQUIRE(reader.submit(long_prompt(), sampled).ok());
        while (reader.state() == SessionState::running) {
          REQUIRE(tiny.engine.step(0ns).ok());
          said.note(reader);
          if (!disturbed) continue;
          REQUIRE(guard.reset().ok());
          REQUIRE(guard.submit(call_out, answer_of(3)).ok());
          std::vector<std::int32_t> answer;
          while (guard.state() == SessionState::running) {
            REQUIRE(tiny.engine.step(0ns).ok());
            CHECK(reader.tokens().empty());
            for (const Token& token : guard.tokens()) answer.push_back(token.id);
          }
          CHECK(answer == expected);
        }
        return said;
      };
      const Said calm = run(false), busy = run(true);
      CHECK(calm.ids.size() == 25);
      CHECK(calm == busy);
    }
  }
}

TEST_CASE("what is left of a budget goes to the others, but not of one without an end") {
  TinyEngine tiny(urgent_options());
  Session reader = tiny.open(), guard = open_urgent(tiny);
  REQUIRE(reader.submit(long_prompt(), answer_of(3)).ok());
  REQUIRE(guard.submit("?", answer_of(3)).ok());
  const auto both = tiny.engine.step(30s);
  REQUIRE(both.ok());
  CHECK(both->committed);
  CHECK(both->rows > 100);
  CHECK(guard.tokens().size() == 1);
  CHECK(reader.tokens().size() == 1);
  REQUIRE(tiny.engine.step(1h).ok());
  CHECK(guard.tokens().size() == 1);
  CHECK(reader.tokens().empty());
  REQUIRE(tiny.engine.step(1h).ok());
  CHECK(guard.state() == SessionState::idle);
  REQUIRE(tiny.engine.step(1h).ok());
  CHECK(guard.tokens().empty());
  CHECK(reader.tokens().size() == 1);
}

TEST_CASE("pages that a stopped session's rows still write to are no urgent session's") {
  EngineOptions options = urgent_options();
  options.max_sessions = 3;
  options.kv_tokens = 272;  // so few that pages change hands at once
  const std::string first = long_prompt().substr(0, 60);
  // Of a token's logits, enough to see a difference.
  const auto note = [](const Session& session, std::vector<float>& said) {
    for (const Token& token : session.tokens()) said.push_back(token.logprob);
  };
  std::vector<float> expected, steady;
  {
    TinyEngine tiny(options);
    Session guard = open_urgent(tiny), other = tiny.open();
    const auto say = [&](Session& session, std::string_view prompt, std::uint32_t tokens, std::vector<float>& said) {
      REQUIRE(session.submit(prompt, answer_of(tokens)).ok());
      while (session.state() == SessionState::running) {
        REQUIRE(tiny.engine.step(1h).ok());
        note(session, said);
      }
    };
    say(guard, first, 4, expected);
    say(guard, call_out, 9, expected);
    say(other, call_out, 3, steady);
  }
  for (int way = 0; way < 4; ++way) {
    for (int pieces = 1; pieces < 120; pieces += 7) {
      CAPTURE(way, pieces);
      TinyEngine tiny(options);
      Session reader = tiny.open(), other = tiny.open(), guard = open_urgent(tiny);
      REQUIRE(reader.submit(long_prompt(), answer_of(5)).ok());
      REQUIRE(other.submit(call_out, answer_of(3)).ok());
      std::vector<float> said, others;
      const auto run = [&](const Session& whom) {
        while (whom.state() == SessionState::running) {
          REQUIRE(tiny.engine.step(0ns).ok());
          note(guard, said);
          note(other, others);
        }
      };
      for (int i = 0; i < pieces; ++i) REQUIRE(tiny.engine.step(0ns).ok());
      if (way == 0) CHECK(reader.stop().ok());
      if (way == 1) CHECK(reader.rewind(0).ok());
      if (way == 2) CHECK(reader.reset().ok());
      if (way == 3) reader = Session();
      REQUIRE(guard.submit(first, answer_of(4)).ok());
      run(guard);
      run(other);  // what its plan still wrote for the reader must not be in the guard's history
      REQUIRE(guard.submit(call_out, answer_of(9)).ok());
      run(guard);
      CHECK(said == expected);
      CHECK(others == steady);
    }
  }
}

TEST_CASE("an urgent session is stopped, rewound, reset and closed as any other, and may be forked and evaluated") {
  TinyEngine tiny(urgent_options());
  Session reader = tiny.open();
  const auto expected = test::say(reader, long_prompt(), answer_of(10));
  REQUIRE(reader.reset().ok());
  for (int way = 0; way < 5; ++way) {
    CAPTURE(way);
    Session guard = open_urgent(tiny);
    const auto answer = test::say(guard, call_out, answer_of(6));
    REQUIRE(guard.reset().ok());
    REQUIRE(reader.submit(long_prompt(), answer_of(10)).ok());
    for (int i = 0; i < 9; ++i) REQUIRE(tiny.engine.step(0ns).ok());
    REQUIRE(guard.submit(call_out, answer_of(6)).ok());
    for (int i = 0; i < 9; ++i) REQUIRE(tiny.engine.step(0ns).ok());
    if (way == 0) CHECK(guard.stop().ok());
    if (way == 1) CHECK(guard.rewind(3).ok());
    if (way == 2) CHECK(guard.reset().ok());
    if (way == 3) guard = open_urgent(tiny);
    if (way == 4) {
      // Blocking calls give both open plans up, and their rows are worked on again.
      std::vector<float> state(tiny.engine.model().dim);
      CHECK(tiny.engine.embed("a tower", Pooling::mean, state).ok());
      CHECK(guard.state() == SessionState::running);
      while (guard.state() == SessionState::running) REQUIRE(tiny.engine.step(0ns).ok());
      const auto history = guard.history();
      CHECK(std::vector<std::int32_t>(history.end() - 6, history.end()) == answer);
      const std::vector<std::int32_t> more{5, 6, 7};
      std::size_t rows = 0;
      CHECK(guard.evaluate(more, [&](std::uint32_t, std::span<const float>) { ++rows; }).ok());
      CHECK(rows == 3);
      CHECK(guard.fork().ok());
    }
    CHECK(guard.state() == SessionState::idle);
    REQUIRE(guard.reset().ok());
    CHECK(test::say(guard, call_out, answer_of(6)) == answer);
    while (reader.state() == SessionState::running) REQUIRE(tiny.engine.step(0ns).ok());
    CHECK(std::vector<std::int32_t>(reader.history().end() - 10, reader.history().end()) == expected);
    REQUIRE(reader.reset().ok());
  }
}

TEST_CASE("several urgent sessions share a plan, and their prompts come in its few rows") {
  EngineOptions options = urgent_options();
  for (const std::uint32_t rows : {1u, 2u, 7u, 200u}) {
    CAPTURE(rows);
    options.urgent_rows = rows;
    TinyEngine tiny(options);
    std::vector<std::vector<std::int32_t>> expected, said(3);
    std::vector<Session> guards;
    for (int i = 0; i < 3; ++i) {
      guards.push_back(open_urgent(tiny));
      expected.push_back(
          test::say(guards.back(), long_prompt().substr(static_cast<std::size_t>(i) * 20), answer_of(4)));
      REQUIRE(guards.back().reset().ok());
    }
    for (std::size_t i = 0; i < 3; ++i) REQUIRE(guards[i].submit(long_prompt().substr(i * 20), answer_of(4)).ok());
    for (bool running = true; running;) {
      const auto report = tiny.engine.step(1h);
      REQUIRE(report.ok());
      CHECK(report->rows <= rows);
      running = false;
      for (std::size_t i = 0; i < 3; ++i) {
        for (const Token& token : guards[i].tokens()) said[i].push_back(token.id);
        running = running || guards[i].state() == SessionState::running;
      }
    }
    CHECK(said == expected);
  }
}

TEST_CASE("urgent sessions cost nothing where none may be, and a step with them allocates nothing") {
  const test::TemporaryFile file(test::tiny_model().bytes());
  EngineOptions options = urgent_options();
  options.urgent_rows = 0;
  const auto none = Engine::plan(file.path(), options);
  options.urgent_rows = 8;
  const auto eight = Engine::plan(file.path(), options);
  options.urgent_rows = 200;
  const auto all = Engine::plan(file.path(), options);
  REQUIRE((none.ok() && eight.ok() && all.ok()));
  CHECK(eight->activations > none->activations);
  CHECK(eight->activations - none->activations < none->activations / 4);
  CHECK(all->activations - none->activations <= none->activations);
  CHECK(eight->kv_cache == none->kv_cache);
  CHECK(eight->weights == none->weights);

  test::CountingHeap heap;
  options = urgent_options();
  options.hooks = heap.hooks();
  options.memory_limit = eight->total;
  {
    TinyEngine tiny(options);
    Session reader = tiny.open(), guard = open_urgent(tiny);
    REQUIRE(reader.submit(long_prompt(), answer_of(20)).ok());
    REQUIRE(guard.submit(call_out, answer_of(20)).ok());
    const std::size_t calls = heap.calls;
    for (int i = 0; i < 500; ++i) REQUIRE(tiny.engine.step(i % 3 == 0 ? 0ns : 50us).ok());
    while (reader.state() == SessionState::running) REQUIRE(tiny.engine.step(1h).ok());
    CHECK(heap.calls == calls);
  }
  CHECK(heap.used == 0);
}

TEST_CASE("who may not be urgent is told why") {
  TinyEngine tiny;
  SessionOptions session;
  session.urgent = true;
  const auto refused = tiny.engine.open_session(session);
  CHECK(refused.error().code == Errc::invalid_argument);
  CHECK(test::says(refused.error(), "urgent_rows"));
  EngineOptions options = test::small_options();
  options.urgent_rows = options.max_rows + 1;
  const std::string bytes = test::tiny_model().bytes();
  const auto engine = Engine::load(test::as_bytes(bytes), options);
  CHECK(engine.error().code == Errc::invalid_argument);
  CHECK(test::says(engine.error(), "urgent_rows"));
}

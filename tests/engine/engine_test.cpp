#include <kinglet/kinglet.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;
using namespace std::chrono_literals;

TEST_CASE("a game's loop: load, open, submit, step, tokens") {
  const test::TemporaryFile file(test::tiny_model().bytes());
  EngineOptions options;
  options.context = 256;
  auto engine = Engine::load(file.path(), options);
  REQUIRE(engine.ok());
  auto smith = engine->open_session();
  REQUIRE(smith.ok());
  GenerateOptions generate;
  generate.max_new_tokens = 12;
  generate.ignore_end = true;
  REQUIRE(smith->submit("Is the sword ready?", generate).ok());
  std::string hud;
  std::size_t tokens = 0;
  while (smith->state() == SessionState::running) {
    const auto report = engine->step(2ms);
    REQUIRE(report.ok());
    CHECK(report->pieces > 0);
    for (const Token& token : smith->tokens()) {
      hud += token.text;
      ++tokens;
      CHECK(token.logprob <= 0.0f);
    }
  }
  CHECK(tokens == 12);
  CHECK(smith->finish_reason() == FinishReason::length);
  CHECK(smith->tokens().size() == 1);  // until the next step
  CHECK(engine->step(2ms)->pieces == 0);
  CHECK(smith->tokens().empty());
}

TEST_CASE("the blocking short form says the same") {
  const std::string bytes = test::tiny_model().bytes();
  auto engine = Engine::load(test::as_bytes(bytes));
  REQUIRE(engine.ok());
  CHECK(std::string(engine->backend()) != "");
  CHECK(engine->model().dim == 32);
  CHECK(engine->tokenizer().size() == 260);
  std::vector<std::int32_t> ids[2];
  GenerateOptions options;
  options.max_new_tokens = 20;
  options.ignore_end = true;
  for (auto& id : ids) {
    auto session = engine->open_session();
    REQUIRE(session.ok());
    const auto reason = session->generate("Once upon a time", options, [&](const Token& token) {
      id.push_back(token.id);
      return true;
    });
    REQUIRE(reason.ok());
    CHECK(*reason == FinishReason::length);
    CHECK(session->history().size() == session->size());
  }
  CHECK(ids[0].size() == 20);
  CHECK(ids[0] == ids[1]);
}

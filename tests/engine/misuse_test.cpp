// Misuse is an error code, and changes nothing.
#include <cmath>
#include <utility>

#include "tests/engine/tiny_engine.hpp"

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;
using test::TinyEngine;

TEST_CASE("an object that holds nothing says so, whatever it is asked") {
  TinyEngine tiny;
  Session session = tiny.open();
  Session taken = std::move(session);
  Engine engine = std::move(tiny.engine);
  CHECK(taken.state() == SessionState::idle);
  for (Session* const empty : {&session}) {
    CHECK(empty->state() == SessionState::empty);
    CHECK(empty->finish_reason() == FinishReason::none);
    CHECK(empty->error().code == Errc::moved_from);
    CHECK(empty->submit("a").error().code == Errc::moved_from);
    CHECK(empty->submit_tokens({}).error().code == Errc::moved_from);
    CHECK(empty->stop().error().code == Errc::moved_from);
    CHECK(empty->rewind(0).error().code == Errc::moved_from);
    CHECK(empty->reset().error().code == Errc::moved_from);
    CHECK(empty->fork().error().code == Errc::moved_from);
    CHECK(empty->generate("a", {}, [](const Token&) { return true; }).error().code == Errc::moved_from);
    CHECK(empty->evaluate({}, [](std::uint32_t, std::span<const float>) {}).error().code == Errc::moved_from);
    CHECK(empty->tokens().empty());
    CHECK(empty->history().empty());
    CHECK(empty->size() == 0);
  }
  CHECK_FALSE(tiny.engine);
  CHECK(tiny.engine.open_session().error().code == Errc::moved_from);
  CHECK(tiny.engine.step(1ms).error().code == Errc::moved_from);
  float out[1];
  CHECK(tiny.engine.embed("a", Pooling::mean, out).error().code == Errc::moved_from);
  CHECK(tiny.engine.memory().allocated == 0);
  CHECK(tiny.engine.model().dim == 0);
  CHECK(tiny.engine.tokenizer().size() == 0);
  CHECK(std::string(tiny.engine.backend()).empty());
  engine = Engine();
  CHECK(taken.submit("the engine lives as long as its last session", answer_of(3)).ok());
}

TEST_CASE("submit: what is refused") {
  TinyEngine tiny;
  Session session = tiny.open();
  const auto code = [&](std::string_view prompt, const GenerateOptions& options = {}) {
    const Errc got = session.submit(prompt, options).error().code;
    CHECK(session.state() == SessionState::idle);
    CHECK(session.size() == 0);
    return got;
  };
  CHECK(code("") == Errc::invalid_argument);
  CHECK(code("a\xff\x62") == Errc::invalid_argument);
  CHECK(code("\xed\xa0\x80") == Errc::invalid_argument);
  CHECK(code("\xc3") == Errc::invalid_argument);
  CHECK(code(std::string(256, 'a')) == Errc::context_full);
  CHECK(code("aaaa", answer_of(253)) == Errc::context_full);
  CHECK(code("aaaa", answer_of(0xffffffffu)) == Errc::context_full);
  CHECK(code(std::string(10'000'000, 'a')) == Errc::context_full);
  GenerateOptions options;
  const std::string_view empty_stop[] = {"a", ""};
  options.stop = empty_stop;
  CHECK(code("a", options) == Errc::invalid_argument);
  const std::vector<std::string_view> many(17, "x");
  options.stop = many;
  CHECK(code("a", options) == Errc::invalid_argument);
  const std::string_view no_text[] = {"\xff"};
  options.stop = no_text;
  CHECK(code("a", options) == Errc::invalid_argument);
  options = {};
  options.sampling.temperature = -1.0f;
  CHECK(code("a", options) == Errc::invalid_argument);
  options.sampling.temperature = NAN;
  CHECK(code("a", options) == Errc::invalid_argument);
  for (const std::int32_t id : {-1, 260, INT32_MAX, INT32_MIN}) {
    const std::int32_t ids[] = {1, id};
    CHECK(session.submit_tokens(ids).error().code == Errc::invalid_argument);
    CHECK(session.evaluate(ids, [](std::uint32_t, std::span<const float>) {}).error().code == Errc::invalid_argument);
  }
  const std::vector<std::int32_t> long_ids(257, 1);
  CHECK(session.submit_tokens(long_ids).error().code == Errc::context_full);
  CHECK(session.evaluate(long_ids, [](std::uint32_t, std::span<const float>) {}).error().code == Errc::context_full);
  CHECK(session.submit_tokens({}).error().code == Errc::invalid_argument);
  REQUIRE(session.submit("aaaa", answer_of(252)).ok());
}

TEST_CASE("a generation that runs keeps out what would disturb it") {
  TinyEngine tiny;
  Session session = tiny.open();
  REQUIRE(session.submit("abc", answer_of(20)).ok());
  CHECK(session.submit("d").error().code == Errc::busy);
  CHECK(session.submit_tokens({}).error().code == Errc::busy);
  CHECK(session.fork().error().code == Errc::busy);
  const std::int32_t ids[] = {1};
  CHECK(session.evaluate(ids, [](std::uint32_t, std::span<const float>) {}).error().code == Errc::busy);
  CHECK(session.generate("a", {}, [](const Token&) { return true; }).error().code == Errc::busy);
  CHECK(session.rewind(99).error().code == Errc::invalid_argument);
  CHECK(session.state() == SessionState::running);
  CHECK(tiny.engine.step(-1ns).error().code == Errc::invalid_argument);
  CHECK(session.stop().ok());
  CHECK(session.stop().ok());
  CHECK(session.finish_reason() == FinishReason::stopped);
}

TEST_CASE("sessions, and the KV cache, are as many as the options say") {
  EngineOptions options = test::small_options();
  options.max_sessions = 2;
  options.kv_tokens = 96;
  TinyEngine tiny(options);
  Session a = tiny.open(), b = tiny.open();
  CHECK(tiny.engine.open_session().error().code == Errc::context_full);
  CHECK(a.submit("abcd", answer_of(60)).ok());
  const Error full = b.submit("abcd", answer_of(60)).error();
  CHECK(full.code == Errc::context_full);
  CHECK(test::says(full, "kv_tokens"));
  CHECK(b.submit("abcd", answer_of(28)).ok());  // both fit to the last page
  while (a.state() == SessionState::running || b.state() == SessionState::running) REQUIRE(tiny.engine.step(1h).ok());
  CHECK(a.finish_reason() == FinishReason::length);
  CHECK(b.finish_reason() == FinishReason::length);
  b = Session();
  CHECK(tiny.engine.memory().sessions == 1);
  CHECK(tiny.engine.open_session().ok());
}

TEST_CASE("a context that is full ends a generation") {
  TinyEngine tiny;
  Session session = tiny.open();
  const auto said = test::say(session, "abc", answer_of(0));
  CHECK(session.size() == 256);
  CHECK(said.size() == 253);
  CHECK(session.finish_reason() == FinishReason::length);
  CHECK(session.submit("a").error().code == Errc::context_full);
  CHECK(session.submit_tokens({}).error().code == Errc::context_full);
  REQUIRE(session.rewind(10).ok());
  CHECK(session.submit("a", answer_of(2)).ok());
}

TEST_CASE("options of an engine and of a session out of their range are refused, and named") {
  const std::string bytes = test::tiny_model().bytes();
  const auto code = [&](auto change) {
    EngineOptions options = test::small_options();
    change(options);
    const auto engine = Engine::load(test::as_bytes(bytes), options);
    INFO(engine.error().message);
    CHECK(std::string(engine.error().message).size() > 5);
    return engine.error().code;
  };
  CHECK(code([](EngineOptions& o) { o.threads = 0; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.threads = 257; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.context = 0; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.context = (1u << 24) + 1; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.max_sessions = 0; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.max_sessions = 1025; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.max_rows = 0; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.max_rows = 4097; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.max_logits = o.max_rows + 1; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.kv_tokens = UINT64_MAX; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.kv_tokens = std::uint64_t{1} << 35; }) == Errc::out_of_memory);
  CHECK(code([](EngineOptions& o) { o.gate = 1.0f; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.gate = NAN; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.globals = 4; }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.activations = static_cast<Activations>(9); }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) {
          o.hooks.allocate = [](void*, std::size_t, std::size_t) -> void* { return nullptr; };
        }) == Errc::invalid_argument);
  CHECK(code([](EngineOptions& o) { o.backend = "abacus"; }) == Errc::not_found);
  CHECK(code([](EngineOptions& o) { o.pre_tokenizer = "klingon"; }) == Errc::unsupported);
  CHECK(code([](EngineOptions& o) { o.memory_limit = 1000; }) == Errc::out_of_memory);
  CHECK(Engine::load("/nonexistent/model.gguf").error().code == Errc::not_found);
  CHECK(Engine::plan("/nonexistent/model.gguf").error().code == Errc::not_found);
  CHECK_FALSE(Engine::load("/tmp").ok());
  CHECK_FALSE(Engine::load(std::span<const std::byte>()).ok());

  TinyEngine tiny;
  SessionOptions session;
  session.format = PromptFormat::chat;
  CHECK(tiny.engine.open_session(session).error().code == Errc::unsupported);
  session.format = static_cast<PromptFormat>(3);
  CHECK(tiny.engine.open_session(session).error().code == Errc::invalid_argument);
  session.format = PromptFormat::text;
  session.system = "You are the blacksmith.";
  CHECK(tiny.engine.open_session(session).error().code == Errc::invalid_argument);
  session.system = {};
  session.format = PromptFormat::automatic;
  session.system = "\xff";
  CHECK(tiny.engine.open_session(session).error().code == Errc::invalid_argument);
  session.system = {};
  const Message history[] = {{"user", "ok", {}, {}, {}, {}, {}}, {"user", "\xc3", {}, {}, {}, {}, {}}};
  session.history = history;
  CHECK(test::says(tiny.engine.open_session(session).error(), "message 1"));
  session.history = {};
  session.priority = 2000;
  CHECK(tiny.engine.open_session(session).error().code == Errc::invalid_argument);
}

TEST_CASE("ten megabytes, wherever a text goes, are refused or work") {
  const std::string huge(10'000'000, 'a');
  test::TinyShape shape;
  shape.chat_template = test::chatml;
  for (const std::size_t limit : {std::size_t{0}, std::size_t{8} << 20}) {
    EngineOptions options = test::small_options();
    options.memory_limit = limit;
    TinyEngine tiny(options, test::tiny_model(shape));
    Session chat = tiny.open(), text = tiny.open({.format = PromptFormat::text});
    for (Session* const session : {&chat, &text}) {
      const Error error = session->submit(huge, answer_of(1)).error();
      CHECK(error.code == Errc::context_full);
      CHECK(test::says(error, "10000000 bytes"));
    }
    const std::string_view stops[] = {huge};
    GenerateOptions generate = answer_of(1);
    generate.stop = stops;
    CHECK(chat.submit("a", generate).error().code == Errc::invalid_argument);
    std::vector<float> out(tiny.engine.model().dim);
    CHECK(tiny.engine.embed(huge, Pooling::mean, out).error().code == Errc::context_full);

    // What a session is opened with is kept; a prompt after it says that it is too much.
    const Message history[] = {{"user", huge, {}, {}, {}, {}, {}}, {"assistant", "ok", {}, {}, {}, {}, {}}};
    const std::string json = "[\"" + huge + "\"]", object = "{\"a\": \"" + huge + "\"}";
    SessionOptions sessions[4];
    sessions[0].system = huge;
    sessions[1].history = history;
    sessions[2].tools_json = json;
    sessions[3].template_json = object;
    for (std::size_t i = 0; i < 4; ++i) {
      CAPTURE(limit, i);
      auto opened = tiny.engine.open_session(sessions[i]);
      if (limit != 0) {
        CHECK(opened.error().code == Errc::out_of_memory);
        continue;
      }
      REQUIRE(opened.ok());
      const Error error = opened->submit("a", answer_of(1)).error();
      CHECK(std::string(error.message).size() < 256);
      if (i < 2) CHECK(error.code == Errc::context_full);
      if (i >= 2) CHECK((error.code == Errc::ok || error.code == Errc::template_error));
    }
    CHECK(test::say(text, "the", answer_of(3)).size() == 3);
    CHECK(tiny.engine.memory().sessions == 2);
  }
}

TEST_CASE("a host that was told to stop by its own callback gets what there is") {
  TinyEngine tiny;
  Session session = tiny.open();
  int count = 0;
  const auto reason = session.generate("abc", answer_of(50), [&](const Token&) { return ++count < 5; });
  REQUIRE(reason.ok());
  CHECK(*reason == FinishReason::stopped);
  CHECK(count == 5);
  CHECK(session.size() == 8);
}

namespace {

int calls = 0;
bool three_tokens(const Token&) { return ++calls < 3; }
void count_logits(std::uint32_t, std::span<const float>) { ++calls; }

}  // namespace

TEST_CASE("a callback may be a plain function or a pointer to one") {
  TinyEngine tiny;
  Session session = tiny.open();
  calls = 0;
  REQUIRE(session.generate("abc", answer_of(50), three_tokens).ok());
  CHECK(calls == 3);
  calls = 0;
  REQUIRE(session.generate("abc", answer_of(50), &three_tokens).ok());
  CHECK(calls == 3);
  calls = 0;
  const std::int32_t tokens[] = {1, 2, 3, 4};
  REQUIRE(session.evaluate(tokens, count_logits).ok());
  CHECK(calls == 4);
}

TEST_CASE("what a session gave out may be handed back to it") {
  TinyEngine tiny;
  Session session = tiny.open();
  const std::uint64_t free = tiny.engine.memory().kv_tokens_free;
  test::say(session, "the other", answer_of(5));
  CHECK(tiny.engine.memory().kv_tokens_free < free);
  const std::vector<std::int32_t> before(session.history().begin(), session.history().end());
  REQUIRE(session.submit_tokens(session.history(), answer_of(2)));
  while (session.state() == SessionState::running) REQUIRE(tiny.engine.step(1s));
  REQUIRE(session.size() == 2 * before.size() + 2);
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(session.history()[i] == before[i]);
    CHECK(session.history()[before.size() + i] == before[i]);
  }
  // The last token's text, with a stop text long enough for the buffers behind it to move.
  const std::string stop(4000, 'x');
  const std::string_view stops[] = {stop};
  GenerateOptions options = answer_of(2);
  options.stop = stops;
  CHECK(session.submit(session.tokens().back().text, options).ok());
  REQUIRE(session.reset());
  CHECK(tiny.engine.memory().kv_tokens_free == free);

  test::TinyShape shape;
  shape.chat_template = test::chatml;
  TinyEngine talker(test::small_options(), test::tiny_model(shape));
  Session chat = talker.open();
  test::say(chat, "hello", answer_of(4));
  CHECK(chat.submit(chat.tokens().back().text, options).ok());
}

TEST_CASE("stop texts that cannot be are refused before anything is touched") {
  TinyEngine tiny;
  Session session = tiny.open();
  test::say(session, "the", answer_of(3));
  const std::string last(session.tokens().back().text);
  const std::string too_long(5000, 'x');
  for (const std::string_view stop : {std::string_view(too_long), std::string_view("\xff"), std::string_view()}) {
    GenerateOptions options = answer_of(2);
    options.stop = std::span(&stop, 1);
    CHECK(session.submit("more", options).error().code == Errc::invalid_argument);
    REQUIRE(session.tokens().size() == 1);
    CHECK(session.tokens().back().text == last);
  }
}

TEST_CASE("an empty model in memory, and an embedding of what is no text, are errors") {
  CHECK(Engine::load(std::span<const std::byte>()).error().code == Errc::bad_format);
  TinyEngine tiny;
  std::vector<float> out(tiny.engine.model().dim);
  CHECK(tiny.engine.embed("a\xff", Pooling::mean, out).error().code == Errc::invalid_argument);
  CHECK(tiny.engine.embed("a", static_cast<Pooling>(2), out).error().code == Errc::invalid_argument);
}

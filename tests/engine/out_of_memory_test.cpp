// No allocation that fails loses anything but the call that needed it.
#include <array>
#include <utility>

#include "tests/counting.hpp"
#include "tests/engine/model_files.hpp"

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;
using test::CountingHeap;

namespace {

/// Runs `body`, which returns an Error, with ever later failures until it succeeds; returns how many failed.
template <class Body>
long fail_each(CountingHeap& heap, const Engine& engine, Body&& body) {
  const std::size_t elsewhere = engine.memory().allocated - heap.used;  // a GPU's memory, which is no host's
  const auto backend = ops::find_backend(engine.backend());
  REQUIRE(backend.ok());
  REQUIRE((elsewhere > 0) == (*backend)->gpu);
  for (long failed = 0;; ++failed) {
    REQUIRE(failed < 5000);
    const std::size_t used = heap.used;
    heap.countdown = failed;
    const Error error = body();
    heap.countdown = -1;
    if (error.code == Errc::ok) return failed;
    INFO("allocation " << failed << ": " << error.message);
    CHECK(error.code == Errc::out_of_memory);
    CHECK(engine.memory().allocated == heap.used + elsewhere);
    CHECK(heap.used < used + 65536);
  }
}

/// Ids that every model of the tests has.
std::vector<std::int32_t> some_ids(std::size_t n) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < n; ++i) ids.push_back(static_cast<std::int32_t>(i * 7 % 90));
  return ids;
}

/// An engine of three sessions, of which one goes on through all that fails for the others.
struct Crowd {
  explicit Crowd(const test::Variant& variant) {
    EngineOptions options = variant.options;
    options.max_sessions = 3;
    options.context = 1024;
    options.hooks = heap.hooks();
    auto loaded = Engine::load(test::as_bytes(variant.bytes), options);
    REQUIRE(loaded.ok());
    engine = std::move(*loaded);
    steady = open();
    expected = test::say(steady, "Who goes there?", answer_of(20));
    REQUIRE(steady.reset().ok());
  }
  Session open(const SessionOptions& options = {}) {
    auto session = engine.open_session(options);
    REQUIRE(session.ok());
    return std::move(*session);
  }
  void run(const Session& session) {
    while (session.state() == SessionState::running) REQUIRE(engine.step(1h).ok());
  }
  void check_steady() {
    CHECK(test::say(steady, "Who goes there?", answer_of(20)) == expected);
    REQUIRE(steady.reset().ok());
  }
  template <class Body>
  long fail_each(Body&& body) {
    return ::fail_each(heap, engine, body);
  }

  CountingHeap heap;
  Engine engine;
  Session steady;
  std::vector<std::int32_t> expected;
};

}  // namespace

TEST_CASE("any allocation of a load may fail: out_of_memory, and nothing is lost") {
  for (const test::Variant& variant : test::variants()) {
    for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
      CAPTURE(variant.name, static_cast<int>(access));
      const test::TemporaryFile file(variant.bytes);
      CountingHeap heap;
      EngineOptions options = variant.options;
      options.file_access = access;
      options.hooks = heap.hooks();
      long failed = 0;
      for (;; ++failed) {
        REQUIRE(failed < 5000);
        heap.countdown = failed;
        const auto engine = Engine::load(file.path(), options);
        heap.countdown = -1;
        if (engine.ok()) break;
        INFO("allocation " << failed << ": " << engine.error().message);
        CHECK(engine.error().code == Errc::out_of_memory);
        CHECK(heap.used == 0);
      }
      CHECK(failed > 20);
      CHECK(heap.used == 0);
    }
  }
}

TEST_CASE("any allocation of a session's calls may fail, and everything goes on as before") {
  for (const test::Variant& variant : test::variants()) {
    CAPTURE(variant.name);
    Crowd crowd(variant);
    SessionOptions session_options;
    session_options.system = "You are the blacksmith of a village that lies at the foot of a mountain.";
    const Message history[] = {{"user", "Is the sword ready?", {}, {}, {}, {}, {}},
                               {"assistant", "It wants sharpening.", {}, {}, {}, {}, {}}};
    session_options.history = history;
    session_options.template_json = "{\"place\": \"village\"}";
    GenerateOptions generate = answer_of(10);
    const std::string_view stops[] = {"a stop text that is longer than others are"};
    const sample::LogitBias bias[] = {{5, 1.0f}, {6, -2.0f}};
    generate.stop = stops;
    generate.sampling.bias = bias;
    generate.sampling.dry_multiplier = 0.5f;

    Session session, fork;
    CHECK(crowd.fail_each([&] {
      auto opened = crowd.engine.open_session(session_options);
      if (opened) session = std::move(*opened);
      return opened.error();
    }) > 3);
    crowd.check_steady();
    CHECK(crowd.fail_each([&] {
      const Error error = session.submit("And the shield?", generate).error();
      if (error) CHECK(session.size() == 0);
      return error;
    }) > 0);
    crowd.run(session);
    const std::uint32_t size = session.size();
    CHECK(size > 50);

    // Beyond the room that was taken in advance: of the prompt, of the stop texts and of the sampler's lists.
    const std::string long_prompt(500, 'x'), long_stop(3000, 's');
    const std::string_view long_stops[] = {long_stop};
    const std::vector<sample::LogitBias> more(80, sample::LogitBias{7, 0.5f});
    generate.stop = long_stops;
    generate.sampling.bias = more;
    CHECK(crowd.fail_each([&] {
      const Error error = session.submit(long_prompt, generate).error();
      if (error) CHECK(session.size() == size);
      return error;
    }) > 0);
    REQUIRE(session.stop().ok());

    const std::uint32_t sessions = crowd.engine.memory().sessions;
    const std::uint64_t free = crowd.engine.memory().kv_tokens_free;
    CHECK(crowd.fail_each([&] {
      auto forked = session.fork();
      if (forked) fork = std::move(*forked);
      if (!forked) CHECK(crowd.engine.memory().sessions == sessions);
      if (!forked) CHECK(crowd.engine.memory().kv_tokens_free == free);
      return forked.error();
    }) > 3);
    CHECK(std::equal(fork.history().begin(), fork.history().end(), session.history().begin(), session.history().end()));
    crowd.check_steady();
    session = Session();
    fork = Session();
    crowd.steady = Session();
    crowd.engine = Engine();
    CHECK(crowd.heap.used == 0);
  }
}

TEST_CASE("any allocation of an embedding, of tokens and of an evaluation may fail") {
  for (const test::Variant& variant : test::variants()) {
    CAPTURE(variant.name);
    Crowd crowd(variant);
    std::vector<float> state(crowd.engine.model().dim), again(state.size());
    const std::string text(300, 'x');
    REQUIRE(crowd.engine.embed(text, Pooling::mean, state).ok());
    const std::uint64_t free = crowd.engine.memory().kv_tokens_free;
    CHECK(crowd.fail_each([&] {
      const Error error = crowd.engine.embed(text, Pooling::mean, again).error();
      CHECK(crowd.engine.memory().sessions == 1);
      CHECK(crowd.engine.memory().kv_tokens_free == free);
      return error;
    }) > 3);
    CHECK(again == state);

    Session session = crowd.open({.format = PromptFormat::text});
    const auto ids = some_ids(100);
    GenerateOptions generate = answer_of(4);
    const std::string long_stop(2000, 's');
    const std::string_view stops[] = {long_stop};
    generate.stop = stops;
    CHECK(crowd.fail_each([&] {
      const Error error = session.submit_tokens(ids, generate).error();
      if (error) CHECK(session.size() == 0);
      return error;
    }) > 0);
    crowd.run(session);
    CHECK(session.size() == 104);
    std::size_t rows = 0;
    CHECK(crowd.fail_each([&] {
      return session.evaluate(ids, [&](std::uint32_t, std::span<const float>) { ++rows; }).error();
    }) == 0);  // it takes nothing
    CHECK(rows == 100);
    crowd.check_steady();
  }
}

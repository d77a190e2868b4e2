// What does a thread meet that comes in while another is inside?
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "tests/engine/tiny_engine.hpp"

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;
using test::TinyEngine;

TEST_CASE("a second thread is turned away from everything but stop(), and changes nothing") {
  struct Host {
    std::function<void()> visit;  ///< made once, by another thread, while the engine asks for the time
  } host;
  EngineOptions options = test::small_options();
  options.hooks.user = &host;
  options.hooks.clock = [](void* user) -> std::uint64_t {
    if (const auto visit = std::exchange(static_cast<Host*>(user)->visit, {})) std::thread(visit).join();
    return 1;
  };
  TinyEngine tiny(options);
  Session session = tiny.open(), other = tiny.open(), closing = tiny.open();
  test::say(other, "the", answer_of(3));
  REQUIRE_FALSE(other.tokens().empty());
  REQUIRE(session.submit("abc", answer_of(50)).ok());
  REQUIRE(tiny.engine.step(1h).ok());
  std::vector<Errc> turned_away;
  Status stopped;
  bool seen = true;
  host.visit = [&] {
    const std::int32_t ids[] = {1};
    std::vector<float> out(tiny.engine.model().dim);
    const auto none = [](std::uint32_t, std::span<const float>) {};
    turned_away = {other.submit("x").error().code,
                   other.submit_tokens(ids).error().code,
                   other.rewind(0).error().code,
                   other.reset().error().code,
                   other.fork().error().code,
                   other.evaluate(ids, none).error().code,
                   other.generate("x", {}, [](const Token&) { return true; }).error().code,
                   tiny.engine.step(1ms).error().code,
                   tiny.engine.open_session().error().code,
                   tiny.engine.embed("x", Pooling::mean, out).error().code};
    seen = !other.tokens().empty() || other.size() != 4 || tiny.engine.memory().sessions != 3;
    stopped = session.stop();
    closing = Session();
  };
  REQUIRE(tiny.engine.step(1h).ok());
  CHECK(turned_away == std::vector<Errc>(10, Errc::busy));
  CHECK_FALSE(seen);
  CHECK(stopped.ok());
  CHECK(session.state() == SessionState::idle);
  CHECK(session.finish_reason() == FinishReason::stopped);
  CHECK(other.state() == SessionState::idle);
  CHECK(other.size() == 4);
  CHECK(tiny.engine.memory().sessions == 2);
  CHECK(other.submit("x", answer_of(1)).ok());

  // From within a callback of the thread that is inside, too.
  const std::int32_t ids[] = {1, 2};
  std::vector<Errc> within;
  CHECK(session
            .evaluate(ids,
                      [&](std::uint32_t, std::span<const float>) {
                        within.push_back(session.submit("x").error().code);
                        within.push_back(tiny.engine.step(1ms).error().code);
                      })
            .ok());
  CHECK(within == std::vector<Errc>(4, Errc::busy));
}

TEST_CASE("another thread may stop a generation at any time") {
  TinyEngine tiny;
  Session session = tiny.open(), other = tiny.open();
  REQUIRE(session.submit("abc", answer_of(250)).ok());
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread second([&] {
    for (int i = 0; i < 2000; ++i) {
      const Status status = other.submit("x", answer_of(1));
      if (!status && status.error().code == Errc::context_full)
        (void)other.reset();
      else if (!status && status.error().code != Errc::busy)
        ++wrong;
      if (!other.stop() || !session.stop()) ++wrong;
    }
    done = true;
  });
  while (!done.load()) {
    const auto report = tiny.engine.step(1ms);
    CHECK((report.ok() || report.error().code == Errc::busy));
    if (session.state() == SessionState::idle) (void)session.submit_tokens({}, answer_of(20));
    if (session.size() > 200) (void)session.rewind(3);
    std::this_thread::yield();
  }
  second.join();
  CHECK(wrong == 0);
  while (session.state() == SessionState::running) REQUIRE(tiny.engine.step(1h).ok());
  CHECK(session.state() == SessionState::idle);
  REQUIRE(session.reset());
  CHECK(test::say(session, "abc", answer_of(10)).size() == 10);
}

#include <kinglet/session.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tests/engine/tiny_engine.hpp"

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;
using test::TinyEngine;

namespace {

constexpr const char* prompts[8] = {"a",
                                    "Is the sword ready?",
                                    "the the the the the the the the the the the the the the the",
                                    "Once upon a time there was a small bird that ate flies.",
                                    "0123456789",
                                    "\xc3\xa9t\xc3\xa9, \xe2\x82\xac 12",
                                    "What do you see from the top of the tower, watchman? Speak!",
                                    "?!"};

/// What each prompt alone, in a fresh engine, is answered with.
std::vector<std::vector<std::int32_t>> alone(const EngineOptions& options, std::uint32_t tokens) {
  std::vector<std::vector<std::int32_t>> all;
  TinyEngine tiny(options);
  for (const char* const prompt : prompts) {
    Session session = tiny.open();
    all.push_back(test::say(session, prompt, answer_of(tokens)));
  }
  return all;
}

}  // namespace

TEST_CASE("eight sessions in one engine say what each says alone, whatever the rows, the threads and the budget") {
  const auto expected = alone(test::small_options(), 40);
  struct Setting {
    std::uint32_t rows;
    unsigned threads;
    std::chrono::nanoseconds budget;
    std::uint32_t logits;
  };
  for (const Setting& setting : {Setting{256, 1, 1h, 0}, Setting{7, 1, 1h, 0}, Setting{33, 3, 1h, 3},
                                 Setting{16, 2, 0ns, 0}, Setting{1, 1, 20us, 1}}) {
    EngineOptions options = test::small_options();
    options.max_sessions = 8;
    options.max_rows = setting.rows;
    options.threads = setting.threads;
    options.max_logits = setting.logits;
    TinyEngine tiny(options);
    std::vector<Session> sessions;
    std::vector<std::vector<std::int32_t>> said(8);
    for (std::size_t i = 0; i < 8; ++i) {
      sessions.push_back(tiny.open());
      REQUIRE(sessions[i].submit(prompts[i], answer_of(40)).ok());
    }
    for (bool running = true; running;) {
      const auto report = tiny.engine.step(setting.budget);
      REQUIRE(report.ok());
      CHECK(report->pieces > 0);
      CHECK(report->rows <= setting.rows);
      running = false;
      for (std::size_t i = 0; i < 8; ++i) {
        for (const Token& token : sessions[i].tokens()) said[i].push_back(token.id);
        running = running || sessions[i].state() == SessionState::running;
      }
    }
    for (std::size_t i = 0; i < 8; ++i) {
      INFO(setting.rows << " rows, " << setting.threads << " threads, prompt " << i);
      CHECK(said[i] == expected[i]);
    }
  }
}

TEST_CASE("a step without time runs one piece, and says how far it went over") {
  TinyEngine tiny;
  Session session = tiny.open();
  REQUIRE(session.submit("Is the sword ready?", answer_of(2)).ok());
  std::uint32_t steps = 0;
  while (session.state() == SessionState::running) {
    const auto report = tiny.engine.step(0ns);
    REQUIRE(report.ok());
    CHECK(report->pieces == 1);
    CHECK(report->rows > 0);
    CHECK(report->overrun == report->spent);
    CHECK(report->committed == !session.tokens().empty());
    ++steps;
  }
  CHECK(steps > 20);
  CHECK(tiny.engine.step(0ns)->pieces == 0);
}

TEST_CASE("a budget is kept by the host's own clock") {
  EngineOptions options = test::small_options();
  struct Clock {
    std::uint64_t now = 1000;
  } clock;
  options.hooks.user = &clock;
  options.hooks.clock = [](void* user) { return static_cast<Clock*>(user)->now += 1000; };  // 1 us a look
  TinyEngine tiny(options);
  Session session = tiny.open();
  REQUIRE(session.submit("Is the sword ready?", answer_of(20)).ok());
  while (session.state() == SessionState::running) {
    const auto report = tiny.engine.step(10us);
    REQUIRE(report.ok());
    CHECK(report->spent <= 13us);
  }
}

TEST_CASE("a fork goes on as its parent would, and neither disturbs the other") {
  EngineOptions options = test::small_options();
  options.max_sessions = 3;
  TinyEngine tiny(options);
  const auto submit_and_say = [](Session& session, const char* prompt) {
    return test::say(session, prompt, answer_of(30));
  };
  Session plain = tiny.open();
  (void)submit_and_say(plain, "It was a dark");
  const auto expected_a = submit_and_say(plain, " and stormy night");
  REQUIRE(plain.reset().ok());
  (void)submit_and_say(plain, "It was a dark");
  const auto expected_b = submit_and_say(plain, " room in a tower");

  Session parent = tiny.open();
  (void)submit_and_say(parent, "It was a dark");
  const std::uint64_t before = tiny.engine.memory().kv_tokens_free;
  auto fork = parent.fork();
  REQUIRE(fork.ok());
  CHECK(tiny.engine.memory().kv_tokens_free == before);  // the pages are shared
  CHECK(fork->state() == SessionState::idle);
  CHECK(std::vector<std::int32_t>(fork->history().begin(), fork->history().end()) ==
        std::vector<std::int32_t>(parent.history().begin(), parent.history().end()));
  // At the same time, in the same plans.
  std::vector<std::int32_t> said_a, said_b;
  REQUIRE(parent.submit(" and stormy night", answer_of(30)).ok());
  REQUIRE(fork->submit(" room in a tower", answer_of(30)).ok());
  while (parent.state() == SessionState::running || fork->state() == SessionState::running) {
    REQUIRE(tiny.engine.step(50us).ok());
    for (const Token& token : parent.tokens()) said_a.push_back(token.id);
    for (const Token& token : fork->tokens()) said_b.push_back(token.id);
  }
  CHECK(said_a == expected_a);
  CHECK(said_b == expected_b);
}

TEST_CASE("a rewound session says again what it said") {
  TinyEngine tiny;
  Session session = tiny.open();
  const auto first = test::say(session, "The king", answer_of(20));
  const std::uint32_t size = session.size();
  const auto second = test::say(session, " said", answer_of(25));
  for (const std::uint32_t to : {size, size - 1}) {
    REQUIRE(session.rewind(to).ok());
    CHECK(session.size() == to);
    if (to == size) {
      CHECK(test::say(session, " said", answer_of(25)) == second);
    }
  }
  REQUIRE(session.rewind(static_cast<std::uint32_t>(std::string("The king").size())).ok());
  REQUIRE(session.submit_tokens({}, answer_of(20)).ok());  // goes on with the history as it is
  std::vector<std::int32_t> again;
  while (session.state() == SessionState::running) {
    REQUIRE(tiny.engine.step(1h).ok());
    for (const Token& token : session.tokens()) again.push_back(token.id);
  }
  CHECK(again == first);
  REQUIRE(session.rewind(0).ok());
  CHECK(session.history().empty());
  CHECK(tiny.engine.memory().kv_tokens_free == tiny.engine.memory().kv_tokens);
  CHECK(test::say(session, "The king", answer_of(20)) == first);
}

TEST_CASE("generation ends before a stop text, wherever the tokens cut it") {
  TinyEngine tiny;
  Session session = tiny.open();
  std::string whole;
  (void)test::say(session, "The king", answer_of(60), &whole);
  REQUIRE(whole.size() > 30);
  // The first whole characters from the middle on; what comes before their first appearance must come out.
  std::size_t at = 10;
  while ((static_cast<unsigned char>(whole[at]) & 0xc0) == 0x80) ++at;
  std::size_t end = at + 6;
  while ((static_cast<unsigned char>(whole[end]) & 0xc0) == 0x80) ++end;
  const std::string stop = whole.substr(at, end - at);
  const std::string_view stops[] = {"never to be seen, surely", stop};
  GenerateOptions options = answer_of(60);
  options.stop = stops;
  REQUIRE(session.reset().ok());
  std::string text;
  (void)test::say(session, "The king", options, &text);
  CHECK(session.finish_reason() == FinishReason::stop_string);
  CHECK(text == whole.substr(0, whole.find(stop)));
  // A stop text that begins but never ends holds nothing back for good.
  const std::string half = stop + "\x01";
  const std::string_view halves[] = {half};
  options.stop = halves;
  REQUIRE(session.reset().ok());
  text.clear();
  (void)test::say(session, "The king", options, &text);
  CHECK(session.finish_reason() == FinishReason::length);
  CHECK(text == whole);
}

TEST_CASE("what is stopped, rewound, reset or closed in the middle of a step leaves the others as they were") {
  EngineOptions options = test::small_options();
  options.context = 4096;
  options.max_sessions = 2;
  const auto expected = [&] {
    TinyEngine tiny(options);
    Session session = tiny.open();
    return test::say(session, prompts[3], answer_of(30));
  }();
  for (int way = 0; way < 5; ++way) {
    TinyEngine tiny(options);
    Session steady = tiny.open();
    Session other = tiny.open();
    REQUIRE(steady.submit(prompts[3], answer_of(30)).ok());
    std::vector<std::int32_t> said;
    for (std::uint32_t step = 0; steady.state() == SessionState::running; ++step) {
      if (step % 37 == 5) {  // in the middle of plans, at ever other places
        if (other.state() == SessionState::idle) {
          REQUIRE(other.submit(prompts[step % 8], answer_of(30)).ok());
        } else {
          const std::uint32_t size = other.size();
          if (way == 0) CHECK(other.stop().ok());
          if (way == 1) CHECK(other.rewind(size / 2).ok());
          if (way == 2) CHECK(other.reset().ok());
          if (way == 3) other = Session();
          if (way == 4) CHECK(other.stop().ok());
          if (way == 4) CHECK(other.fork().error().code == Errc::context_full);
          if (way == 3) {
            other = tiny.open();  // takes the closed one's place at once
          } else {
            CHECK(other.state() == SessionState::idle);
            CHECK(other.finish_reason() == (way == 2 ? FinishReason::none : FinishReason::stopped));
          }
        }
      }
      REQUIRE(tiny.engine.step(0ns).ok());
      for (const Token& token : steady.tokens()) said.push_back(token.id);
    }
    INFO("way " << way);
    CHECK(said == expected);
    REQUIRE(other.reset().ok());
    REQUIRE(steady.reset().ok());
    CHECK(test::say(other, prompts[3], answer_of(30)) == expected);
  }
}

TEST_CASE("evaluate hands out the logits that generation chooses from") {
  TinyEngine tiny;
  Session session = tiny.open();
  const auto said = test::say(session, "The king", answer_of(40));
  const std::vector<std::int32_t> history(session.history().begin(), session.history().end());
  REQUIRE(session.reset().ok());
  std::vector<std::int32_t> best;
  REQUIRE(session
              .evaluate(history,
                        [&](std::uint32_t index, std::span<const float> logits) {
                          CHECK(index == best.size());
                          CHECK(logits.size() == 260);
                          best.push_back(static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) -
                                                                   logits.begin()));
                        })
              .ok());
  REQUIRE(best.size() == history.size());
  for (std::size_t i = 0; i < said.size(); ++i) CHECK(best[history.size() - said.size() - 1 + i] == said[i]);
  CHECK(session.size() == history.size());
  // The history goes on from there.
  const auto more = test::say(session, " and", answer_of(5));
  CHECK(more.size() == 5);
}

TEST_CASE("an embedding is the mean of the states, or the last") {
  TinyEngine tiny;
  const std::size_t dim = tiny.engine.model().dim;
  std::vector<float> one(dim), two(dim), mean(dim), last(dim);
  REQUIRE(tiny.engine.embed("x", Pooling::last, one).ok());
  REQUIRE(tiny.engine.embed("xy", Pooling::last, two).ok());
  REQUIRE(tiny.engine.embed("xy", Pooling::mean, mean).ok());
  for (std::size_t i = 0; i < dim; ++i) CHECK(mean[i] == Approx((one[i] + two[i]) / 2).margin(1e-6));
  std::string text(201, 'x');  // more than a chunk
  REQUIRE(tiny.engine.embed(text, Pooling::last, last).ok());
  CHECK(std::isfinite(last[0]));
  CHECK(tiny.engine.memory().sessions == 0);
  CHECK(tiny.engine.embed("x", Pooling::last, std::span(one).first(3)).error().code == Errc::invalid_argument);
  CHECK(tiny.engine.embed("", Pooling::last, one).error().code == Errc::invalid_argument);
  CHECK(tiny.engine.embed("\xff", Pooling::last, one).error().code == Errc::invalid_argument);
  CHECK(tiny.engine.embed(std::string(300, 'x'), Pooling::last, one).error().code == Errc::context_full);
}

TEST_CASE("every backend of this machine, forced by option or environment, says the same in every setting") {
  struct Setting {
    Activations activations;
    KvFormat kv;
    std::uint32_t window, globals;
    float gate;
  };
  for (const Setting& setting :
       {Setting{Activations::int8, KvFormat::fp16, 0, 0, 0.0f}, Setting{Activations::fp32, KvFormat::fp32, 0, 0, 0.25f},
        Setting{Activations::fp8, KvFormat::fp16, 24, 3, 0.1f}}) {
    std::vector<std::int32_t> expected;
    for (const ops::BackendInfo& backend : ops::backends()) {
      if (!backend.available()) continue;
      for (const std::uint32_t rows : {7u, 256u}) {
        EngineOptions options = test::small_options();
        options.backend = backend.name;
        options.max_rows = rows;
        options.activations = setting.activations;
        options.kv = setting.kv;
        options.window = setting.window;
        options.globals = setting.globals;
        options.gate = setting.gate;
        TinyEngine tiny(options);
        CHECK(std::string(tiny.engine.backend()) == backend.name);
        Session session = tiny.open();
        const auto said = test::say(session, prompts[6], answer_of(40));
        if (expected.empty()) expected = said;
        CHECK(said == expected);
      }
    }
  }
  const char* const before = std::getenv("KINGLET_BACKEND");
  const std::string kept = before != nullptr ? before : "";
  REQUIRE(setenv("KINGLET_BACKEND", "scalar", 1) == 0);
  TinyEngine forced;
  CHECK(std::string(forced.engine.backend()) == "scalar");
  REQUIRE(setenv("KINGLET_BACKEND", "abacus", 1) == 0);
  CHECK(Engine::load(test::as_bytes(forced.bytes)).error().code == Errc::not_found);
  REQUIRE((before != nullptr ? setenv("KINGLET_BACKEND", kept.c_str(), 1) : unsetenv("KINGLET_BACKEND")) == 0);
}

TEST_CASE("the host hears of a context beyond the trained one") {
  EngineOptions options = test::small_options();
  options.context = 600;
  std::string heard;
  options.hooks.user = &heard;
  options.hooks.log = [](void* user, LogLevel level, const char* line) {
    if (level == LogLevel::warning) *static_cast<std::string*>(user) += line;
  };
  TinyEngine tiny(options);
  CHECK(heard.find("600") != std::string::npos);
  CHECK(heard.find("512") != std::string::npos);
  CHECK(heard.find('\n') == std::string::npos);
}

TEST_CASE("who has priority is served first") {
  EngineOptions options = test::small_options();
  options.max_rows = 1;
  TinyEngine tiny(options);
  SessionOptions urgent;
  urgent.priority = 1000;
  Session a = tiny.open(), b = tiny.open(urgent);
  REQUIRE(a.submit("abc", answer_of(10)).ok());
  REQUIRE(b.submit("abc", answer_of(10)).ok());
  while (b.state() == SessionState::running) REQUIRE(tiny.engine.step(1h).ok());
  CHECK(a.state() == SessionState::running);
}

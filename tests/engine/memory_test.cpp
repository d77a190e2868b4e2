// Every byte is counted, planned and given back; no allocation that fails loses anything.
#include <filesystem>
#include <thread>
#include <utility>

#include "tests/counting.hpp"
#include "tests/data.hpp"
#include "tests/engine/tiny_engine.hpp"
#include "tests/sanitized.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;
using test::CountingHeap;
using test::TinyEngine;

std::atomic<std::size_t> global_allocations{0};

#ifndef KINGLET_TEST_SANITIZED  // else only what comes through the hooks is counted
void* operator new(std::size_t bytes) {
  ++global_allocations;
  if (void* const memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++global_allocations;
  return std::malloc(bytes != 0 ? bytes : 1);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace {

test::GgufBytes chat_model() {
  test::TinyShape shape;
  shape.chat_template = test::chatml;
  return test::tiny_model(shape);
}

/// Opens all sessions and lets them generate side by side to the end of their context.
void use_all(Engine& engine, std::uint32_t sessions) {
  std::vector<Session> open;
  for (std::uint32_t i = 0; i < sessions; ++i) {
    auto session = engine.open_session();
    INFO(session.error().message);
    REQUIRE(session.ok());
    open.push_back(std::move(*session));
  }
  for (int turn = 0; turn < 2; ++turn) {
    for (Session& session : open) {
      const Status status = session.submit("What do you see from the tower?", answer_of(10));
      INFO(status.error().message);
      REQUIRE(status.ok());
    }
    for (bool running = true; running;) {
      REQUIRE(engine.step(1h).ok());
      running = false;
      for (Session& session : open) running = running || session.state() == SessionState::running;
    }
    for (Session& session : open) CHECK(session.finish_reason() == FinishReason::length);
  }
}

}  // namespace

TEST_CASE("the plan is the least memory limit that works, to the byte") {
  for (const bool chat : {false, true}) {
    const test::TemporaryFile file(chat ? chat_model().bytes() : test::tiny_model().bytes());
    for (const std::uint32_t sessions : {1u, 3u}) {
      for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
        for (const float gate : {0.0f, 0.25f}) {
          EngineOptions options = test::small_options();
          options.max_sessions = sessions;
          options.file_access = access;
          options.gate = gate;
          options.threads = sessions;
          options.urgent_rows = sessions == 3 ? 5 : 0;
          CountingHeap heap;
          options.hooks = heap.hooks();
          const auto plan = Engine::plan(file.path(), options);
          INFO(plan.error().message);
          REQUIRE(plan.ok());
          CHECK(heap.used == 0);
          CHECK(plan->total ==
                plan->weights + plan->vocabulary + plan->kv_cache + plan->activations + plan->sessions + plan->engine);
          CHECK(plan->weights >= std::filesystem::file_size(file.path()));
          CHECK(plan->kv_cache == std::size_t{sessions} * 256 * 2 * 2 * 2 * 8 * 2);

          heap.peak = 0;
          options.memory_limit = plan->total;
          {
            auto engine = Engine::load(file.path(), options);
            INFO(engine.error().message);
            REQUIRE(engine.ok());
            use_all(*engine, sessions);
            const MemoryUse use = engine->memory();
            CHECK(use.mapped == (access == FileAccess::map ? std::filesystem::file_size(file.path()) : 0));
            CHECK(use.allocated == heap.used);
            CHECK(use.limit == plan->total);
            CHECK(use.peak <= plan->total);
            CHECK(use.mapped + heap.peak <= plan->total);
            CHECK(static_cast<double>(use.mapped + heap.peak) >= 0.99 * static_cast<double>(plan->total));
          }
          CHECK(heap.used == 0);
          options.memory_limit = plan->total - 1;
          CHECK(Engine::load(file.path(), options).error().code == Errc::out_of_memory);
          CHECK(heap.used == 0);
        }
      }
    }
  }
}

TEST_CASE("step, tokens, stop and rewind allocate nothing") {
  CountingHeap heap;
  EngineOptions options = test::small_options();
  options.hooks = heap.hooks();
  options.threads = 2;
  TinyEngine tiny(options, chat_model());
  Session a = tiny.open(), b = tiny.open();
  SessionOptions text;
  text.format = PromptFormat::text;
  Session c = tiny.open(text);
  GenerateOptions generate = answer_of(30);
  const std::string_view stops[] = {"qq", "the end"};
  generate.stop = stops;
  generate.sampling.temperature = 0.8f;
  generate.sampling.top_k = 40;
  generate.sampling.top_p = 0.9f;
  generate.sampling.repetition_penalty = 1.1f;
  generate.sampling.dry_multiplier = 0.8f;
  generate.sampling.logprobs = 5;
  for (int turn = 0; turn < 2; ++turn) {
    REQUIRE(a.submit("Who goes there?", generate).ok());
    REQUIRE(b.submit("Nobody.", answer_of(20)).ok());
    REQUIRE(c.submit("Once upon a time", answer_of(20)).ok());
    auto fork_like = b.size();
    const std::size_t calls = heap.calls, global = global_allocations;
    std::size_t tokens = 0;
    bool ok = true;
    for (int step = 0; step < 60; ++step) {
      ok = ok && tiny.engine.step(step % 3 == 0 ? 0ns : 100us).ok();
      tokens += a.tokens().size() + b.tokens().size() + c.tokens().size();
      if (step == 10) ok = ok && c.stop().ok();
      if (step == 20) ok = ok && c.rewind(5).ok();
    }
    while (a.state() == SessionState::running || b.state() == SessionState::running) {
      ok = ok && tiny.engine.step(1h).ok();
      tokens += a.tokens().size();
    }
    ok = ok && b.rewind(fork_like).ok() && c.reset().ok();
    CHECK(heap.calls == calls);
    CHECK(global_allocations == global);
    CHECK(ok);
    CHECK(tokens > 20);
    CHECK(a.finish_reason() != FinishReason::failed);
  }
}

TEST_CASE("any allocation of a load may fail: out_of_memory, and nothing is lost") {
  const test::TemporaryFile file(chat_model().bytes());
  EngineOptions options = test::small_options();
  options.gate = 0.25f;
  CountingHeap heap;
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

TEST_CASE("any allocation of a session's calls may fail, and everything goes on as before") {
  CountingHeap heap;
  EngineOptions options = test::small_options();
  options.max_sessions = 3;
  options.context = 1024;
  options.hooks = heap.hooks();
  TinyEngine tiny(options, chat_model());
  Session steady = tiny.open();
  const auto expected = test::say(steady, "Who goes there?", answer_of(20));
  REQUIRE(steady.reset().ok());

  SessionOptions session_options;
  session_options.system = "You are the blacksmith of a village that lies at the foot of a mountain.";
  GenerateOptions generate = answer_of(10);
  const std::string_view stops[] = {"a stop text that is longer than others are"};
  const sample::LogitBias bias[] = {{5, 1.0f}, {6, -2.0f}};
  generate.stop = stops;
  generate.sampling.bias = bias;
  generate.sampling.dry_multiplier = 0.5f;
  const std::string long_prompt(700, 'x');  // beyond the room that was taken in advance
  /// Runs `body` with ever later failures until it succeeds; returns how many failed.
  const auto fail_each = [&](auto&& body) {
    for (long failed = 0;; ++failed) {
      REQUIRE(failed < 5000);
      const std::size_t used = heap.used;
      heap.countdown = failed;
      const Error error = body();
      heap.countdown = -1;
      if (error.code == Errc::ok) return failed;
      CHECK(error.code == Errc::out_of_memory);
      CHECK(tiny.engine.memory().allocated == heap.used);
      CHECK(heap.used < used + 65536);
    }
  };
  Session session, fork;
  CHECK(fail_each([&] {
          auto opened = tiny.engine.open_session(session_options);
          if (opened) session = std::move(*opened);
          return opened.error();
        }) > 3);
  CHECK(fail_each([&] {
          const Error error = session.submit("Is the sword ready?", generate).error();
          if (error) CHECK(session.size() == 0);
          return error;
        }) > 0);
  while (session.state() == SessionState::running) REQUIRE(tiny.engine.step(1h).ok());
  const std::uint32_t size = session.size();
  CHECK(fail_each([&] {
          const Error error = session.submit(long_prompt, generate).error();
          if (error) CHECK(session.size() == size);
          return error;
        }) >= 0);
  REQUIRE(session.stop().ok());
  const std::uint32_t sessions = tiny.engine.memory().sessions;
  CHECK(fail_each([&] {
          auto forked = session.fork();
          if (forked)
            fork = std::move(*forked);
          else
            CHECK(tiny.engine.memory().sessions == sessions);
          return forked.error();
        }) > 3);
  CHECK(test::say(steady, "Who goes there?", answer_of(20)) == expected);
  session = Session();
  fork = Session();
  steady = Session();
  tiny.engine = Engine();
  CHECK(heap.used == 0);
}

TEST_CASE("a thousand loads leave nothing behind") {
  const test::TemporaryFile file(test::tiny_model().bytes());
  CountingHeap heap;
  EngineOptions options = test::small_options();
  options.context = 64;
  options.hooks = heap.hooks();
  for (int i = 0; i < 1000; ++i) {
    options.threads = i % 50 == 0 ? 2 : 1;
    auto engine = Engine::load(file.path(), options);
    REQUIRE(engine.ok());
    auto session = engine->open_session();
    REQUIRE(session.ok());
    if (i % 100 == 0) REQUIRE(session->submit("abc").ok());
    if (i % 100 == 0) REQUIRE(engine->step(0ns).ok());
    if (i % 2 == 0) *engine = Engine();  // before its session
  }
  CHECK(heap.used == 0);
  CHECK(heap.peak < 4u << 20);
}

TEST_CASE("engines are loaded, used and unloaded side by side") {
  const test::TemporaryFile file(test::tiny_model().bytes());
  const auto expected = [&] {
    auto engine = Engine::load(file.path(), test::small_options());
    auto session = engine->open_session();
    return test::say(*session, "abc", answer_of(30));
  }();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        EngineOptions options = test::small_options();
        options.threads = t % 2 == 0 ? 1 : 2;
        auto engine = Engine::load(file.path(), options);
        auto session = engine->open_session();
        std::vector<std::int32_t> said;
        const auto reason = session->generate("abc", answer_of(30), [&](const Token& token) {
          said.push_back(token.id);
          return true;
        });
        if (!reason.ok() || said != expected) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("the host may lend its threads") {
  struct Host {
    std::atomic<std::size_t> calls{0}, most{0};
  } host;
  EngineOptions options = test::small_options();
  options.threads = 3;
  options.hooks.user = &host;
  options.hooks.parallel_for = [](void* user, std::size_t count, void (*body)(void*, std::size_t), void* context) {
    auto& h = *static_cast<Host*>(user);
    ++h.calls;
    h.most = std::max(h.most.load(), count);
    for (std::size_t i = count; i-- > 0;) body(context, i);  // in any order
  };
  TinyEngine lent(options), own;
  Session a = lent.open(), b = own.open();
  CHECK(test::say(a, "Once upon a time", answer_of(30)) == test::say(b, "Once upon a time", answer_of(30)));
  CHECK(host.most <= 3);
}

TEST_CASE("a load tells how far it is, and can be called off at every point") {
  const test::TemporaryFile file(test::tiny_model().bytes());
  struct Progress {
    int left = 1000, calls = 0;
    float last = -1.0f;
    bool rises = true;
  };
  CountingHeap heap;
  EngineOptions options = test::small_options();
  options.hooks = heap.hooks();
  options.progress = [](void* user, float done) {
    auto& p = *static_cast<Progress*>(user);
    p.rises = p.rises && done >= p.last && done >= 0.0f && done <= 1.0f;
    p.last = done;
    ++p.calls;
    return --p.left > 0;
  };
  Progress whole;
  options.progress_user = &whole;
  REQUIRE(Engine::load(file.path(), options).ok());
  CHECK(whole.rises);
  CHECK(whole.last == 1.0f);
  CHECK(whole.calls > 4);
  for (int i = 1; i <= whole.calls; ++i) {
    Progress cut;
    cut.left = i;
    options.progress_user = &cut;
    CHECK(Engine::load(file.path(), options).error().code == Errc::cancelled);
    CHECK(cut.calls == i);
    CHECK(heap.used == 0);
  }
  Progress none;
  options.progress_user = &none;
  CHECK(Engine::plan(file.path(), options).ok());
  CHECK(none.calls == 0);
}

#if defined(__x86_64__)
TEST_CASE("the host's floating-point settings change no bit, and are kept") {
  GenerateOptions options = answer_of(40);
  options.sampling.temperature = 1.0f;
  options.sampling.top_p = 0.9f;
  const test::GgufBytes file = test::tiny_model();  // its weights are arithmetic, too
  TinyEngine plain(test::small_options(), file);
  Session calm = plain.open();
  const auto expected = test::say(calm, "Once upon a time", options);
  std::vector<float> state(32), hostile_state(32);
  REQUIRE(plain.engine.embed("abc", Pooling::mean, state).ok());
  for (const unsigned hostile : {0x1f80u | 0x8040u, 0x1f80u | 0x4000u, 0x1f80u | 0xe040u}) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(hostile);
    TinyEngine tiny(test::small_options(), file);
    Session session = tiny.open();
    std::vector<std::int32_t> said;
    const auto reason = session.generate("Once upon a time", options, [&](const Token& token) {
      said.push_back(token.id);
      return true;
    });
    const bool embedded = tiny.engine.embed("abc", Pooling::mean, hostile_state).ok();
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    CHECK(reason.ok());
    CHECK(embedded);
    CHECK((after & ~0x3fu) == (hostile & ~0x3fu));
    CHECK(said == expected);
    CHECK(hostile_state == state);
  }
}
#endif

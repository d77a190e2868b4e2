// Every byte is counted and planned, and a step takes none.
#include <filesystem>
#include <utility>

#include "tests/counting.hpp"
#include "tests/engine/model_files.hpp"
#include "tests/sanitized.hpp"

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;
using test::CountingHeap;
using test::TinyEngine;

std::atomic<std::size_t> global_allocations{0};

#ifndef KINGLET_TEST_SANITIZED  // else only what comes through the hooks is counted
// Not inlined: GCC would see memory of operator new go to free().
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++global_allocations;
  if (void* const memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++global_allocations;
  return std::malloc(bytes != 0 ? bytes : 1);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
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

/// The plan of a file, with `max_sessions` sessions in use, is what it takes, and the least limit that works.
MemoryPlan check_plan(const std::string& path, EngineOptions options) {
  CountingHeap heap;
  options.hooks = heap.hooks();
  const auto plan = Engine::plan(path, options);
  INFO(plan.error().message);
  REQUIRE(plan.ok());
  CHECK(heap.used == 0);
  CHECK(plan->total ==
        plan->weights + plan->vocabulary + plan->kv_cache + plan->activations + plan->sessions + plan->engine);
  CHECK(plan->weights >= std::filesystem::file_size(path));

  heap.peak = 0;
  options.memory_limit = plan->total;
  {
    auto engine = Engine::load(path, options);
    INFO(engine.error().message);
    REQUIRE(engine.ok());
    use_all(*engine, options.max_sessions);
    const MemoryUse use = engine->memory();
    // What a backend has taken over is mapped no longer.
    CHECK(use.mapped <= (options.file_access == FileAccess::map ? std::filesystem::file_size(path) : 0));
    CHECK((use.mapped != 0) == (options.file_access == FileAccess::map));
    CHECK(use.allocated == heap.used);
    CHECK(use.limit == plan->total);
    CHECK(use.peak <= plan->total);
    CHECK(use.mapped + heap.peak <= plan->total);
    CHECK(static_cast<double>(use.mapped + heap.peak) >= 0.99 * static_cast<double>(plan->total));
  }
  CHECK(heap.used == 0);
  options.memory_limit = plan->total - 1;
  CHECK(Engine::load(path, options).error().code == Errc::out_of_memory);
  CHECK(heap.used == 0);
  return *plan;
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
          CHECK(check_plan(file.path(), options).kv_cache == std::size_t{sessions} * 256 * 2 * 2 * 2 * 8 * 2);
        }
      }
    }
  }
}

TEST_CASE("the plan of quantized and packed models is exact too") {
  for (const test::Variant& variant : test::variants()) {
    const test::TemporaryFile file(variant.bytes);
    for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
      CAPTURE(variant.name, static_cast<int>(access));
      EngineOptions options = variant.options;
      options.file_access = access;
      options.max_sessions = 2;
      check_plan(file.path(), options);
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

TEST_CASE("a fork's step copies the page that it shares and allocates nothing, whatever the weights") {
  for (const test::Variant& variant : test::variants()) {
    CAPTURE(variant.name);
    CountingHeap heap;
    EngineOptions options = variant.options;
    options.hooks = heap.hooks();
    auto engine = Engine::load(test::as_bytes(variant.bytes), options);
    REQUIRE(engine.ok());
    auto first = engine->open_session({.format = PromptFormat::text});
    REQUIRE(first.ok());
    test::say(*first, "Who goes there", answer_of(9));
    const std::vector<std::int32_t> past(first->history().begin(), first->history().end());
    REQUIRE(past.size() % 16 != 0);  // its last page is not full
    auto second = first->fork();
    REQUIRE(second.ok());
    const std::int32_t left[] = {1, 2, 3}, right[] = {4, 5};
    REQUIRE(first->submit_tokens(left, answer_of(30)).ok());
    REQUIRE(second->submit_tokens(right, answer_of(30)).ok());
    const std::size_t calls = heap.calls, global = global_allocations;
    bool ok = true;
    std::size_t tokens = 0;
    for (int step = 0; step < 40; ++step) {
      ok = ok && engine->step(step % 3 == 0 ? 0ns : 1h).ok();
      tokens += first->tokens().size() + second->tokens().size();
    }
    ok = ok && first->stop().ok() && first->rewind(static_cast<std::uint32_t>(past.size()) + 5).ok();
    while (second->state() == SessionState::running) ok = ok && engine->step(1h).ok();
    const std::size_t calls_after = heap.calls, global_after = global_allocations;
    CHECK(calls_after == calls);
    CHECK(global_after == global);
    CHECK(ok);
    CHECK(tokens > 10);

    // What each said is what it says without the other, with keys and values of its own behind what they share.
    for (Session* const session : {&*first, &*second}) {
      auto alone = engine->open_session({.format = PromptFormat::text});
      REQUIRE(alone.ok());
      std::vector<std::int32_t> prompt = past;
      session == &*first ? prompt.insert(prompt.end(), left, left + 3) : prompt.insert(prompt.end(), right, right + 2);
      REQUIRE(alone->submit_tokens(prompt, answer_of(30)).ok());
      while (alone->state() == SessionState::running) REQUIRE(engine->step(1h).ok());
      REQUIRE(session->size() > prompt.size());
      CHECK(std::equal(session->history().begin(), session->history().end(), alone->history().begin()));
    }
  }
}

// Engines come and go, side by side, over files that change, in hosts with settings of their own.
#include <filesystem>
#include <fstream>
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

namespace {

/// What the system says that this process holds; zeros where it does not say.
struct Held {
  std::size_t files = 0;     ///< that are open
  std::size_t mappings = 0;  ///< and threads' stacks
  std::size_t resident = 0;  ///< KiB

  static Held now() {
    Held held;
    std::error_code ignored;
    for (std::filesystem::directory_iterator at("/proc/self/fd", ignored), end; !ignored && at != end;
         at.increment(ignored))
      ++held.files;
    std::ifstream maps("/proc/self/maps"), status("/proc/self/status");
    for (std::string line; std::getline(maps, line);) ++held.mappings;
    for (std::string word; status >> word;)
      if (word == "VmRSS:") status >> held.resident;
    return held;
  }
};

}  // namespace

TEST_CASE("a thousand loads leave nothing behind") {
  const test::TemporaryFile file(test::tiny_model().bytes());
  CountingHeap heap;
  EngineOptions options = test::small_options();
  options.context = 64;
  options.hooks = heap.hooks();
  Held early;
  [[maybe_unused]] bool gpu = false;
  for (int i = 0; i < 1000; ++i) {
    options.threads = i % 50 == 0 ? 2 : 1;
    options.file_access = i % 3 == 0 ? FileAccess::copy : FileAccess::map;
    {
      auto engine = Engine::load(file.path(), options);
      REQUIRE(engine.ok());
      auto session = engine->open_session();
      REQUIRE(session.ok());
      if (i % 100 == 0) REQUIRE(session->submit("abc").ok());
      if (i % 100 == 0) REQUIRE(engine->step(0ns).ok());
      gpu = (*ops::find_backend(engine->backend()))->gpu;
      if (i % 2 == 0) *engine = Engine();  // before its session
    }
    if (i == 99) early = Held::now();
  }
  CHECK(heap.used == 0);
  CHECK(heap.peak < 4u << 20);
  const Held late = Held::now();
  CAPTURE(early.files, late.files, early.mappings, late.mappings, early.resident, late.resident);
  CHECK(late.files == early.files);
#ifdef KINGLET_TEST_SANITIZED
  test::skip("mappings and resident memory after a thousand loads", "no sanitizer, which has many of its own");
#else
  if (gpu) {
    test::skip("mappings and resident memory after a thousand loads",
               "a CPU's backend, for a GPU's driver has its own");
    return;
  }
  CHECK(late.mappings <= early.mappings + 2);  // the allocator's own
  CHECK(late.resident <= early.resident + 1024);
#endif
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

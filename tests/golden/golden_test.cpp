// Do the same tokens give the same bits, whatever happens around them? hashes.txt and settings.txt pin them;
// numbers_model.py, which shares no code with the library, gives the same ones.
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include <kinglet/engine.hpp>

#include "sha256.hpp"
#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/sanitized.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using namespace kinglet;

namespace {

constexpr std::size_t positions = 512;

// A sanitizer makes the runs many times as long: one kind of activations, whose bits are checked elsewhere, shows what
// it can find between an engine's parts.
#ifdef KINGLET_TEST_SANITIZED
constexpr bool brief = true;
#else
constexpr bool brief = false;
#endif

struct Golden {
  std::string model;
  std::string activations;
  std::uint32_t window = 0, globals = 0;
  float gate = 0.0f;
  std::string kv = "fp16", scores = "fp16";
  std::string hash;

  std::string setting() const {
    std::ostringstream text;
    text << model << ' ' << activations << " window " << window << " globals " << globals << " gate " << gate << " kv "
         << kv << " scores " << scores;
    return text.str();
  }
};

std::vector<Golden> goldens() {
  std::vector<Golden> all;
  for (const bool settings : {false, true}) {
    std::ifstream file(test::fixture(settings ? "golden/settings.txt" : "golden/hashes.txt"));
    for (std::string line; std::getline(file, line);) {
      if (line.empty() || line[0] == '#') continue;
      Golden g;
      std::istringstream fields(line);
      fields >> g.model >> g.activations;
      if (settings) fields >> g.window >> g.globals >> g.gate >> g.kv >> g.scores;
      fields >> g.hash;
      if (!brief || (!settings && g.activations == "int8")) all.push_back(g);
    }
  }
  return all;
}

std::string path_of(const Golden& golden) { return test::fixture("golden/models/" + golden.model + ".gguf"); }

Activations activations_of(const Golden& golden) {
  return golden.activations == "fp32"  ? Activations::fp32
         : golden.activations == "fp8" ? Activations::fp8
                                       : Activations::int8;
}

/// The tokens of numbers_model.py --lcg.
std::vector<std::int32_t> lcg_tokens(std::size_t n, std::uint32_t vocab) {
  std::vector<std::int32_t> tokens;
  std::uint32_t x = 1;
  for (std::size_t i = 0; i < n; ++i) {
    x = 1664525u * x + 1013904223u;
    tokens.push_back(static_cast<std::int32_t>((x >> 16) % vocab));
  }
  return tokens;
}

EngineOptions options_of(const Golden& golden) {
  EngineOptions options;
  options.activations = activations_of(golden);
  options.window = golden.window;
  options.globals = golden.globals;
  options.gate = golden.gate;
  options.kv = golden.kv == "fp32" ? KvFormat::fp32 : KvFormat::fp16;
  options.scores = golden.scores == "fp32" ? ScoreFormat::fp32 : ScoreFormat::fp16;
  options.context = positions + 16;
  options.max_sessions = 1;
  return options;
}

/// Appends the logits of tokens that follow the session's history.
void evaluate(Session& session, std::span<const std::int32_t> tokens, std::vector<float>& out) {
  const Status status = session.evaluate(
      tokens, [&](std::uint32_t, std::span<const float> row) { out.insert(out.end(), row.begin(), row.end()); });
  INFO(static_cast<const char*>(status.error().message));
  REQUIRE(status);
}

/// [positions][vocab] of a fresh engine.
std::vector<float> logits_of(const std::string& path, const EngineOptions& options) {
  auto engine = Engine::load(path, options);
  INFO(static_cast<const char*>(engine.error().message));
  REQUIRE(engine);
  auto session = engine->open_session();
  REQUIRE(session);
  std::vector<float> logits;
  evaluate(*session, lcg_tokens(positions, engine->model().vocab), logits);
  return logits;
}

std::string hash_of(const std::vector<float>& logits) {
  cli::Sha256 hash;
  hash.add(logits.data(), logits.size() * sizeof(float));
  return hash.hex();
}

std::vector<std::string> machine_backends() {
  std::vector<std::string> names;
  for (const ops::BackendInfo& info : ops::backends())
    if (info.available()) names.push_back(info.name);
  return names;
}

/// The logits of hashes.txt for a model, which another test has checked.
const std::vector<float>& expected(const Golden& golden) {
  static std::map<std::string, std::vector<float>> cache;
  auto [entry, is_new] = cache.try_emplace(golden.setting());
  if (is_new) entry->second = logits_of(path_of(golden), options_of(golden));
  return entry->second;
}

bool same_bits(const float* a, const float* b, std::size_t n) { return std::memcmp(a, b, n * sizeof(float)) == 0; }

/// The last rows of a session whose first `done` tokens were prefilled in some unusual way.
bool rest_is_same(Session& session, std::size_t done, std::uint32_t vocab, const Golden& golden) {
  REQUIRE(session.rewind(static_cast<std::uint32_t>(done)));
  const auto tokens = lcg_tokens(positions, vocab);
  std::vector<float> rest;
  evaluate(session, std::span(tokens).subspan(done), rest);
  return same_bits(rest.data(), expected(golden).data() + done * vocab, rest.size());
}

}  // namespace

TEST_CASE("golden: every backend gives the pinned bits", "[golden]") {
  REQUIRE(goldens().size() == (brief ? 4 : 22));
  for (const Golden& golden : goldens())
    for (const std::string& backend : machine_backends()) {
      CAPTURE(golden.setting(), backend);
      EngineOptions options = options_of(golden);
      options.backend = backend;
      CHECK(hash_of(logits_of(path_of(golden), options)) == golden.hash);
    }
}

TEST_CASE("golden: threads and prefill chunks change no bit", "[golden]") {
  for (const Golden& golden : goldens()) {
    for (const unsigned threads : {2u, 3u, 4u}) {
      CAPTURE(golden.setting(), threads);
      EngineOptions options = options_of(golden);
      options.threads = threads;
      CHECK(hash_of(logits_of(path_of(golden), options)) == golden.hash);
    }
    for (const std::uint32_t rows : {1u, 7u, 33u, 512u}) {
      CAPTURE(golden.setting(), rows);
      EngineOptions options = options_of(golden);
      options.max_rows = rows;
      options.max_logits = rows;
      CHECK(hash_of(logits_of(path_of(golden), options)) == golden.hash);
    }
  }
}

TEST_CASE("golden: step budgets change no bit", "[golden]") {
  using namespace std::chrono_literals;
  for (const Golden& golden : goldens())
    for (const std::chrono::nanoseconds budget : {std::chrono::nanoseconds(0), std::chrono::nanoseconds(20us)}) {
      CAPTURE(golden.setting(), budget.count());
      EngineOptions options = options_of(golden);
      options.threads = 2;
      options.max_rows = 48;
      auto engine = Engine::load(path_of(golden), options);
      REQUIRE(engine);
      const std::uint32_t vocab = engine->model().vocab;
      auto session = engine->open_session();
      REQUIRE(session);
      const auto tokens = lcg_tokens(positions, vocab);
      constexpr std::size_t done = 333;
      REQUIRE(session->submit_tokens(std::span(tokens).first(done), {.max_new_tokens = 1}));
      std::size_t steps = 0;
      for (; session->state() == SessionState::running; ++steps) REQUIRE(engine->step(budget));
      if (budget.count() == 0) CHECK(steps > 100);  // one piece of work in each
      CHECK(rest_is_same(*session, done, vocab, golden));
    }
}

TEST_CASE("golden: an urgent session between any two pieces changes no bit, and has its own", "[golden]") {
  using namespace std::chrono_literals;
  for (const Golden& golden : goldens()) {
    CAPTURE(golden.setting());
    EngineOptions options = options_of(golden);
    options.max_sessions = 2;
    options.max_rows = 64;
    options.urgent_rows = 3;
    auto engine = Engine::load(path_of(golden), options);
    REQUIRE(engine);
    const std::uint32_t vocab = engine->model().vocab;
    const auto tokens = lcg_tokens(positions, vocab);
    auto session = engine->open_session(), urgent = engine->open_session({.urgent = true});
    REQUIRE((session && urgent));
    constexpr std::size_t done = 100;
    REQUIRE(session->submit_tokens(std::span(tokens).first(done), {.max_new_tokens = 1}));
    std::size_t steps = 0, used = 0;
    for (; session->state() == SessionState::running; ++steps) {
      REQUIRE(engine->step(0ns));
      // As many tokens as its plan has rows; where its context ends it begins anew.
      if (used + 4 > positions) {
        REQUIRE(urgent->reset());
        used = 0;
      }
      REQUIRE(urgent->rewind(static_cast<std::uint32_t>(used)));
      REQUIRE(urgent->submit_tokens(std::span(tokens).subspan(used, 3), {.max_new_tokens = 1}));
      while (urgent->state() == SessionState::running) REQUIRE(engine->step(0ns));
      used += 3;
    }
    CHECK(steps > 50);
    CHECK(rest_is_same(*session, done, vocab, golden));
    CHECK(rest_is_same(*urgent, used, vocab, golden));
  }
}

TEST_CASE("golden: eight sessions in one plan say what one says", "[golden]") {
  for (const Golden& golden : goldens()) {
    CAPTURE(golden.setting());
    EngineOptions options = options_of(golden);
    options.max_sessions = 8;
    options.max_rows = 64;
    auto engine = Engine::load(path_of(golden), options);
    REQUIRE(engine);
    const std::uint32_t vocab = engine->model().vocab;
    const auto tokens = lcg_tokens(positions, vocab);
    std::vector<Session> sessions;
    for (std::size_t i = 0; i < 8; ++i) {
      auto session = engine->open_session();
      REQUIRE(session);
      REQUIRE(session->submit_tokens(std::span(tokens).first(280 + 31 * i), {.max_new_tokens = 3, .ignore_end = true}));
      sessions.push_back(std::move(session).value());
    }
    for (bool running = true; running;) {
      REQUIRE(engine->step(std::chrono::seconds(1)));
      running = false;
      for (const Session& session : sessions) running = running || session.state() == SessionState::running;
    }
    for (std::size_t i = 0; i < 8; ++i) CHECK(rest_is_same(sessions[i], 280 + 31 * i, vocab, golden));
  }
}

#if defined(__x86_64__)
TEST_CASE("golden: a hostile floating-point environment changes no bit, and is the host's again after", "[golden]") {
  constexpr unsigned flush_to_zero = 0x8000;
  constexpr unsigned denormals_are_zero = 0x0040;
  constexpr unsigned round_up = 0x4000;
  constexpr unsigned round_down = 0x2000;
  const unsigned before = _mm_getcsr();
  for (const Golden& golden : goldens())
    for (const unsigned hostile : {flush_to_zero | denormals_are_zero | round_up, round_down}) {
      CAPTURE(golden.setting(), hostile);
      _mm_setcsr((before & ~0x6000u) | hostile);
      const unsigned set = _mm_getcsr();
      const std::vector<float> logits = logits_of(path_of(golden), options_of(golden));
      const unsigned after = _mm_getcsr();
      _mm_setcsr(before);
      CHECK((after & ~0x3fu) == (set & ~0x3fu));
      CHECK(hash_of(logits) == golden.hash);
    }
}
#endif

namespace {

/// The first tokens of a text, by SmolLM2's tokenizer.
std::vector<std::int32_t> text_tokens(const Engine& engine, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string start(8192, '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(start.rfind(' '));
  std::pmr::vector<std::int32_t> tokens;
  REQUIRE(engine.tokenizer().encode(start, {.add_special = false}, tokens));
  REQUIRE(tokens.size() >= positions);
  return {tokens.begin(), tokens.begin() + positions};
}

std::vector<float> text_logits(const std::string& path, const std::string& text, const EngineOptions& options,
                               std::size_t rows = positions) {
  auto engine = Engine::load(path, options);
  REQUIRE(engine);
  auto session = engine->open_session();
  REQUIRE(session);
  std::vector<float> logits;
  evaluate(*session, std::span<const std::int32_t>(text_tokens(*engine, text)).first(rows), logits);
  return logits;
}

}  // namespace

TEST_CASE("golden: 512 positions of a text through SmolLM2, by threads and backends", "[slow]") {
  const std::string path = test::model_cache(test::smollm2);
  const std::string text = test::data("models/valid-small.txt");
  if (path.empty()) return test::skip("golden hashes of SmolLM2", test::smollm2);
  if (text.empty()) return test::skip("golden hashes of SmolLM2", "models/valid-small.txt");
  std::ifstream hashes(test::fixture("golden/smollm2.txt"));
  std::size_t checked = 0;
  for (Golden golden; hashes >> golden.activations >> golden.hash; ++checked) {
    EngineOptions options = options_of(golden);
    options.threads = 2;
    options.max_logits = 64;  // as many rows in a step
    const std::vector<float> logits = text_logits(path, text, options);
    options.max_logits = 7;
    CHECK(hash_of(logits) == golden.hash);
    const auto check_start = [&](std::size_t rows) {
      const auto some = text_logits(path, text, options, rows);
      CHECK(some.size() < logits.size());
      CHECK(same_bits(some.data(), logits.data(), some.size()));
    };
    for (const unsigned threads : {1u, 3u, 4u}) {
      CAPTURE(golden.activations, threads);
      options.threads = threads;
      check_start(70);
    }
    options.threads = 2;
    for (const std::string& backend : machine_backends()) {
      CAPTURE(golden.activations, backend);
      options.backend = backend;
      check_start(backend == "scalar" ? 7 : 70);  // it is slow
    }
    options.backend = {};
    options.max_logits = 1;  // row by row, as text is generated
    check_start(7);
  }
  CHECK(checked == 3);
}

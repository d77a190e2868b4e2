// tests/engine/window_test.cpp: does a window of any size mean what it says?
#include <cstring>
#include <limits>
#include <vector>

#include "tests/engine/tiny_engine.hpp"

using namespace kinglet;
using test::TinyEngine;

namespace {

constexpr std::uint32_t context = 320;  // more than a stretch of attention

std::vector<std::int32_t> some_tokens(std::size_t n) {
  std::vector<std::int32_t> tokens(n);
  for (std::size_t i = 0; i < n; ++i) tokens[i] = static_cast<std::int32_t>(i * i * 7 % 251);
  return tokens;
}

EngineOptions windowed(std::uint32_t window, std::uint32_t globals) {
  EngineOptions options = test::small_options();
  options.context = context;
  options.max_sessions = 1;
  options.window = window;
  options.globals = globals;
  return options;
}

/// Appends the logits of tokens that follow the session's history.
void evaluate(Session& session, std::span<const std::int32_t> tokens, std::vector<float>& out) {
  const Status status = session.evaluate(
      tokens, [&](std::uint32_t, std::span<const float> row) { out.insert(out.end(), row.begin(), row.end()); });
  INFO(status.error().message);
  REQUIRE(status.ok());
}

std::vector<float> logits(std::uint32_t window, std::uint32_t globals) {
  TinyEngine tiny(windowed(window, globals));
  Session session = tiny.open();
  std::vector<float> out;
  evaluate(session, some_tokens(context), out);
  return out;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("a window or global tokens beyond the context are all of it") {
  constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
  const std::vector<float> all = logits(0, 0);
  for (const std::uint32_t window : {context, context + 1, 1u << 24, 0x7fffffffu, 0x80000000u, most - 1, most}) {
    for (const std::uint32_t globals : {0u, 8u, context, most}) {
      CAPTURE(window, globals);
      CHECK(same(logits(window, globals), all));
    }
  }
  // And a small window with so many global tokens leaves nothing out.
  for (const std::uint32_t window : {1u, 31u, context - 1}) {
    for (const std::uint32_t globals : {context, context + 1, 0x80000000u, most}) {
      CAPTURE(window, globals);
      CHECK(same(logits(window, globals), all));
    }
  }
  CHECK_FALSE(same(logits(31, 8), all));
  CHECK_FALSE(same(logits(context - 1, 0), all));  // the last token no longer sees the first
}

TEST_CASE("a session behind a window goes back to any place, and says again what it said") {
  const auto tokens = some_tokens(context);
  for (const std::uint32_t globals : {0u, 3u, 40u}) {
    TinyEngine tiny(windowed(24, globals));
    const auto vocab = tiny.engine.model().vocab;
    Session session = tiny.open();
    std::vector<float> all;
    evaluate(session, tokens, all);
    for (const std::uint32_t size : {319u, 300u, 257u, 256u, 100u, 25u, 24u, 23u, 1u, 0u}) {
      CAPTURE(globals, size);
      REQUIRE(session.rewind(size).ok());
      CHECK(session.rewind(size + 1).error().code == Errc::invalid_argument);
      CHECK(session.rewind(std::numeric_limits<std::uint32_t>::max()).error().code == Errc::invalid_argument);
      std::vector<float> rest;
      evaluate(session, std::span(tokens).subspan(size), rest);
      CHECK(same(rest, {all.begin() + static_cast<std::ptrdiff_t>(std::size_t{size} * vocab), all.end()}));
    }
  }
}

// tests/engine/noexcept_test.cpp: can any call of the API let an exception out? Decided when this is compiled.
// tests/package/noexcept.sh asks the same of every function in the public headers.
#include <chrono>
#include <type_traits>
#include <utility>

#include <kinglet/kinglet.hpp>

#include "tests/catch.hpp"

using namespace kinglet;

namespace {

/// Handles that own something: made, moved and destroyed without an exception, and never copied.
template <class Handle>
constexpr bool is_safe_handle =
    std::is_nothrow_default_constructible_v<Handle>&& std::is_nothrow_move_constructible_v<Handle>&&
        std::is_nothrow_move_assignable_v<Handle>&& std::is_nothrow_destructible_v<Handle> &&
    !std::is_copy_constructible_v<Handle> && !std::is_copy_assignable_v<Handle>;
static_assert(is_safe_handle<Engine> && is_safe_handle<Session>);
static_assert(is_safe_handle<text::Tokenizer> && is_safe_handle<text::ChatTemplate> && is_safe_handle<sample::Sampler>);

/// What calls give back: no exception on the way either.
template <class Value>
constexpr bool is_safe_value = std::is_nothrow_move_constructible_v<Value>&& std::is_nothrow_destructible_v<Value>;
static_assert(is_safe_value<Result<Engine>> && is_safe_value<Result<Session>> && is_safe_value<Result<MemoryPlan>>);
static_assert(is_safe_value<Result<StepReport>> && is_safe_value<Result<FinishReason>> && is_safe_value<Status>);
static_assert(is_safe_value<Error> && is_safe_value<Token> && is_safe_value<MemoryUse>);

#define KINGLET_NOEXCEPT(call) static_assert(noexcept(call), #call)

[[maybe_unused]] void engine(Engine& e, const Engine& c, std::span<const std::byte> file, std::span<float> out,
                             std::chrono::nanoseconds budget) {
  KINGLET_NOEXCEPT(Engine::plan("path", EngineOptions()));
  KINGLET_NOEXCEPT(Engine::load("path", EngineOptions()));
  KINGLET_NOEXCEPT(Engine::load(file, EngineOptions()));
  KINGLET_NOEXCEPT(e.open_session(SessionOptions()));
  KINGLET_NOEXCEPT(e.step(budget));
  KINGLET_NOEXCEPT(e.embed("text", Pooling::mean, out));
  KINGLET_NOEXCEPT(c.memory());
  KINGLET_NOEXCEPT(c.model());
  KINGLET_NOEXCEPT(c.tokenizer());
  KINGLET_NOEXCEPT(c.backend());
  KINGLET_NOEXCEPT(static_cast<bool>(c));
}

[[maybe_unused]] void session(Session& s, const Session& c, std::span<const std::int32_t> tokens) {
  const auto on_token = [](const Token&) { return true; };
  const auto on_logits = [](std::uint32_t, std::span<const float>) {};
  KINGLET_NOEXCEPT(s.submit("prompt", GenerateOptions()));
  KINGLET_NOEXCEPT(s.submit_tokens(tokens, GenerateOptions()));
  KINGLET_NOEXCEPT(s.generate("prompt", GenerateOptions(), on_token));
  KINGLET_NOEXCEPT(s.evaluate(tokens, on_logits));
  KINGLET_NOEXCEPT(s.stop());
  KINGLET_NOEXCEPT(s.rewind(0));
  KINGLET_NOEXCEPT(s.reset());
  KINGLET_NOEXCEPT(s.fork());
  KINGLET_NOEXCEPT(c.tokens());
  KINGLET_NOEXCEPT(c.state());
  KINGLET_NOEXCEPT(c.finish_reason());
  KINGLET_NOEXCEPT(c.error());
  KINGLET_NOEXCEPT(c.history());
  KINGLET_NOEXCEPT(c.size());
}

#undef KINGLET_NOEXCEPT

}  // namespace

TEST_CASE("no call of the API can let an exception out") { SUCCEED("asserted when this file was compiled"); }

// engine/blocking.cpp: how do the calls work that return only when all is done: generate, evaluate, embed?
#include <algorithm>
#include <limits>

#include <kinglet/core/float_env.hpp>

#include "core/fail.hpp"
#include "engine/state.hpp"
#include "engine/utf8.hpp"

namespace kinglet {

using engine::Entry;

namespace {

constexpr std::chrono::hours no_limit{24};

/// What keeps a session from taking tokens that it is not to answer; and room for them.
Status check_idle(const engine::SessionSlot& slot, std::span<const std::int32_t> tokens) noexcept {
  if (slot.state.load() == SessionState::poisoned) {
    return core::fail(Errc::poisoned, "this session failed ({}); call reset() first", slot.failure.message);
  }
  if (slot.state.load() == SessionState::running) {
    return Error{Errc::busy, "a generation is running in this session: wait for its end, or stop() it"};
  }
  const std::int32_t vocab = static_cast<std::int32_t>(slot.engine.config.vocab);
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= vocab) {
      return core::fail(Errc::invalid_argument, "token {} is out of range; ids go from 0 to {}", token, vocab - 1);
    }
  }
  if (tokens.size() > slot.engine.options.context - slot.history.size()) {
    return core::fail(Errc::context_full, "{} tokens after {} do not fit a context of {}", tokens.size(),
                      slot.history.size(), slot.engine.options.context);
  }
  return {};
}

/// Poisons a session where a row's results hold NaN or +infinity.
Status check_output(engine::SessionSlot& slot, std::uint32_t row, std::span<const float> values) noexcept {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  if (std::all_of(values.begin(), values.end(), [](float value) { return value < infinity; })) return {};
  engine::poison(slot, engine::bad_output(slot.engine.plan.rows[row].position));
  return slot.failure;
}

/// Runs `rows` pending tokens of a session in a plan of their own, hands it to `read`, and commits.
template <class Read>
Status run_alone(engine::SessionSlot& slot, std::uint32_t rows, bool logits, bool hidden, Read&& read) noexcept {
  engine::EngineState& state = slot.engine;
  if (const Status status = engine::begin_alone(slot, rows, logits, hidden); !status) return status;
  if (const Status status = engine::run_all(state); !status) return status;
  // Nothing is sampled, but a row that is not finite poisons the session.
  engine::check_rows(state, state.plan);
  if (slot.state.load() == SessionState::poisoned) {
    engine::end_plan(state.plan);
    return slot.failure;
  }
  for (std::uint32_t row = 0; row < rows; ++row) {
    if (const Status status = read(row); !status) {
      engine::abandon(state, state.plan);
      return status;
    }
  }
  engine::commit(state.plan);
  return {};
}

/// Works on what a session has pending, `chunk` rows at a time.
/// @param read  Status(index into `tokens`, row of the plan)
template <class Read>
Status run_tokens(engine::SessionSlot& slot, std::span<const std::int32_t> tokens, bool logits, bool hidden,
                  Read&& read) noexcept {
  engine::EngineState& state = slot.engine;
  // Other plans may be open: their sessions' rows are computed again later.
  for (engine::OpenPlan* const plan : {&state.plan, &state.urgent}) {
    if (plan->open) engine::abandon(state, *plan);
  }
  const std::uint32_t before = static_cast<std::uint32_t>(slot.history.size());
  // What is pending from before has no reader.
  while (slot.processed < before) {
    const std::uint32_t rows = std::min(before - slot.processed, state.options.max_rows);
    if (const Status status = run_alone(slot, rows, false, false, [](std::uint32_t) { return Status(); }); !status)
      return status;
  }
  for (const std::int32_t token : tokens) slot.history.push_back(token);  // within the capacity; may be a part of it
  slot.size.store(static_cast<std::uint32_t>(slot.history.size()));
  for (std::uint32_t done = 0; done < tokens.size();) {
    const std::uint32_t rows = std::min(static_cast<std::uint32_t>(tokens.size()) - done,
                                        logits ? state.options.max_logits : state.options.max_rows);
    const Status status =
        run_alone(slot, rows, logits, hidden, [&](std::uint32_t row) { return read(done + row, row); });
    if (!status) {
      if (slot.state.load() != SessionState::poisoned) engine::cut_tokens(slot, before);
      return status;
    }
    done += rows;
  }
  return {};
}

}  // namespace

Result<FinishReason> Session::generate(std::string_view prompt, const GenerateOptions& options, void* user,
                                       bool (*on_token)(void*, const Token&)) noexcept {
  if (const Status status = submit(prompt, options); !status) return status.error();
  while (state() == SessionState::running) {
    const auto stepped = [&]() -> Result<StepReport> {
      const Entry entry(*engine_);
      if (!entry) return engine::busy_error();
      return engine::step(*engine_, no_limit);
    }();
    if (!stepped) {
      (void)stop();
      return stepped.error();
    }
    for (const Token& token : tokens()) {
      if (!on_token(user, token)) (void)stop();
    }
  }
  if (state() == SessionState::poisoned) return error();
  return finish_reason();
}

Status Session::evaluate(std::span<const std::int32_t> tokens, void* user,
                         void (*on_logits)(void*, std::uint32_t, std::span<const float>)) noexcept {
  if (engine_ == nullptr)
    return Error{Errc::moved_from, "this Session holds nothing: open one with Engine::open_session()"};
  const Entry entry(*engine_);
  if (!entry) return engine::busy_error();
  if (const Status status = check_idle(*slot_, tokens); !status) return status;
  return run_tokens(*slot_, tokens, true, false, [&](std::uint32_t index, std::uint32_t row) -> Status {
    const auto logits = engine_->backend->logits(row);
    if (!logits) return logits.error();
    if (const Status status = check_output(*slot_, row, *logits); !status) return status;
    on_logits(user, index, *logits);
    return {};
  });
}

Status Engine::embed(std::string_view text, Pooling pooling, std::span<float> out) noexcept {
  if (state_ == nullptr) return Error{Errc::moved_from, "this Engine holds nothing: load one with Engine::load()"};
  engine::EngineState& state = *state_;
  if (out.size() != state.config.dim) {
    return core::fail(Errc::invalid_argument, "embed() gives {} numbers, and `out` has room for {}", state.config.dim,
                      out.size());
  }
  if (pooling > Pooling::last) return Error{Errc::invalid_argument, "embed(): pooling is no value of its enumeration"};
  SessionOptions options;
  options.format = PromptFormat::text;
  auto session = open_session(options);
  if (!session) return session.error();
  const Entry entry(state);
  if (!entry) return engine::busy_error();
  const engine::Scratch::Open open(state.scratch);
  return core::guarded([&]() -> Status {
    if (text.size() / std::max<std::size_t>(state.tokenizer.longest_piece(), 1) > state.options.context) {
      return core::fail(Errc::context_full, "a text of {} bytes cannot fit a context of {} tokens", text.size(),
                        state.options.context);
    }
    if (const std::size_t at = engine::find_invalid(text); at != text.size()) {
      return core::fail(Errc::invalid_argument, "the text is not UTF-8 at byte {}", at);
    }
    std::pmr::vector<std::int32_t> tokens(&state.scratch);
    if (const Status status = state.tokenizer.encode(text, {}, tokens); !status) return status;
    if (tokens.empty()) return Error{Errc::invalid_argument, "the text has no tokens"};
    if (const Status status = check_idle(*session->slot_, tokens); !status) return status;
    const core::FloatEnvironment environment;
    std::fill(out.begin(), out.end(), 0.0f);
    const std::uint32_t last = static_cast<std::uint32_t>(tokens.size()) - 1;
    const Status status =
        run_tokens(*session->slot_, tokens, false, true, [&](std::uint32_t index, std::uint32_t row) -> Status {
          if (pooling == Pooling::last && index != last) return {};
          const auto hidden = state.backend->hidden(row);
          if (!hidden) return hidden.error();
          if (const Status good = check_output(*session->slot_, row, *hidden); !good) return good;
          for (std::size_t i = 0; i < out.size(); ++i) out[i] += (*hidden)[i];
          return {};
        });
    if (status && pooling == Pooling::mean) {
      for (float& value : out) value /= static_cast<float>(tokens.size());
    }
    return status;
  });
}

}  // namespace kinglet

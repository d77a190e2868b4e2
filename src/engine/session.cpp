// engine/session.cpp: how does Session reach the slot it stands for?
#include <kinglet/session.hpp>

#include <utility>

#include "core/fail.hpp"
#include "engine/state.hpp"

namespace kinglet {

using engine::Entry;

namespace {

Error empty_session() noexcept {
  return {Errc::moved_from, "this Session holds nothing: open one with Engine::open_session()"};
}

/// Ends a running generation as stop() does.
void end_running(engine::SessionSlot& slot) noexcept {
  if (slot.state.load() == SessionState::running) engine::stop_now(slot);
}

}  // namespace

Session::~Session() {
  if (engine_ == nullptr) return;
  engine::EngineState* const state = engine_;
  slot_->close_noted.store(true);
  state->notes.fetch_add(1);
  { const Entry entry(*state); }  // whoever is inside sees to the note
  engine::drop(state);
}

Session::Session(Session&& other) noexcept
    : engine_(std::exchange(other.engine_, nullptr)), slot_(std::exchange(other.slot_, nullptr)) {}

Session& Session::operator=(Session&& other) noexcept {
  if (this != &other) {
    Session old(std::move(*this));
    engine_ = std::exchange(other.engine_, nullptr);
    slot_ = std::exchange(other.slot_, nullptr);
  }
  return *this;
}

Status Session::submit(std::string_view prompt, const GenerateOptions& options) noexcept {
  if (engine_ == nullptr) return empty_session();
  const Entry entry(*engine_);
  if (!entry) return engine::busy_error();
  return engine::submit(*slot_, prompt, options);
}

Status Session::submit_tokens(std::span<const std::int32_t> tokens, const GenerateOptions& options) noexcept {
  if (engine_ == nullptr) return empty_session();
  const Entry entry(*engine_);
  if (!entry) return engine::busy_error();
  return engine::submit_tokens(*slot_, tokens, options);
}

std::span<const Token> Session::tokens() const noexcept {
  if (engine_ == nullptr) return {};
  const Entry entry(*engine_);
  if (!entry || !slot_->has_event) return {};
  return {&slot_->event, 1};
}

SessionState Session::state() const noexcept {
  if (engine_ == nullptr) return SessionState::empty;
  const SessionState state = slot_->state.load();
  return state == SessionState::running && slot_->stop_noted.load() ? SessionState::idle : state;
}

FinishReason Session::finish_reason() const noexcept {
  if (engine_ == nullptr) return FinishReason::none;
  const bool stopping = slot_->state.load() == SessionState::running && slot_->stop_noted.load();
  return stopping ? FinishReason::stopped : slot_->finish.load();
}

Error Session::error() const noexcept {
  if (engine_ == nullptr) return empty_session();
  const Entry entry(*engine_);
  if (!entry) return engine::busy_error();
  return slot_->state.load() == SessionState::poisoned ? slot_->failure : Error();
}

Status Session::stop() noexcept {
  if (engine_ == nullptr) return empty_session();
  if (slot_->state.load() != SessionState::running) return {};
  slot_->stop_noted.store(true);
  engine_->notes.fetch_add(1);
  const Entry entry(*engine_);
  return {};
}

Status Session::rewind(std::uint32_t size) noexcept {
  if (engine_ == nullptr) return empty_session();
  const Entry entry(*engine_);
  if (!entry) return engine::busy_error();
  if (slot_->state.load() == SessionState::poisoned) {
    return core::fail(Errc::poisoned, "this session failed ({}); call reset() first", slot_->failure.message);
  }
  const std::uint32_t now = static_cast<std::uint32_t>(slot_->history.size());
  if (size > now) return core::fail(Errc::invalid_argument, "rewind to {} tokens, but the session has {}", size, now);
  end_running(*slot_);
  engine::cut(*slot_, size);
  return {};
}

Status Session::reset() noexcept {
  if (engine_ == nullptr) return empty_session();
  const Entry entry(*engine_);
  if (!entry) return engine::busy_error();
  end_running(*slot_);
  engine::cut(*slot_, 0);
  slot_->failure = {};
  slot_->finish.store(FinishReason::none);
  slot_->state.store(SessionState::idle);
  return {};
}

Result<Session> Session::fork() noexcept {
  if (engine_ == nullptr) return empty_session();
  const Entry entry(*engine_);
  if (!entry) return engine::busy_error();
  if (slot_->state.load() == SessionState::poisoned) {
    return core::fail(Errc::poisoned, "this session failed ({}); call reset() first", slot_->failure.message);
  }
  if (slot_->state.load() == SessionState::running) {
    return Error{Errc::busy, "a generation is running in this session: wait for its end, or stop() it"};
  }
  const auto slot = engine::fork_slot(*slot_);
  if (!slot) return slot.error();
  return Session(engine_, *slot);
}

std::span<const std::int32_t> Session::history() const noexcept {
  if (engine_ == nullptr) return {};
  const Entry entry(*engine_);
  if (!entry) return {};
  return slot_->history;
}

std::uint32_t Session::size() const noexcept { return engine_ == nullptr ? 0 : slot_->size.load(); }

}  // namespace kinglet

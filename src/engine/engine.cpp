// engine/engine.cpp: how does Engine reach the state it stands for?
#include <kinglet/engine.hpp>

#include <utility>

#include "engine/state.hpp"

namespace kinglet {

using engine::Entry;

namespace {

Error empty_engine() noexcept { return {Errc::moved_from, "this Engine holds nothing: load one with Engine::load()"}; }

}  // namespace

Engine::~Engine() {
  if (state_ != nullptr) engine::drop(state_);
}

Engine::Engine(Engine&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

Engine& Engine::operator=(Engine&& other) noexcept {
  if (this != &other) {
    Engine old(std::move(*this));
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

Result<MemoryPlan> Engine::plan(std::string_view path, const EngineOptions& options) noexcept {
  return engine::plan(path, options);
}

Result<Engine> Engine::load(std::string_view path, const EngineOptions& options) noexcept {
  const auto state = engine::load(path, {}, options);
  if (!state) return state.error();
  return Engine(*state);
}

Result<Engine> Engine::load(std::span<const std::byte> file, const EngineOptions& options) noexcept {
  if (file.data() == nullptr) return Error{Errc::bad_format, "the model in memory is empty"};
  const auto state = engine::load({}, file, options);
  if (!state) return state.error();
  return Engine(*state);
}

Result<Session> Engine::open_session(const SessionOptions& options) noexcept {
  if (state_ == nullptr) return empty_engine();
  const Entry entry(*state_);
  if (!entry) return engine::busy_error();
  const auto slot = engine::open_slot(*state_, options);
  if (!slot) return slot.error();
  return Session(state_, *slot);
}

Result<StepReport> Engine::step(std::chrono::nanoseconds budget) noexcept {
  if (state_ == nullptr) return empty_engine();
  const Entry entry(*state_);
  if (!entry) return engine::busy_error();
  return engine::step(*state_, budget);
}

MemoryUse Engine::memory() const noexcept {
  MemoryUse use;
  if (state_ == nullptr) return use;
  use.mapped = state_->mapped;
  use.allocated = state_->memory.used() - use.mapped;
  use.peak = state_->memory.peak();
  use.limit = state_->memory.limit();
  use.kv_tokens = std::uint64_t{state_->pool.pages()} * kv::page_size;
  use.kv_tokens_free = std::uint64_t{state_->free_pages.load()} * kv::page_size;
  use.sessions = state_->open_sessions.load();
  return use;
}

const model::ModelConfig& Engine::model() const noexcept {
  static constexpr model::ModelConfig none;
  return state_ != nullptr ? state_->config : none;
}

const text::Tokenizer& Engine::tokenizer() const noexcept {
  return state_ != nullptr ? state_->tokenizer : no_tokenizer_;
}

const char* Engine::backend() const noexcept { return state_ != nullptr ? state_->backend->name() : ""; }

}  // namespace kinglet

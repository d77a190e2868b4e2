// engine/slots.cpp: how does a session's slot come, change and go?
#include <algorithm>
#include <new>

#include "core/fail.hpp"
#include "engine/state.hpp"
#include "engine/utf8.hpp"

namespace kinglet::engine {
namespace {

constexpr std::int32_t most_priority = 1024;    ///< of batch::Request
constexpr std::size_t text_room_per_token = 6;  ///< bytes of messages; English takes 4 to 5, and some repeat

void free_slot(EngineState& state, SessionSlot* slot) noexcept {
  std::pmr::polymorphic_allocator<>(&state.memory).delete_object(slot);
}

/// A slot in the engine's list. Throws std::bad_alloc.
SessionSlot* add_slot(EngineState& state, const SessionOptions& options) {
  SessionSlot* const slot = std::pmr::polymorphic_allocator<>(&state.memory).new_object<SessionSlot>(state, options);
  slot->id = ++state.sessions;
  state.slots.push_back(slot);  // within the capacity
  state.open_sessions.store(state.open_sessions.load() + 1);
  state.owners.fetch_add(1);
  return slot;
}

Status find_room(const EngineState& state) noexcept {
  if (state.slots.size() < state.options.max_sessions) return {};
  return core::fail(Errc::context_full, "all {} sessions are open: close one, or raise max_sessions",
                    state.options.max_sessions);
}

/// What one throws to say which error a constructor met.
struct Failed {
  Error error;
};

}  // namespace

SessionSlot::SessionSlot(EngineState& owner, const SessionOptions& options)
    : engine(owner),
      priority(options.priority),
      urgent(options.urgent),
      dialogue(&owner.memory),
      history(&owner.memory),
      decoder(&owner.memory, std::max<std::size_t>(owner.tokenizer.longest_piece(), 1)),
      last_text(&owner.memory) {
  chat = options.format == PromptFormat::chat || (options.format == PromptFormat::automatic && owner.has_template);
  history.reserve(owner.options.context);
  dialogue.open(options, chat ? owner.options.context * text_room_per_token : 0);
  auto pages = kv::PageTable::create(owner.options.context, &owner.memory);
  if (!pages) throw Failed{pages.error()};
  table = std::move(*pages);
  auto made = sample::Sampler::create(static_cast<std::int32_t>(owner.config.vocab), &owner.memory);
  if (!made) throw Failed{made.error()};
  sampler = std::move(*made);
  if (const Status status = decoder.reset({}); !status) throw Failed{status.error()};
  last_text.reserve(last_text_room(owner, {}));
}

SessionSlot::~SessionSlot() { table.clear(engine.pool); }

std::size_t last_text_room(const EngineState& state, std::span<const std::string_view> stops) noexcept {
  std::size_t held = 0;
  for (const std::string_view stop : stops) held = std::max(held, stop.size());
  return 3 * (held + state.tokenizer.longest_piece() + 4);
}

namespace {

Status check_messages(const SessionOptions& options) noexcept {
  if (find_invalid(options.system) != options.system.size()) {
    return Error{Errc::invalid_argument, "SessionOptions::system is not UTF-8"};
  }
  for (std::size_t i = 0; i < options.history.size(); ++i) {
    const Message& m = options.history[i];
    bool valid = true;
    for (const std::string_view text : {m.role, m.content, m.reasoning, m.name, m.tool_call_id, m.extra_json}) {
      valid = valid && find_invalid(text) == text.size();
    }
    for (const text::ToolCall& call : m.tool_calls) {
      for (const std::string_view text : {call.id, call.name, call.arguments_json}) {
        valid = valid && find_invalid(text) == text.size();
      }
    }
    if (!valid) return core::fail(Errc::invalid_argument, "message {} of SessionOptions::history is not UTF-8", i);
  }
  return {};
}

}  // namespace

Result<SessionSlot*> open_slot(EngineState& state, const SessionOptions& options) noexcept {
  if (options.format > PromptFormat::text) {
    return Error{Errc::invalid_argument, "SessionOptions::format is no value of its enumeration"};
  }
  if (options.format == PromptFormat::chat && !state.has_template) {
    return Error{Errc::unsupported, "this model has no chat template; open the session with PromptFormat::text"};
  }
  if (options.priority < -most_priority || options.priority > most_priority) {
    return core::fail(Errc::invalid_argument, "SessionOptions::priority is {}; expected {} to {}", options.priority,
                      -most_priority, most_priority);
  }
  if (options.urgent && state.urgent.backend == nullptr) {
    return Error{Errc::invalid_argument, "SessionOptions::urgent needs EngineOptions::urgent_rows, which is 0"};
  }
  if (const Status status = check_messages(options); !status) return status.error();
  if (state.template_error && options.format != PromptFormat::text) {
    return core::fail(Errc::unsupported,
                      "the chat template cannot be used (or open the session with PromptFormat::text): {}",
                      state.template_error.message);
  }
  const bool chat =
      options.format == PromptFormat::chat || (options.format == PromptFormat::automatic && state.has_template);
  if (!chat && (!options.system.empty() || !options.history.empty() || !options.tools_json.empty())) {
    return Error{Errc::invalid_argument, "system, history and tools_json need a chat session"};
  }
  if (const Status room = find_room(state); !room) return room.error();
  return core::guarded([&]() -> Result<SessionSlot*> {
    try {
      return add_slot(state, options);
    } catch (const Failed& failed) {
      return failed.error;
    }
  });
}

Result<SessionSlot*> fork_slot(SessionSlot& slot) noexcept {
  EngineState& state = slot.engine;
  if (const Status room = find_room(state); !room) return room.error();
  SessionOptions options;
  options.format = slot.chat ? PromptFormat::chat : PromptFormat::text;
  options.priority = slot.priority;
  options.urgent = slot.urgent;
  return core::guarded([&]() -> Result<SessionSlot*> {
    auto opened = open_slot(state, options);
    if (!opened) return opened;
    SessionSlot* const copy = *opened;
    const auto give_up = [&](const Error& error) -> Result<SessionSlot*> {
      close_slot(*copy);
      state.owners.fetch_sub(1);
      reap(state);
      return error;
    };
    try {
      copy->dialogue.copy(slot.dialogue);
    } catch (const std::exception&) {
      return give_up(core::out_of_memory());
    }
    if (const Status shared = slot.table.fork(state.pool, slot.processed, copy->table); !shared) {
      return give_up(shared.error());
    }
    copy->history.assign(slot.history.begin(), slot.history.end());
    copy->processed = slot.processed;
    copy->size.store(slot.size.load());
    copy->finish.store(slot.finish.load());
    return copy;
  });
}

void close_slot(SessionSlot& slot) noexcept {
  EngineState& state = slot.engine;
  finish(slot, FinishReason::stopped);
  slot.table.clear(state.pool);
  slot.closed = true;
  state.open_sessions.store(state.open_sessions.load() - 1);
}

void leave_plan(SessionSlot& slot) noexcept {
  for (OpenPlan* const plan : {&slot.engine.plan, &slot.engine.urgent}) {
    const auto at = std::find(plan->slots.begin(), plan->slots.end(), &slot);
    if (at == plan->slots.end()) continue;
    *at = nullptr;
    // What still writes to its pages harms nobody: others take pages only when the next plan is made, and a plan that
    // somebody has left does not stay open beside an urgent one.
    (void)slot.table.truncate(slot.engine.pool, slot.processed);
  }
}

void finish(SessionSlot& slot, FinishReason reason) noexcept {
  leave_plan(slot);
  (void)slot.table.promise(slot.engine.pool, 0);
  slot.finish.store(reason);
  slot.state.store(SessionState::idle);
}

void stop_now(SessionSlot& slot) noexcept {
  // An answer that was stopped before it began is none.
  const std::uint32_t size = static_cast<std::uint32_t>(slot.history.size());
  if (size > slot.answer_begin) note_answer(slot, size, SIZE_MAX);
  finish(slot, FinishReason::stopped);
}

void poison(SessionSlot& slot, const Error& error) noexcept {
  finish(slot, FinishReason::failed);
  slot.failure = error;
  slot.has_event = false;
  slot.state.store(SessionState::poisoned);
}

void cut(SessionSlot& slot, std::uint32_t size) noexcept {
  slot.dialogue.cut(size, slot.engine.tokenizer, slot.history);
  cut_tokens(slot, size);
}

void cut_tokens(SessionSlot& slot, std::uint32_t size) noexcept {
  leave_plan(slot);
  slot.history.resize(size);
  slot.size.store(size);
  slot.processed = std::min(slot.processed, size);
  (void)slot.table.truncate(slot.engine.pool, slot.processed);
  slot.has_event = false;
}

void reap(EngineState& state) noexcept {
  std::erase_if(state.slots, [&](SessionSlot* slot) {
    const bool closed = slot->closed;
    if (closed) free_slot(state, slot);
    return closed;
  });
}

void settle(EngineState& state) noexcept {
  if (state.notes.exchange(0) == 0) return;
  for (SessionSlot* const slot : state.slots) {
    if (slot->stop_noted.exchange(false) && slot->state.load() == SessionState::running) {
      stop_now(*slot);
    }
    if (slot->close_noted.exchange(false)) close_slot(*slot);
  }
  reap(state);
}

void Entry::leave() noexcept {
  for (;;) {
    settle(state_);
    state_.free_pages.store(state_.pool.available());
    state_.busy.store(false, std::memory_order_seq_cst);
    // A note written after settle() looked, by somebody who still found us inside, is ours to see to.
    if (state_.notes.load(std::memory_order_seq_cst) == 0 || state_.busy.exchange(true, std::memory_order_seq_cst))
      return;
  }
}

}  // namespace kinglet::engine

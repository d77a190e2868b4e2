// engine/state.hpp: what does an engine hold, and what does a session?
//
// One EngineState is shared by the Engine and its open Sessions and goes with the last of them. Whoever works on it is
// inside (Entry below): one thread at a time, the others get Errc::busy. What must not wait, stop() and the end of a
// Session, leaves a note that whoever is inside reads on leaving.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string>
#include <vector>

#include <kinglet/batch/batcher.hpp>
#include <kinglet/core/memory.hpp>
#include <kinglet/engine.hpp>
#include <kinglet/kv/page_table.hpp>
#include <kinglet/kv/pool.hpp>
#include <kinglet/model/forward.hpp>
#include <kinglet/text/stream_decoder.hpp>

#include "engine/cost.hpp"
#include "engine/dialogue.hpp"
#include "engine/scratch.hpp"
#include "ops/split.hpp"

namespace kinglet::engine {

/// What a session holds. All its memory is taken when it is opened; only prompts, messages and sampler lists that are
/// longer than expected take more, in submit().
struct SessionSlot {
  SessionSlot(EngineState& owner, const SessionOptions& options);
  ~SessionSlot();
  SessionSlot(const SessionSlot&) = delete;
  SessionSlot& operator=(const SessionSlot&) = delete;

  EngineState& engine;
  bool chat = false;
  std::int32_t priority = 0;
  bool urgent = false;
  Dialogue dialogue;

  std::pmr::vector<std::int32_t> history;  ///< capacity: the context
  kv::PageTable table;                     ///< its length: `processed`, plus the rows of an open plan
  std::uint32_t processed = 0;             ///< tokens of the history whose keys and values are committed

  sample::Sampler sampler;
  text::StreamDecoder decoder;
  std::pmr::string last_text;      ///< of a generation's last token, with what was held back
  std::size_t shown = 0;           ///< bytes of the generation's text that were let out
  std::uint32_t answer_begin = 0;  ///< the history's size where the generation began
  std::uint32_t end = 0;           ///< the history's size at which the generation is full
  bool ignore_end = false;
  std::uint32_t id = 0;       ///< counts the engine's sessions
  std::uint64_t arrival = 0;  ///< counts the engine's submits
  std::uint64_t last_served =
      0;  ///< number of the plan of its kind that last held it, or in whose time it was submitted

  Token event;  ///< of the last committed step
  bool has_event = false;
  sample::Choice choice;  ///< sampled in an open plan, not committed
  Error failure;          ///< why it is poisoned; in an open plan: will be

  std::atomic<SessionState> state{SessionState::idle};
  std::atomic<FinishReason> finish{FinishReason::none};
  std::atomic<std::uint32_t> size{0};  ///< of the history, for whoever is not inside
  std::atomic<bool> stop_noted{false};
  std::atomic<bool> close_noted{false};
  bool closed = false;  ///< nobody's any more; reap() frees it
};

/// The rows of a forward pass, and how far it got.
struct OpenPlan {
  explicit OpenPlan(std::pmr::memory_resource* memory)
      : rows(memory),
        sequences(memory),
        logits(memory),
        choices(memory),
        hidden(memory),
        slots(memory),
        logit_of(memory),
        pages(memory),
        requests(memory),
        waiting(memory) {}

  ops::Backend* backend = nullptr;  ///< the one it runs on; null: there are no such plans
  std::uint32_t max_rows = 0;
  std::uint32_t max_sequences = 0;
  std::uint32_t max_logits = 0;
  std::uint64_t made = 0;  ///< how many there were

  bool open = false;
  std::pmr::vector<ops::Row> rows;               ///< capacity: max_rows
  std::pmr::vector<ops::Sequence> sequences;     ///< capacity: max_sequences
  std::pmr::vector<std::uint32_t> logits;        ///< capacity: max_logits
  std::pmr::vector<ops::SampleRequest> choices;  ///< capacity: max_logits; those that the backend can make
  std::pmr::vector<std::uint32_t> hidden;        ///< capacity: max_rows
  std::pmr::vector<SessionSlot*> slots;          ///< [sequences]; null = what was computed is dropped
  std::pmr::vector<std::int32_t> logit_of;       ///< [sequences] index into `logits` of the row to sample from, or -1
  std::pmr::vector<std::uint32_t> pages;         ///< of all sequences: a session may close before its plan is done
  std::pmr::vector<batch::Request> requests;     ///< capacity: max_sessions; what the batcher chose from
  std::pmr::vector<SessionSlot*> waiting;        ///< [requests]
  std::size_t op = 0;                            ///< the cursor: [0, ops], then sampling
  std::uint32_t phase = 0;
  std::uint32_t tile = 0;  ///< or, while sampling, the row of logits
};

struct EngineState {
  EngineState(const EngineOptions& options, std::size_t limit);  ///< throws std::bad_alloc
  ~EngineState();
  EngineState(const EngineState&) = delete;
  EngineState& operator=(const EngineState&) = delete;

  core::Memory memory;
  const Hooks hooks;
  std::atomic<std::uint32_t> owners{1};
  std::atomic<bool> busy{false};
  std::atomic<std::uint32_t> notes{0};  ///< stops and ends of sessions that were noted and not yet seen to

  // What stays as it was loaded.
  EngineOptions options;  ///< its views are empty
  model::Gguf file;
  std::size_t mapped = 0;  ///< bytes of it that are mapped
  model::ModelConfig config;
  text::Tokenizer tokenizer;
  Scratch scratch;
  text::ChatTemplate chat_template;
  bool has_template = false;
  Error template_error;  ///< why it cannot be used, or ok
  std::pmr::vector<std::uint64_t> rotary_steps;
  model::Forward forward;
  /// A backend and who knows how to end it.
  struct Part {
    const ops::BackendInfo* info = nullptr;
    ops::Backend* backend = nullptr;
  };
  Part parts[2];                           ///< that of the last layers; that of the first ones where it is another one
  std::optional<ops::SplitBackend> split;  ///< what joins them
  ops::Backend* backend = nullptr;         ///< the one that steps run on
  Part beside;                             ///< the one that urgent sessions' plans run on

  // What changes.
  kv::PagePool pool;
  std::pmr::vector<SessionSlot*> slots;  ///< capacity: max_sessions
  OpenPlan plan;
  OpenPlan urgent;  ///< of urgent sessions alone; goes first, and may be open at the same time
  CostModel costs;
  std::uint64_t submits = 0;   ///< that were accepted
  std::uint32_t sessions = 0;  ///< that were ever opened
  std::atomic<std::uint32_t> open_sessions{0};
  std::atomic<std::uint32_t> free_pages{0};  ///< for memory()

  OpenPlan& plan_of(const SessionSlot& slot) noexcept { return slot.urgent ? urgent : plan; }
  std::uint64_t now() const noexcept;  ///< nanoseconds, of the host's clock
  void log(LogLevel level, const char* message) const noexcept {
    if (hooks.log != nullptr) hooks.log(hooks.user, level, message);
  }
};

/// The one thread that is inside.
class Entry {
 public:
  explicit Entry(EngineState& state) noexcept
      : state_(state), inside_(!state.busy.exchange(true, std::memory_order_seq_cst)) {}
  ~Entry() {
    if (inside_) leave();
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  explicit operator bool() const noexcept { return inside_; }

 private:
  void leave() noexcept;
  EngineState& state_;
  bool inside_;
};

inline Error busy_error() noexcept { return {Errc::busy, "another thread is inside this engine; try again later"}; }

// load.cpp
/// @param backend  null: the one that the options name
Result<EngineState*> load(std::string_view path, std::span<const std::byte> bytes, const EngineOptions& options,
                          const ops::BackendInfo* backend = nullptr) noexcept;
Result<MemoryPlan> plan(std::string_view path, const EngineOptions& options,
                        const ops::BackendInfo* backend = nullptr) noexcept;
void drop(EngineState* state) noexcept;  ///< one owner less

// slots.cpp
Result<SessionSlot*> open_slot(EngineState& state, const SessionOptions& options) noexcept;
void close_slot(SessionSlot& slot) noexcept;  ///< reap() then frees it
Result<SessionSlot*> fork_slot(SessionSlot& slot) noexcept;
void settle(EngineState& state) noexcept;  ///< does what was noted; inside only
void reap(EngineState& state) noexcept;    ///< frees closed sessions
void finish(SessionSlot& slot, FinishReason reason) noexcept;
void stop_now(SessionSlot& slot) noexcept;  ///< what stop() asked for
void poison(SessionSlot& slot, const Error& error) noexcept;
/// Takes a session out of an open plan: what is being computed for it will not be committed.
void leave_plan(SessionSlot& slot) noexcept;
/// Forgets the tokens past `size`, and what was said in them.
void cut(SessionSlot& slot, std::uint32_t size) noexcept;
/// The same, but the messages stay.
void cut_tokens(SessionSlot& slot, std::uint32_t size) noexcept;

/// Bytes that the last token of a generation may show: what a stop text held back, each byte as U+FFFD at worst.
std::size_t last_text_room(const EngineState& state, std::span<const std::string_view> stops) noexcept;

// submit.cpp
Status submit(SessionSlot& slot, std::string_view prompt, const GenerateOptions& options) noexcept;
Status submit_tokens(SessionSlot& slot, std::span<const std::int32_t> tokens, const GenerateOptions& options) noexcept;

// step.cpp
Result<StepReport> step(EngineState& state, std::chrono::nanoseconds budget) noexcept;
/// Gives up an open plan; nothing that was committed changes, and its rows are computed again later.
void abandon(EngineState& state, OpenPlan& plan) noexcept;
/// Takes `rows` pending tokens of one session into EngineState::plan alone. No plan may be open.
Status begin_alone(SessionSlot& slot, std::uint32_t rows, bool logits, bool hidden) noexcept;
/// Runs all that is left of the operations of EngineState::plan.
Status run_all(EngineState& state) noexcept;
void end_plan(OpenPlan& plan) noexcept;

// commit.cpp
/// What poisons a session whose logits or state are not finite although all layers were.
Error bad_output(std::uint32_t position) noexcept;
/// Poisons the sessions of which a row is not finite.
void check_rows(const EngineState& state, OpenPlan& plan) noexcept;
/// Chooses a token from each of the plan's rows of logits [first, last), on all threads.
void sample_rows(OpenPlan& plan, std::uint32_t first, std::uint32_t last) noexcept;
void commit(OpenPlan& plan) noexcept;
/// Notes what was generated, so that it becomes a message of the dialogue.
/// @param last   the history's size without a token that ended the turn
/// @param bytes  how much of its text was shown
void note_answer(SessionSlot& slot, std::uint32_t last, std::size_t bytes) noexcept;

}  // namespace kinglet::engine

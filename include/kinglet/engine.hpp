// kinglet/engine.hpp: how does a model come into the process, and how does time pass for its sessions?
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/model/config.hpp>
#include <kinglet/options.hpp>
#include <kinglet/session.hpp>
#include <kinglet/text/tokenizer.hpp>

namespace kinglet {

/// What a call of step() did.
struct StepReport {
  std::uint32_t pieces = 0;  ///< pieces of work that ran; 0 = no session had anything to do
  std::uint32_t rows = 0;    ///< rows of the plans that were worked on
  bool committed = false;    ///< a plan is done: sessions have new tokens
  std::chrono::nanoseconds spent{0};
  std::chrono::nanoseconds overrun{0};  ///< time past the budget
};

/// How the states of a text's tokens become one vector.
enum class Pooling : std::uint8_t { mean, last };

class Engine {
 public:
  Engine() noexcept = default;
  /// Sessions that are still open keep the model alive.
  KINGLET_API ~Engine();
  KINGLET_API Engine(Engine&& other) noexcept;
  KINGLET_API Engine& operator=(Engine&& other) noexcept;

  /// What load() with the same arguments, and then max_sessions sessions, would take. Loads no weights.
  /// Errors as load().
  KINGLET_API static Result<MemoryPlan> plan(std::string_view path, const EngineOptions& options = {}) noexcept;

  /// Loads a GGUF file (or, given the first of a split file's parts, all of them).
  /// not_found, io_error, bad_format, unsupported: the file; invalid_argument: an option; out_of_memory: the plan is
  /// above the limit, or an allocation failed; backend: the machine lacks what the backend needs; cancelled: by
  /// `progress`.
  KINGLET_API static Result<Engine> load(std::string_view path, const EngineOptions& options = {}) noexcept;
  /// The same from memory that the host keeps alive and unchanged as long as the engine and its sessions.
  KINGLET_API static Result<Engine> load(std::span<const std::byte> file, const EngineOptions& options = {}) noexcept;

  /// context_full: max_sessions are open; unsupported: chat was asked for and the model has no template;
  /// template_error; invalid_argument; out_of_memory; busy; moved_from.
  KINGLET_API Result<Session> open_session(const SessionOptions& options = {}) noexcept;

  /// Moves every session on, and returns when a plan is done or the next piece of work would not fit the budget (by the
  /// measured cost of its kind). Runs at least one piece. Allocates nothing. Urgent sessions come first, in a plan of
  /// their own; the others have what it leaves of the budget (nothing, where that is a minute or more).
  /// A failure that concerns one session poisons that session alone and is no error here.
  /// invalid_argument: a budget below zero; io_error: the model's file changed; backend: the device failed; busy;
  /// moved_from.
  KINGLET_API Result<StepReport> step(std::chrono::nanoseconds budget) noexcept;

  /// The final normed states of a text's tokens (BOS and EOS as the model adds them), pooled, not normalised. Blocking;
  /// uses a free session.
  /// @param out  [model().dim]; holds nothing of use after an error
  /// invalid_argument: another size of `out`, no value of Pooling, or a text without tokens; context_full: the text is
  /// too long, or no session or page is free; out_of_memory; not_finite; io_error, backend: as step(); busy;
  /// moved_from.
  KINGLET_API Status embed(std::string_view text, Pooling pooling, std::span<float> out) noexcept;

  KINGLET_API MemoryUse memory() const noexcept;
  /// The model's shape; all zero in an empty engine.
  KINGLET_API const model::ModelConfig& model() const noexcept;
  /// An empty tokenizer in an empty engine.
  KINGLET_API const text::Tokenizer& tokenizer() const noexcept;
  /// The backend's name, or "".
  KINGLET_API const char* backend() const noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  explicit Engine(engine::EngineState* state) noexcept : state_(state) {}
  engine::EngineState* state_ = nullptr;
  text::Tokenizer no_tokenizer_;  ///< what an empty engine shows
};

}  // namespace kinglet

// kinglet/session.hpp: how does one conversation go on?
//
// A session holds its tokens, their pages in the KV cache, its sampler and its stop strings; the engine holds all the
// rest and lives as long as its last session. An engine and its sessions may be used by one thread at a time: a call
// that finds another thread inside returns Errc::busy and changes nothing. Only stop() may come from any thread at any
// time.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/options.hpp>

namespace kinglet {

namespace engine {
struct EngineState;
struct SessionSlot;
}  // namespace engine

/// A token that a step committed.
struct Token {
  std::int32_t id = -1;
  /// What may be shown now: whole UTF-8 code points, stop strings removed. Empty while bytes are held back; the last
  /// token of a generation brings all that was held.
  std::string_view text;
  float logprob = 0.0f;                           ///< natural logarithm, of the softmax of the raw logits
  std::span<const sample::TokenProbability> top;  ///< the SamplerOptions::logprobs most probable, best first
};

enum class SessionState : std::uint8_t {
  empty,     ///< the object holds no session
  idle,      ///< waits for submit()
  running,   ///< step() moves it on
  poisoned,  ///< failed, see error(); reset() makes it usable again
};

enum class FinishReason : std::uint8_t {
  none,         ///< nothing was generated yet, or it still runs
  end_of_turn,  ///< the model ended its turn
  stop_string,  ///< one of GenerateOptions::stop appeared
  length,       ///< max_new_tokens, or the context, is full
  stopped,      ///< the host called stop()
  failed,       ///< see error()
};

class Session {
 public:
  Session() noexcept = default;
  KINGLET_API ~Session();
  KINGLET_API Session(Session&& other) noexcept;
  KINGLET_API Session& operator=(Session&& other) noexcept;

  /// Takes a prompt; step() then works on it. Returns before any arithmetic.
  /// @param prompt  valid UTF-8; in chat format the user's message. May be empty in chat format; in text format only if
  ///                the history is not empty (or the model begins texts with a token of its own)
  /// invalid_argument: an option out of range, invalid UTF-8, nothing to continue; context_full: prompt and
  /// max_new_tokens do not fit the context or the free pages; busy: a generation is running; template_error; poisoned;
  /// moved_from; out_of_memory. The history has not changed then, and nothing runs; tokens() may be empty.
  KINGLET_API Status submit(std::string_view prompt, const GenerateOptions& options = {}) noexcept;
  /// The same with tokens that follow the history as they are; none at all goes on with it. In a chat they are no
  /// message: the template does not see them at the next submit(), but the answer to them it does. invalid_argument: an
  /// id out of range.
  KINGLET_API Status submit_tokens(std::span<const std::int32_t> tokens, const GenerateOptions& options = {}) noexcept;

  /// The tokens of the last committed step, oldest first; valid until the next step. Empty where another thread is
  /// inside.
  KINGLET_API std::span<const Token> tokens() const noexcept;

  KINGLET_API SessionState state() const noexcept;
  KINGLET_API FinishReason finish_reason() const noexcept;
  /// Why the session is poisoned, or ok.
  KINGLET_API Error error() const noexcept;

  /// Ends the running generation at the next step boundary. What an unfinished step was computing is dropped.
  /// moved_from.
  KINGLET_API Status stop() noexcept;

  /// Forgets all tokens but the first `size`; ends a running generation. In a chat, messages that are not whole go with
  /// them, but for the part of an answer that stays.
  /// invalid_argument: more than size(); poisoned; busy: another thread is inside; moved_from.
  KINGLET_API Status rewind(std::uint32_t size) noexcept;
  /// Forgets everything, the failure too; keeps SessionOptions. busy: another thread is inside;
  /// moved_from.
  KINGLET_API Status reset() noexcept;

  /// A second session with the same past, which shares its pages until they differ; idle.
  /// out_of_memory; context_full: no session or page is free; busy: a generation is running; poisoned; moved_from.
  KINGLET_API Result<Session> fork() noexcept;

  /// Submits, then steps the whole engine (other sessions move on too) until this session is done.
  /// @param on_token  bool(const Token&), called for each token; false stops. Must not throw, nor call into
  ///                  this engine.
  /// @return why it ended; errors as submit() and step(), and those of error()
  template <class OnToken>
  Result<FinishReason> generate(std::string_view prompt, const GenerateOptions& options, OnToken&& on_token) noexcept {
    using Callable = std::remove_reference_t<OnToken>;
    if constexpr (std::is_function_v<Callable>) {
      return generate(prompt, options, [&](const Token& token) { return on_token(token); });
    } else {
      return generate(prompt, options, const_cast<void*>(static_cast<const void*>(&on_token)),
                      [](void* user, const Token& token) -> bool { return (*static_cast<Callable*>(user))(token); });
    }
  }

  /// Runs tokens through the model and hands out every position's logits; the tokens join the history. Blocking;
  /// other sessions stand still, and a step that they had begun is begun anew.
  /// @param on_logits  void(std::uint32_t index into `tokens`, std::span<const float> [vocab]). Must not throw; a
  ///                   call into this engine from within finds it busy
  /// Errors as submit_tokens() and step(); not_finite: the session is poisoned.
  template <class OnLogits>
  Status evaluate(std::span<const std::int32_t> tokens, OnLogits&& on_logits) noexcept {
    using Callable = std::remove_reference_t<OnLogits>;
    if constexpr (std::is_function_v<Callable>) {
      return evaluate(tokens, [&](std::uint32_t index, std::span<const float> logits) { on_logits(index, logits); });
    } else {
      return evaluate(tokens, const_cast<void*>(static_cast<const void*>(&on_logits)),
                      [](void* user, std::uint32_t index, std::span<const float> logits) {
                        (*static_cast<Callable*>(user))(index, logits);
                      });
    }
  }

  /// All tokens so far: prompts, what the template added, and what was generated. Valid until the next call.
  KINGLET_API std::span<const std::int32_t> history() const noexcept;
  /// How many tokens that are.
  KINGLET_API std::uint32_t size() const noexcept;

 private:
  friend class Engine;
  Session(engine::EngineState* owner, engine::SessionSlot* slot) noexcept : engine_(owner), slot_(slot) {}
  KINGLET_API Result<FinishReason> generate(std::string_view prompt, const GenerateOptions& options, void* user,
                                            bool (*on_token)(void*, const Token&)) noexcept;
  KINGLET_API Status evaluate(std::span<const std::int32_t> tokens, void* user,
                              void (*on_logits)(void*, std::uint32_t, std::span<const float>)) noexcept;

  engine::EngineState* engine_ = nullptr;
  engine::SessionSlot* slot_ = nullptr;
};

}  // namespace kinglet

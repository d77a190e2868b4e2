// examples/cli/generation.hpp: how does a command let a session speak, so that Ctrl-C can end it?
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <kinglet/engine.hpp>
#include <nlohmann/json_fwd.hpp>

#include "options.hpp"
#include "stopwatch.hpp"

namespace kinglet::cli {

/// What one answer was, and how long it took.
struct Generation {
  std::string text;
  std::vector<std::int32_t> tokens;
  std::uint32_t prompt_tokens = 0;
  FinishReason reason = FinishReason::none;
  double first_token_s = 0;  ///< from the submit to the first token
  double seconds = 0;        ///< from the first token to the last
};

/// "auto", "chat" or "text".
PromptFormat prompt_format(const std::string& name);
const char* to_string(FinishReason reason);

/// Submits a prompt for `tokens` new tokens (0 = as many as fit).
Status submit(Session& session, std::string_view prompt, const SamplingFlags& flags, std::uint32_t tokens);

/// Submits a prompt for as many new tokens as the flags say; where they say nothing, for fewer than the default if that
/// is what fits. What does not fit is a failure with the numbers.
/// @param context  of the session, tokens
void submit_fitting(Session& session, std::string_view prompt, const SamplingFlags& flags, std::uint32_t context);

/// Steps until the session is done or Ctrl-C stops it; a long prompt shows its progress.
/// @param known    tokens that the session had before its prompt
/// @param on_text  called with whole UTF-8 characters
Generation speak(Engine& engine, Session& session, std::uint32_t known,
                 const std::function<void(std::string_view)>& on_text);

nlohmann::ordered_json to_json(const Generation& made);

}  // namespace kinglet::cli

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

/// Submits the prompt and steps until the session is done or Ctrl-C stops it.
/// @param on_text  called with whole UTF-8 characters
Generation generate(Engine& engine, Session& session, std::string_view prompt, const SamplingFlags& flags,
                    const std::function<void(std::string_view)>& on_text);

nlohmann::ordered_json to_json(const Generation& made);

}  // namespace kinglet::cli

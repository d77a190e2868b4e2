#include "generation.hpp"

#include <chrono>
#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "interrupt.hpp"

namespace kinglet::cli {

PromptFormat prompt_format(const std::string& name) {
  return name == "chat" ? PromptFormat::chat : name == "text" ? PromptFormat::text : PromptFormat::automatic;
}

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::none: return "none";
    case FinishReason::end_of_turn: return "end_of_turn";
    case FinishReason::stop_string: return "stop_string";
    case FinishReason::length: return "length";
    case FinishReason::stopped: return "stopped";
    case FinishReason::failed: return "failed";
  }
  return "none";
}

Generation generate(Engine& engine, Session& session, std::string_view prompt, const SamplingFlags& flags,
                    const std::function<void(std::string_view)>& on_text) {
  const std::vector<std::string_view> stop(flags.stop.begin(), flags.stop.end());
  GenerateOptions options;
  options.max_new_tokens = flags.tokens;
  options.stop = stop;
  options.sampling = sampler_options(flags);

  Generation made;
  check(session.submit(prompt, options), "the prompt");
  const Stopwatch watch;
  while (session.state() == SessionState::running) {
    if (interrupted()) check(session.stop(), "stopping");
    take(engine.step(std::chrono::milliseconds(50)), "a step");
    for (const Token& token : session.tokens()) {
      if (made.tokens.empty()) {
        made.first_token_s = watch.seconds();
        made.prompt_tokens = session.size() - static_cast<std::uint32_t>(session.tokens().size());
      }
      made.tokens.push_back(token.id);
      made.text += token.text;
      if (!token.text.empty()) on_text(token.text);
    }
  }
  made.seconds = made.tokens.empty() ? 0 : watch.seconds() - made.first_token_s;
  made.reason = session.finish_reason();
  if (session.state() == SessionState::poisoned)
    bad_input("the answer: {}", static_cast<const char*>(session.error().message));
  return made;
}

nlohmann::ordered_json to_json(const Generation& made) {
  nlohmann::ordered_json out;
  out["text"] = made.text;
  out["tokens"] = made.tokens;
  out["prompt_tokens"] = made.prompt_tokens;
  out["new_tokens"] = made.tokens.size();
  out["finish_reason"] = to_string(made.reason);
  out["prefill_tokens_per_s"] = made.first_token_s > 0 ? made.prompt_tokens / made.first_token_s : 0.0;
  out["decode_tokens_per_s"] = made.seconds > 0 ? static_cast<double>(made.tokens.size() - 1) / made.seconds : 0.0;
  return out;
}

}  // namespace kinglet::cli

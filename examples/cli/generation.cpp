#include "generation.hpp"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "interrupt.hpp"
#include "progress.hpp"

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

Status submit(Session& session, std::string_view prompt, const SamplingFlags& flags, std::uint32_t tokens) {
  const std::vector<std::string_view> stop(flags.stop.begin(), flags.stop.end());
  GenerateOptions options;
  options.max_new_tokens = tokens;
  options.stop = stop;
  options.sampling = sampler_options(flags);
  return session.submit(prompt, options);
}

void submit_fitting(Session& session, std::string_view prompt, const SamplingFlags& flags, std::uint32_t context) {
  const Status status = submit(session, prompt, flags, flags.tokens);
  if (status) return;
  if (status.error().code != Errc::context_full) check(status, "the prompt");
  const Status fewer = submit(session, prompt, flags, 0);
  if (fewer.error().code == Errc::context_full)
    bad_input(
        "the prompt: {} bytes, and what a chat template adds to them, do not fit a context of {} tokens; shorten it, "
        "or raise --ctx",
        prompt.size(), context);
  check(fewer, "the prompt");
  if (!flags.tokens_given) return;
  const std::uint32_t size = session.size();
  check(session.stop(), "stopping");
  bad_input("-n {}: beside the prompt's {} tokens there is room for {} in a context of {}; lower -n, or raise --ctx",
            flags.tokens, size, context - size, context);
}

Generation speak(Engine& engine, Session& session, std::uint32_t known,
                 const std::function<void(std::string_view)>& on_text) {
  Generation made;
  made.prompt_tokens = session.size();
  const double fresh = std::max(made.prompt_tokens - std::min(known, made.prompt_tokens), 1u);
  double read = 0;
  Progress bar("reading");
  const Stopwatch watch;
  while (session.state() == SessionState::running) {
    if (interrupted()) check(session.stop(), "stopping");
    const StepReport step = take(engine.step(std::chrono::milliseconds(50)), "a step");
    if (made.tokens.empty()) {
      if (step.committed) read += step.rows;
      session.tokens().empty() ? bar.show(std::min(read / fresh, 1.0)) : bar.clear();
    }
    for (const Token& token : session.tokens()) {
      if (made.tokens.empty()) made.first_token_s = watch.seconds();
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

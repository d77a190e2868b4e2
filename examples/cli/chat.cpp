// examples/cli/chat.cpp: kinglet chat: a conversation in the terminal
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "files.hpp"
#include "generation.hpp"
#include "input.hpp"
#include "interrupt.hpp"
#include "json_line.hpp"
#include "options.hpp"
#include "program.hpp"

namespace kinglet::cli {
namespace {

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string path;
  std::string system;
};

/// A message of the user, and the model's answer.
struct Turn {
  std::string said;
  std::string answer;
};

/// A conversation that outlasts its context: where it is full, the oldest turns are forgotten.
class Conversation {
 public:
  /// @param path  of the model, for messages
  Conversation(Engine& engine, const ChatFlags& flags, const std::string& path, std::uint32_t context)
      : engine_(engine), system_(flags.system), sampling_(flags.sampling), path_(path), context_(context) {
    if (!sampling_.tokens_given) sampling_.tokens = std::min(sampling_.tokens, std::max(context / 4, 1u));
    open();
  }

  /// A Failure is about this message alone, the conversation can go on.
  Generation answer(const std::string& line, const std::function<void(std::string_view)>& on_text) {
    try {
      const std::uint32_t known = session_.size();
      const bool whole = forget_until_it_fits(line);
      Generation made = speak(engine_, session_, whole ? known : 0, on_text);
      turns_.push_back({line, made.text});
      return made;
    } catch (const Failure&) {
      open();
      throw;
    }
  }

  void reset() {
    turns_.clear();
    open();
  }

 private:
  /// A session that begins with the turns there are.
  void open() {
    std::vector<Message> history;
    for (const Turn& turn : turns_) {
      history.push_back({.role = "user", .content = turn.said});
      history.push_back({.role = "assistant", .content = turn.answer});
    }
    SessionOptions options;
    options.format = PromptFormat::chat;
    options.system = system_;
    options.history = history;
    session_ = Session();  // there is room for one
    session_ = take(engine_.open_session(options), path_);
  }

  /// Submits a message; while it does not fit, without the older half of the turns: fewer at a time would mean to read
  /// the rest anew at every message. False where some were forgotten.
  bool forget_until_it_fits(const std::string& line) {
    std::size_t forgotten = 0;
    Status status;
    while (!turns_.empty()) {
      status = submit(session_, line, sampling_, sampling_.tokens);
      if (status.error().code != Errc::context_full) break;
      const std::size_t half = (turns_.size() + 1) / 2;
      turns_.erase(turns_.begin(), turns_.begin() + static_cast<std::ptrdiff_t>(half));
      forgotten += half;
      open();
    }
    if (forgotten != 0)
      std::fprintf(stderr, "kinglet: note: the context of %u tokens is full; the %zu oldest turns are forgotten\n",
                   context_, forgotten);
    turns_.empty() ? submit_fitting(session_, line, sampling_, context_) : check(status, "the message");
    return forgotten == 0;
  }

  Engine& engine_;
  const std::string& system_;
  SamplingFlags sampling_;
  const std::string& path_;
  std::uint32_t context_;
  Session session_;
  std::vector<Turn> turns_;
};

/// False where the message could not be answered; what is wrong with it is said.
bool answer(Conversation& conversation, const std::string& line, bool json) {
  try {
    if (const std::size_t at = not_text(line); at != std::string::npos)
      bad_input("stdin: not UTF-8 text (at byte {} of a line); convert it to UTF-8 first", at);
    const Generation made = conversation.answer(line, [&](std::string_view text) {
      if (json) return;
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    });
    json ? print_line(to_json(made)) : static_cast<void>(std::fputc('\n', stdout));
  } catch (const Failure& failure) {
    std::fprintf(stderr, "kinglet: %s\n", failure.line.c_str());
    if (json) print_line({{"error", failure.line}});
    std::fflush(stdout);
    return false;
  }
  std::fflush(stdout);
  return true;
}

void chat(const ChatFlags& flags) {
  EngineOptions options = engine_options(flags.model);
  check_sampling(flags.sampling);
  check_system(flags.system);
  const std::string path = model_path(flags.path);
  options.context = fitting_context(path, flags.model);
  if (flags.sampling.tokens_given && flags.sampling.tokens >= options.context)
    bad_input("-n {}: leaves a message no room in a context of {}; lower -n, or raise --ctx", flags.sampling.tokens,
              options.context);
  Engine engine = load_engine(path, options);
  Conversation conversation(engine, flags, path, options.context);

  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal) std::fputs("/reset begins anew, /exit or Ctrl-D ends, Ctrl-C stops an answer\n", stderr);
  Lines lines;
  std::string line;
  bool all_answered = true;
  while (!interrupted()) {
    if (terminal) std::fputs("> ", stderr);
    if (!lines.next(line) || line == "/exit") break;
    if (line.empty()) continue;
    if (line == "/reset") {
      conversation.reset();
      continue;
    }
    all_answered = answer(conversation, line, flags.model.json) && all_answered;
    if (terminal && interrupted()) clear_interrupt();
  }
  if (terminal) std::fputc('\n', stderr);
  if (!terminal && !all_answered && !interrupted()) throw Failure{exit_bad_input, ""};
}

}  // namespace

void add_chat(Program& program) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App* app =
      program.app.add_subcommand("chat", "A conversation in the terminal: a line of stdin, an answer, and so on");
  app->add_option("-m,--model", flags->path, "GGUF file (default: SmolLM2-135M-Instruct in the cache)");
  app->add_option("--system", flags->system, "The system message");
  add_model_flags(*app, flags->model, 4096);
  flags->sampling.tokens = 512;
  add_sampling_flags(*app, flags->sampling);
  app->callback([&program, flags] { program.action = [flags] { chat(*flags); }; });
}

}  // namespace kinglet::cli

// examples/cli/chat.cpp: kinglet chat: a conversation in the terminal
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>

#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "files.hpp"
#include "generation.hpp"
#include "interrupt.hpp"
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

void answer(Engine& engine, Session& session, const std::string& line, const ChatFlags& flags, bool terminal) {
  const bool json = flags.model.json;
  const Generation made = generate(engine, session, line, flags.sampling, [&](std::string_view text) {
    if (json) return;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  });
  if (json)
    std::puts(to_json(made).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  else
    std::fputc('\n', stdout);
  std::fflush(stdout);
  if (terminal && interrupted()) clear_interrupt();
}

void chat(const ChatFlags& flags) {
  EngineOptions options = engine_options(flags.model);
  const std::string path = model_path(flags.path);
  options.context = fitting_context(path, flags.model);
  Engine engine = load_engine(path, options);
  SessionOptions session_options;
  session_options.format = PromptFormat::chat;
  session_options.system = flags.system;
  Result<Session> opened = engine.open_session(session_options);
  if (opened.error().code == Errc::unsupported)
    bad_input("{}: the model has no chat template; use 'kinglet run', which continues a text", path);
  Session session = take(std::move(opened), path);

  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal) std::fputs("/reset begins anew, /exit or Ctrl-D ends, Ctrl-C stops an answer\n", stderr);
  std::string line;
  while (!interrupted()) {
    if (terminal) std::fputs("> ", stderr);
    if (!std::getline(std::cin, line) || line == "/exit") break;
    if (line.empty()) continue;
    if (line == "/reset") {
      check(session.reset(), "/reset");
      continue;
    }
    if (const std::size_t at = not_text(line); at != std::string::npos)
      bad_input("stdin: not UTF-8 text (at byte {} of a line); convert it to UTF-8 first", at);
    answer(engine, session, line, flags, terminal);
  }
  if (terminal) std::fputc('\n', stderr);
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

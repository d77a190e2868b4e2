// examples/cli/run.cpp: kinglet run: what does the model say to this prompt?
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "files.hpp"
#include "generation.hpp"
#include "json_line.hpp"
#include "options.hpp"
#include "program.hpp"

namespace kinglet::cli {
namespace {

struct RunFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string path;
  std::string prompt;
  std::string system;
  std::string format = "auto";
  bool prompt_given = false;
};

void run(const RunFlags& flags) {
  EngineOptions options = engine_options(flags.model);
  check_sampling(flags.sampling);
  check_system(flags.system);
  if (flags.format == "text" && !flags.system.empty())
    bad_usage("--system: a text that is continued has none; leave it out, or take --format chat");
  std::string prompt = flags.prompt;
  if (!flags.prompt_given) {
    if (isatty(STDIN_FILENO) != 0) std::fputs("kinglet: type the prompt, then Ctrl-D\n", stderr);
    prompt = read_text("-");
  } else if (const std::size_t at = not_text(prompt); at != std::string::npos) {
    bad_input("-p: not UTF-8 text (at byte {}); convert it to UTF-8 first", at);
  }
  const std::string path = model_path(flags.path);
  options.context = fitting_context(path, flags.model);
  const Stopwatch loading;
  Engine engine = load_engine(path, options);
  const double load_ms = loading.seconds() * 1e3;
  SessionOptions session_options;
  session_options.format = prompt_format(flags.format);
  session_options.system = flags.system;
  Result<Session> opened = engine.open_session(session_options);
  if (opened.error().code == Errc::invalid_argument && !flags.system.empty())
    bad_input("--system: {} has no chat template, and so no system message; leave it out", path);
  Session session = take(std::move(opened), path);

  const bool json = flags.model.json;
  submit_fitting(session, prompt, flags.sampling, options.context);
  const Generation made = speak(engine, session, 0, [&](std::string_view text) {
    if (json) return;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  });
  if (!json) {
    if (isatty(STDOUT_FILENO) != 0) std::fputc('\n', stdout);
    return;
  }
  nlohmann::ordered_json out = to_json(made);
  out["model"] = path;
  out["backend"] = engine.backend();
  out["threads"] = options.threads;
  out["load_ms"] = load_ms;
  print_line(out);
}

}  // namespace

void add_run(Program& program) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* app = program.app.add_subcommand("run", "Generate text to stdout");
  app->add_option("-m,--model", flags->path, "GGUF file (default: SmolLM2-135M-Instruct in the cache)");
  CLI::Option* prompt = app->add_option("-p,--prompt", flags->prompt, "The prompt (default: all of stdin)");
  app->add_option("--system", flags->system, "The system message of a chat");
  app->add_option("--format", flags->format,
                  "chat: the prompt is a user's message in the model's template; text: it is continued")
      ->check(CLI::IsMember({"auto", "chat", "text"}))
      ->capture_default_str();
  add_model_flags(*app, flags->model, 2048);
  add_sampling_flags(*app, flags->sampling);
  app->callback([&program, flags, prompt] {
    flags->prompt_given = prompt->count() > 0;
    program.action = [flags] { run(*flags); };
  });
}

}  // namespace kinglet::cli

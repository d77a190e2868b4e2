// examples/many_sessions.cpp: several characters share one model, one KV pool and each forward pass
#include <array>
#include <chrono>
#include <cstdio>
#include <string>

#include <kinglet/kinglet.hpp>

namespace {

constexpr std::array<const char*, 4> roles = {"You are a blacksmith.", "You are a witch.", "You are a baker.",
                                              "You are the king."};

int fail(const kinglet::Error& error) {
  std::fprintf(stderr, "%s\n", error.message);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: many_sessions MODEL.gguf [QUESTION]\n", stderr);
    return 2;
  }
  auto engine = kinglet::Engine::load(argv[1], {.threads = 2, .context = 512, .max_sessions = roles.size()});
  if (!engine) return fail(engine.error());

  std::array<kinglet::Session, roles.size()> sessions;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    auto session = engine->open_session({.system = roles[i]});
    if (!session) return fail(session.error());
    sessions[i] = std::move(session).value();
    kinglet::GenerateOptions options{.max_new_tokens = 32};
    options.sampling.temperature = 0.8f;
    options.sampling.seed = i;
    const auto asked = sessions[i].submit(argc > 2 ? argv[2] : "Who are you?", options);
    if (!asked) return fail(asked.error());
  }

  std::array<std::string, roles.size()> answers;
  for (bool running = true; running;) {
    const auto report = engine->step(std::chrono::milliseconds(20));
    if (!report) return fail(report.error());
    running = false;
    for (std::size_t i = 0; i < roles.size(); ++i) {
      for (const kinglet::Token& token : sessions[i].tokens()) answers[i] += token.text;
      running = running || sessions[i].state() == kinglet::SessionState::running;
    }
  }
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (sessions[i].state() == kinglet::SessionState::poisoned) return fail(sessions[i].error());
    std::printf("%s\n  %s\n", roles[i], answers[i].c_str());
  }
}

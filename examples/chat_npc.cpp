// examples/chat_npc.cpp: a game loop in which a blacksmith answers while frames go on being drawn
//
// The engine gets two milliseconds of each frame. What it did not finish, a long prompt included, goes on in the next.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include <kinglet/kinglet.hpp>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

int fail(const kinglet::Error& error) {
  std::fprintf(stderr, "%s\n", error.message);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: chat_npc MODEL.gguf [WHAT THE PLAYER SAYS]\n", stderr);
    return 2;
  }
  auto engine = kinglet::Engine::load(argv[1], {.context = 1024, .max_sessions = 1});
  if (!engine) return fail(engine.error());
  auto smith = engine->open_session({.system = "You are the village blacksmith. You answer in one sentence."});
  if (!smith) return fail(smith.error());
  const auto asked = smith->submit(argc > 2 ? argv[2] : "Is the sword ready?", {.max_new_tokens = 48});
  if (!asked) return fail(asked.error());

  unsigned frames = 0;
  std::chrono::nanoseconds longest{0};
  while (smith->state() == kinglet::SessionState::running) {
    const Clock::time_point frame = Clock::now();
    const auto report = engine->step(2ms);
    if (!report) return fail(report.error());
    for (const kinglet::Token& token : smith->tokens())
      std::fwrite(token.text.data(), 1, token.text.size(), stdout);  // whole UTF-8 only; valid until the next step
    longest = std::max<std::chrono::nanoseconds>(longest, Clock::now() - frame);
    ++frames;  // here the game moves and draws
  }
  if (smith->state() == kinglet::SessionState::poisoned) return fail(smith->error());
  std::printf("\n(%u frames; the longest step took %.2f ms)\n", frames, static_cast<double>(longest.count()) * 1e-6);
}

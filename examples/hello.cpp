// examples/hello.cpp: the first program: a model answers one question
#include <kinglet/kinglet.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: hello MODEL.gguf [QUESTION]\n", stderr);
    return 2;
  }
  auto engine = kinglet::Engine::load(argv[1], {.threads = 2, .max_sessions = 1});
  if (!engine) {
    std::fprintf(stderr, "%s\n", engine.error().message);
    return 1;
  }
  auto session = engine->open_session();
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().message);
    return 1;
  }
  const auto reason = session->generate(argc > 2 ? argv[2] : "Why is the sky blue?", {.max_new_tokens = 64},
                                        [](const kinglet::Token& token) {
                                          std::fwrite(token.text.data(), 1, token.text.size(), stdout);
                                          return true;  // false would stop here
                                        });
  std::putchar('\n');
  if (!reason) std::fprintf(stderr, "%s\n", reason.error().message);
  return reason ? 0 : 1;
}

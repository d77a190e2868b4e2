// What does an engine say when its mapped file is cut or written to, and does the process live on?
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/data.hpp"
#include "tests/engine/packed_model.hpp"
#include "tests/engine/tiny_engine.hpp"

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;

namespace {

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Models whose matrices the backend takes over, and those that it reads where they are mapped.
std::vector<std::string> models() {
  const std::string tiny = test::tiny_model().bytes();
  return {tiny, read(test::fixture("golden/models/q4.gguf")), read(test::fixture("golden/models/super.gguf")),
          test::packed(tiny)};
}

/// Cuts a file to nothing at the n-th call of a load's progress.
struct Cutter {
  std::string path;
  int left = 0;
  static bool call(void* user, float) {
    Cutter& self = *static_cast<Cutter*>(user);
    if (self.left-- == 0) std::filesystem::resize_file(self.path, 0);
    return true;
  }
};

constexpr auto ignore = [](const Token&) { return true; };

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("a file that changes while it is mapped is noticed at the next step") {
  for (const std::string& bytes : models()) {
    const test::TemporaryFile file(bytes);
    for (const bool shrinks : {true, false}) {
      write(file.path(), bytes);
      auto engine = Engine::load(file.path(), test::small_options());
      REQUIRE(engine.ok());
      auto session = engine->open_session({.format = PromptFormat::text});
      REQUIRE(session->submit("abc", answer_of(5)).ok());
      // In the middle of a plan, whose rows are already in the works.
      REQUIRE(engine->step(0ns).ok());
      if (shrinks)
        std::filesystem::resize_file(file.path(), 0);
      else
        std::ofstream(file.path(), std::ios::binary | std::ios::app) << "more";
      const auto step = engine->step(1h);
      INFO(step.error().message);
      CHECK(step.error().code == Errc::io_error);
      CHECK(test::says(step.error(), "file"));
    }
  }
}

TEST_CASE("every call has an answer when the file is gone from under an engine") {
  for (const std::string& bytes : models()) {
    const test::TemporaryFile file(bytes);
    auto engine = Engine::load(file.path(), test::small_options());
    REQUIRE(engine.ok());
    auto session = engine->open_session({.format = PromptFormat::text});
    REQUIRE(session.ok());
    REQUIRE(session->generate("abc", answer_of(3), ignore).ok());
    std::filesystem::resize_file(file.path(), 0);
    const std::int32_t ids[] = {1, 2};
    CHECK(session->evaluate(ids, [](std::uint32_t, std::span<const float>) {}).error().code == Errc::io_error);
    CHECK(session->generate("abc", answer_of(3), ignore).error().code == Errc::io_error);
    CHECK(session->stop().ok());
    CHECK(session->rewind(1).ok());
    std::vector<float> embedding(engine->model().dim);
    CHECK(engine->embed("abc", Pooling::mean, embedding).error().code == Errc::io_error);
    auto copy = session->fork();
    REQUIRE(copy.ok());
    CHECK(copy->submit("abc", answer_of(3)).ok());
    CHECK(engine->step(1h).error().code == Errc::io_error);
    CHECK(engine->open_session({.format = PromptFormat::text}).ok());
    CHECK(engine->memory().allocated > 0);
  }
}

TEST_CASE("a file that is cut while it is loaded is an error, whenever that is") {
  for (const std::string& bytes : models()) {
    const test::TemporaryFile file(bytes);
    EngineOptions options = test::small_options();
    options.threads = 2;
    Cutter cutter{file.path()};
    options.progress_user = &cutter;
    options.progress = Cutter::call;
    int at = 0;
    for (;; ++at) {
      write(file.path(), bytes);
      cutter.left = at;
      const auto engine = Engine::load(file.path(), options);
      if (cutter.left >= 0) {
        CHECK(engine.ok());  // it came to its end before
        break;
      }
      INFO("call " << at << ": " << engine.error().message);
      CHECK(engine.error().code == (at == 0 ? Errc::bad_format : Errc::io_error));
    }
    CHECK(at >= 5);
  }
}

TEST_CASE("a copy of a file does not care what becomes of it") {
  const std::string bytes = test::tiny_model().bytes();
  const test::TemporaryFile file(bytes);
  EngineOptions options = test::small_options();
  options.file_access = FileAccess::copy;
  auto engine = Engine::load(file.path(), options);
  REQUIRE(engine.ok());
  std::filesystem::resize_file(file.path(), 0);
  auto session = engine->open_session();
  CHECK(session->generate("abc", answer_of(3), ignore).ok());
}

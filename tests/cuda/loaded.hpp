// tests/cuda/loaded.hpp: how does a test hold an engine on the emulated GPU, and what does that one say?
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/state.hpp"
#include "tests/catch.hpp"
#include "tests/cuda/emulated.hpp"

namespace kinglet::test {

struct LoadedEngine {
  /// @param bytes  of the model; empty: it is the file `path`
  explicit LoadedEngine(const std::string& path, EngineOptions options = {},
                        const ops::BackendInfo* backend = &emulated_cuda, std::span<const std::byte> bytes = {}) {
    if (options.hooks.user == nullptr) {
      options.hooks.user = this;
      options.hooks.log = [](void* user, LogLevel, const char* line) {
        static_cast<LoadedEngine*>(user)->log += std::string(line) + "\n";
      };
    }
    const auto made = engine::load(path, bytes, options, backend);
    error = made.error();
    if (made) state = *made;
  }
  ~LoadedEngine() {
    if (state != nullptr) engine::drop(state);
  }
  LoadedEngine(const LoadedEngine&) = delete;
  LoadedEngine& operator=(const LoadedEngine&) = delete;

  /// A generation's tokens, up to an error.
  std::vector<std::int32_t> generate(const SamplerOptions& sampling, std::uint32_t tokens = 6) {
    std::vector<std::int32_t> ids;
    const auto slot = engine::open_slot(*state, {});
    REQUIRE(slot.ok());
    GenerateOptions options;
    options.max_new_tokens = tokens;
    options.ignore_end = true;
    options.sampling = sampling;
    REQUIRE(engine::submit(**slot, "the thing", options).ok());
    while ((*slot)->state.load() == SessionState::running) {
      const auto report = engine::step(*state, std::chrono::hours(24));
      if (!report) {
        error = report.error();
        break;
      }
      if ((*slot)->has_event) ids.push_back((*slot)->event.id);
    }
    if (!error) error = (*slot)->failure;
    close(**slot);
    return ids;
  }
  void close(engine::SessionSlot& slot) {
    engine::close_slot(slot);
    engine::reap(*state);
    engine::drop(state);  // the session was an owner too
  }

  Error error;
  std::string log;  ///< of an engine without hooks of the test's own
  engine::EngineState* state = nullptr;
};

inline EngineOptions small_options() {
  EngineOptions options;
  options.context = 64;
  options.max_sessions = 2;
  options.max_rows = 8;
  return options;
}

}  // namespace kinglet::test

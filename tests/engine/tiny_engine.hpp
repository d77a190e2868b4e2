// tests/engine/tiny_engine.hpp: an engine over a tiny model, and what its sessions say
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <kinglet/kinglet.hpp>

#include "tests/catch.hpp"
#include "tests/tiny_model.hpp"

namespace kinglet::test {

/// ChatML, as SmolLM2 and the Qwens use it.
inline constexpr const char* chatml =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

inline EngineOptions small_options() {
  EngineOptions options;
  options.context = 256;
  options.max_rows = 48;
  return options;
}

inline GenerateOptions answer_of(std::uint32_t tokens) {
  GenerateOptions options;
  options.max_new_tokens = tokens;
  options.ignore_end = true;
  return options;
}

/// An engine whose file lives in memory beside it.
struct TinyEngine {
  explicit TinyEngine(const EngineOptions& options = small_options(), const GgufBytes& file = tiny_model())
      : bytes(file.bytes()) {
    auto loaded = Engine::load(as_bytes(bytes), options);
    INFO(loaded.error().message);
    REQUIRE(loaded.ok());
    engine = std::move(*loaded);
  }
  Session open(const SessionOptions& options = {}) {
    auto session = engine.open_session(options);
    INFO(session.error().message);
    REQUIRE(session.ok());
    return std::move(*session);
  }

  std::string bytes;
  Engine engine;
};

/// The ids that a session generates for a prompt.
inline std::vector<std::int32_t> say(Session& session, std::string_view prompt, const GenerateOptions& options,
                                     std::string* text = nullptr) {
  std::vector<std::int32_t> ids;
  const auto reason = session.generate(prompt, options, [&](const Token& token) {
    ids.push_back(token.id);
    if (text != nullptr) text->append(token.text);
    return true;
  });
  INFO(reason.error().message);
  REQUIRE(reason.ok());
  return ids;
}

inline std::string message(const Error& error) { return error.message; }
inline bool says(const Error& error, const char* text) { return message(error).find(text) != std::string::npos; }

}  // namespace kinglet::test

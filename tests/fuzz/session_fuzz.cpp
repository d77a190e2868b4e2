// A host that does anything in any order: every call answers, and what is promised of sessions holds throughout.
//
// The input is a script: a byte chooses a session, the next what happens to it, the next how much of it.
#include <kinglet/kinglet.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/tiny_model.hpp"

using namespace kinglet;

namespace {

void must(bool holds) {
  if (!holds) __builtin_trap();
}

const char* const chat_template =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

Engine make_engine(const std::string& bytes) {
  EngineOptions options;
  options.context = 96;
  options.max_sessions = 3;
  options.kv_tokens = 160;  // fewer than the sessions could hold
  options.max_rows = 9;
  options.max_logits = 2;
  auto engine = Engine::load(test::as_bytes(bytes), options);
  must(engine.ok());
  return std::move(*engine);
}

/// One call, as two bytes of the script say.
void act(Engine& engine, Session& session, std::uint8_t what, std::uint8_t amount) {
  const std::string text(amount % 24, static_cast<char>('a' + amount % 26));
  GenerateOptions options;
  options.max_new_tokens = amount % 13;
  options.ignore_end = amount % 3 != 0;
  options.special_tokens = amount % 5 == 0;
  options.sampling.temperature = static_cast<float>(amount % 4);
  options.sampling.seed = amount;
  const std::string_view stops[] = {"a", "the"};
  if (amount % 7 == 0) options.stop = stops;
  const std::vector<std::int32_t> ids(amount % 11, amount);
  switch (what % 12) {
    case 0: (void)session.submit(text, options); break;
    case 1: (void)session.submit_tokens(ids, options); break;
    case 2: (void)session.stop(); break;
    case 3: (void)session.rewind(amount % 100); break;
    case 4: (void)session.reset(); break;
    case 5: session = Session(); break;
    case 6: {
      SessionOptions open;
      open.format = amount % 2 == 0 ? PromptFormat::chat : PromptFormat::text;
      open.priority = amount % 5;
      if (auto opened = engine.open_session(open)) session = std::move(*opened);
      break;
    }
    case 7: {
      if (auto forked = session.fork()) session = std::move(*forked);
      break;
    }
    case 8:
      (void)session.evaluate(ids, [](std::uint32_t, std::span<const float> logits) { must(logits.size() == 260); });
      break;
    case 9: must(engine.step(std::chrono::hours(1)).ok()); break;
    default: must(engine.step(std::chrono::nanoseconds(0)).ok()); break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string bytes = [] {
    test::TinyShape shape;
    shape.dim = 8;
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.head_dim = 4;
    shape.ffn = 8;
    shape.chat_template = chat_template;
    return test::tiny_model(shape).bytes();
  }();
  static Engine engine = make_engine(bytes);
  {
    Session sessions[3];
    for (std::size_t i = 0; i + 2 < size && i < 600; i += 3) {
      Session& session = sessions[data[i] % 3];
      act(engine, session, data[i + 1], data[i + 2]);
      for (const Session& each : sessions) {
        must(each.size() <= 96);
        must(each.state() != SessionState::poisoned);
        must(each.history().size() == each.size());
      }
    }
  }
  const MemoryUse use = engine.memory();
  must(use.sessions == 0);
  must(use.kv_tokens_free == use.kv_tokens);
  return 0;
}

// tests/fuzz/options_fuzz.cpp: does every value of every option get an answer?
//
// The input gives all fields of the options, one after the other, over a tiny model. Each call must answer with a value
// or an error, end soon, and keep the memory limit; what plan() says must be what load() takes.
#include <kinglet/kinglet.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/tiny_model.hpp"

using namespace kinglet;

namespace {

void must(bool holds) {
  if (!holds) __builtin_trap();
}

/// Fields from bytes; zeros once there are no more.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : at_(data), left_(size) {}

  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *at_++;
  }
  template <class T>
  T raw() {
    T value{};
    const std::size_t count = std::min(left_, sizeof value);
    if (count != 0) std::memcpy(&value, at_, count);
    at_ += count;
    left_ -= count;
    return value;
  }
  /// `usual` most of the time, else a small number or any bits.
  template <class T>
  T number(T usual) {
    const std::uint8_t kind = byte();
    return kind % 4 < 2 ? usual : kind % 4 == 2 ? static_cast<T>(byte()) : raw<T>();
  }
  float real(float usual) {
    const std::uint8_t kind = byte();
    return kind % 4 < 2 ? usual : kind % 4 == 2 ? static_cast<float>(byte()) / 64.0f : raw<float>();
  }
  /// A value of the enumeration, or of none.
  template <class E>
  E value() {
    const std::uint8_t kind = byte();
    return static_cast<E>(kind < 240 ? kind % 2 : kind);
  }
  std::string text() {
    std::string out(byte() % 16, '\0');
    for (char& c : out) c = static_cast<char>(byte());
    return out;
  }
  std::vector<std::int32_t> ids() {
    std::vector<std::int32_t> out(byte() % 5);
    for (std::int32_t& id : out) id = number<std::int32_t>(97);
    return out;
  }

 private:
  const std::uint8_t* at_;
  std::size_t left_;
};

/// The host's memory, of which there is a bounded amount.
struct Heap {
  std::size_t used = 0;
  static constexpr std::size_t most = std::size_t{48} << 20;

  Hooks hooks() {
    Hooks hooks;
    hooks.user = this;
    hooks.allocate = [](void* user, std::size_t bytes, std::size_t alignment) -> void* {
      Heap& heap = *static_cast<Heap*>(user);
      if (bytes > most - heap.used) return nullptr;
      heap.used += bytes;
      return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    };
    hooks.deallocate = [](void* user, void* memory, std::size_t bytes, std::size_t) {
      static_cast<Heap*>(user)->used -= bytes;
      std::free(memory);
    };
    // One after the other, so that no number of threads costs a thread.
    hooks.parallel_for = [](void*, std::size_t n, void (*body)(void*, std::size_t), void* context) {
      for (std::size_t i = 0; i < n; ++i) body(context, i);
    };
    return hooks;
  }
};

/// The path of a model that lives in memory.
const std::string& model_path() {
  static const std::string path = [] {
    test::TinyShape shape;
    shape.dim = 8;
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.head_dim = 4;
    shape.ffn = 8;
    shape.chat_template =
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + m['content'] + '<|im_end|>' }}{% endfor %}";
    const std::string bytes = test::tiny_model(shape).bytes();
    const int descriptor = ::memfd_create("model", 0);
    must(descriptor >= 0 && ::write(descriptor, bytes.data(), bytes.size()) == static_cast<::ssize_t>(bytes.size()));
    return "/proc/self/fd/" + std::to_string(descriptor);
  }();
  return path;
}

/// @param calls  of `progress` until it cancels the load
EngineOptions engine_options(Input& in, std::string& name, std::string& pre, int& calls) {
  static const char* const backends[] = {"", "scalar", "avx2", "avx512", "neon", "cuda", "amx"};
  EngineOptions o;
  const std::uint8_t which = in.byte();
  name = which < 250 ? backends[which % std::size(backends)] : in.text();
  o.backend = name;
  o.threads = in.number<unsigned>(2);
  o.context = in.number<std::uint32_t>(64);
  o.max_sessions = in.number<std::uint32_t>(2);
  o.kv_tokens = in.number<std::uint64_t>(0);
  o.max_rows = in.number<std::uint32_t>(8);
  o.max_logits = in.number<std::uint32_t>(0);
  o.urgent_rows = in.number<std::uint32_t>(2);
  o.memory_limit = in.number<std::size_t>(0);
  o.activations = in.byte() < 240 ? static_cast<Activations>(in.byte() % 3) : in.value<Activations>();
  o.kv = in.value<KvFormat>();
  o.scores = in.value<ScoreFormat>();
  o.bits = in.byte() < 240 ? Bits::exact : in.value<Bits>();
  o.window = in.number<std::uint32_t>(0);
  o.globals = in.number<std::uint32_t>(0);
  o.gate = in.real(0.0f);
  o.file_access = in.value<FileAccess>();
  const std::uint8_t more = in.byte();
  o.prefault = more % 4 == 3;  // of what little memory the heap has
  pre = more < 200 ? "" : in.text();
  o.pre_tokenizer = pre;
  calls = in.byte() < 200 ? 1000 : in.byte();
  o.progress_user = &calls;
  o.progress = [](void* user, float done) {
    must(done >= 0.0f && done <= 1.0f);
    return --*static_cast<int*>(user) > 0;
  };
  return o;
}

/// What a GenerateOptions points to.
struct Lists {
  std::vector<std::string> stops;
  std::vector<std::string_view> stop_views;
  std::vector<std::int32_t> banned, breakers;
  std::vector<sample::LogitBias> bias;
};

GenerateOptions generate_options(Input& in, Lists& lists) {
  GenerateOptions o;
  o.max_new_tokens = in.number<std::uint32_t>(5);
  o.special_tokens = in.byte() % 2 != 0;
  o.ignore_end = in.byte() % 2 != 0;
  for (int n = in.byte() % 18; n > 0; --n) lists.stops.push_back(in.text());
  lists.stop_views.assign(lists.stops.begin(), lists.stops.end());
  o.stop = lists.stop_views;
  SamplerOptions& s = o.sampling;
  s.temperature = in.real(0.8f);
  s.top_k = in.number<std::int32_t>(0);
  s.top_p = in.real(1.0f);
  s.min_p = in.real(0.0f);
  s.typical_p = in.real(1.0f);
  s.repetition_penalty = in.real(1.0f);
  s.presence_penalty = in.real(0.0f);
  s.frequency_penalty = in.real(0.0f);
  s.penalty_last_n = in.number<std::int32_t>(64);
  s.dry_multiplier = in.real(0.0f);
  s.dry_base = in.real(1.75f);
  s.dry_allowed_length = in.number<std::int32_t>(2);
  s.dry_last_n = in.number<std::int32_t>(16);
  s.seed = in.raw<std::uint64_t>();
  s.logprobs = in.number<std::int32_t>(1);
  lists.banned = in.ids();
  lists.breakers = in.ids();
  for (const std::int32_t id : in.ids()) lists.bias.push_back({id, in.real(1.0f)});
  s.banned = lists.banned;
  s.dry_breakers = lists.breakers;
  s.bias = lists.bias;
  return o;
}

Result<Session> open_session(Engine& engine, Input& in) {
  const std::string system = in.text(), role = in.byte() < 200 ? "user" : in.text(), content = in.text();
  const std::string tools = in.byte() < 200 ? "" : in.text(), variables = in.byte() < 200 ? "" : in.text();
  Message message;
  message.role = role;
  message.content = content;
  SessionOptions o;
  o.format = in.value<PromptFormat>();
  o.system = system;
  o.tools_json = tools;
  o.template_json = variables;
  o.priority = in.number<std::int32_t>(0);
  o.urgent = in.byte() % 2 != 0;
  if (in.byte() % 2 != 0) o.history = {&message, 1};
  auto session = engine.open_session(o);
  if (o.format > PromptFormat::text) must(session.error().code == Errc::invalid_argument);
  return session;
}

/// One session, from its opening to the end of an answer.
void converse(Engine& engine, Input& in) {
  auto session = open_session(engine, in);
  if (!session) return;
  Lists lists;
  const GenerateOptions options = generate_options(in, lists);
  if (!session->submit(in.text(), options)) return;
  for (int steps = 0; steps < 100 && session->state() == SessionState::running; ++steps) {
    const auto budget = std::chrono::nanoseconds(in.number<std::int64_t>(1'000'000'000));
    const auto stepped = engine.step(budget);
    must(stepped.ok() || (budget.count() < 0 && stepped.error().code == Errc::invalid_argument));
    for (const Token& token : session->tokens()) must(token.id >= 0 && token.id < 260);
  }
  if (session->state() == SessionState::poisoned) must(session->error().code == Errc::invalid_argument);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  Heap heap;
  std::string name, pre;
  int calls = 0;
  EngineOptions options = engine_options(in, name, pre, calls);
  options.hooks = heap.hooks();
  const auto plan = Engine::plan(model_path(), options);
  must(heap.used == 0);
  {
    auto engine = Engine::load(model_path(), options);
    if (engine) {
      must(plan.ok());
      must(options.memory_limit == 0 || plan->total <= options.memory_limit);
      converse(*engine, in);
      converse(*engine, in);
      std::vector<float> state(engine->model().dim);
      const auto pooling = in.value<Pooling>();
      const Status embedded = engine->embed(in.text(), pooling, state);
      if (pooling > Pooling::last) must(embedded.error().code == Errc::invalid_argument);
      const MemoryUse use = engine->memory();
      must(use.sessions == 0);
      must(options.memory_limit == 0 || use.peak <= options.memory_limit);
    } else if (plan && options.memory_limit >= plan->total) {
      // The host had less than the plan.
      must(engine.error().code == Errc::out_of_memory || engine.error().code == Errc::cancelled);
    }
  }
  must(heap.used == 0);
  return 0;
}

// text/chat_template.cpp: how do messages and options become a template's variables?
#include <kinglet/text/chat_template.hpp>

#include <kinglet/core/float_env.hpp>
#include <kinglet/core/memory.hpp>

#include "text/chat/ast.hpp"
#include "text/chat/evaluate.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text {
namespace {

using namespace chat;

std::size_t bytes_of(std::span<const Message> messages, const ChatOptions& options) noexcept {
  std::size_t n = options.bos.size() + options.eos.size() + options.tools_json.size() + options.extra_json.size();
  for (const Message& m : messages) {
    n += m.role.size() + m.content.size() + m.reasoning.size() + m.name.size() + m.tool_call_id.size() +
         m.extra_json.size() + sizeof(Message);
    for (const ToolCall& c : m.tool_calls) {
      n += c.id.size() + c.name.size() + c.arguments_json.size() + sizeof(ToolCall);
    }
  }
  return n;
}

/// limit + times * n, or the largest number where that is larger.
std::size_t beyond(std::size_t limit, std::size_t times, std::size_t n) noexcept {
  const std::size_t most = static_cast<std::size_t>(-1);
  if (n > most / times || limit > most - n * times) return most;
  return limit + n * times;
}

Value calls_value(Run& run, std::span<const ToolCall> calls) {
  Items out(run);
  for (const ToolCall& c : calls) {
    const Value function = make_dict(run);
    insert(run, *function.dict, string("name"), string(c.name));
    Value arguments;
    if (!try_json(run, c.arguments_json, arguments)) arguments = string(c.arguments_json);
    insert(run, *function.dict, string("arguments"), arguments);
    const Value call = make_dict(run);
    if (!c.id.empty()) insert(run, *call.dict, string("id"), string(c.id));
    insert(run, *call.dict, string("type"), string("function"));
    insert(run, *call.dict, string("function"), function);
    out.add(call);
  }
  return list(out.span());
}

/// Adds the members of a JSON object.
template <class Put>
void put_json(Run& run, std::string_view json, std::string_view what, const Put& put) {
  if (json.empty()) return;
  const Value v = read_json(run, json, what);
  if (!v.is(Kind::dict)) {
    run.fail_argument({what, " must be a JSON object"});
  }
  for (std::uint32_t i = 0; i < v.dict->size; ++i) put(v.dict->entries[i].key, v.dict->entries[i].value);
}

Value message_value(Run& run, const Message& m) {
  const Value v = make_dict(run);
  const auto put = [&](std::string_view key, const Value& value) { insert(run, *v.dict, string(key), value); };
  const auto put_text = [&](std::string_view key, std::string_view text) {
    if (!text.empty()) put(key, string(text));
  };
  put_text("thinking", m.reasoning);
  put("role", string(m.role));
  if (m.content.data() != nullptr || m.tool_calls.empty()) put("content", string(m.content));
  put_text("reasoning_content", m.reasoning);
  put_text("name", m.name);
  if (!m.tool_calls.empty()) put("tool_calls", calls_value(run, m.tool_calls));
  put_text("tool_call_id", m.tool_call_id);
  put_json(run, m.extra_json, "Message::extra_json",
           [&](const Value& key, const Value& value) { insert(run, *v.dict, key, value); });
  return v;
}

void define_globals(Run& run, const Program& program, Scope& scope) {
  run.loop_name = program.known("loop");
  run.caller_name = program.known("caller");
  run.kwargs_name = program.known("kwargs");
  run.varargs_name = program.known("varargs");
  for (const Global& global : globals()) define(run, scope, program.known(global.name), function(global.body));
}

void define_inputs(Run& run, const Program& program, Scope& scope, std::span<const Message> messages,
                   const ChatOptions& options) {
  const auto put = [&](std::string_view name, const Value& v) { define(run, scope, program.known(name), v); };
  Items list_of_messages(run);
  for (const Message& m : messages) list_of_messages.add(message_value(run, m));
  put("messages", list(list_of_messages.span()));
  Value tools = none();
  if (!options.tools_json.empty()) {
    tools = read_json(run, options.tools_json, "ChatOptions::tools_json");
    if (!tools.is(Kind::list)) run.fail_argument({"ChatOptions::tools_json must be a JSON array"});
  }
  put("tools", tools);
  put("documents", none());
  put("add_generation_prompt", boolean(options.add_generation_prompt));
  if (options.bos.data() != nullptr) put("bos_token", string(options.bos));
  if (options.eos.data() != nullptr) put("eos_token", string(options.eos));
  put_json(run, options.extra_json, "ChatOptions::extra_json",
           [&](const Value& key, const Value& value) { put(key.text(), value); });
}

Program* make_program(std::pmr::memory_resource* memory, const ChatLimits& limits) {
  void* room = memory->allocate(sizeof(Program), alignof(Program));
  try {
    return new (room) Program(memory, limits);
  } catch (...) {
    memory->deallocate(room, sizeof(Program), alignof(Program));
    throw;
  }
}

void destroy(Program* program) noexcept {
  if (program == nullptr) return;
  std::pmr::memory_resource* memory = program->memory;
  program->~Program();
  memory->deallocate(program, sizeof(Program), alignof(Program));
}

}  // namespace

ChatTemplate::ChatTemplate(ChatTemplate&& other) noexcept : program_(other.program_) { other.program_ = nullptr; }

ChatTemplate& ChatTemplate::operator=(ChatTemplate&& other) noexcept {
  if (this == &other) return *this;
  destroy(program_);
  program_ = other.program_;
  other.program_ = nullptr;
  return *this;
}

ChatTemplate::~ChatTemplate() { destroy(program_); }

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::pmr::memory_resource* memory,
                                         const ChatLimits& limits) noexcept {
  if (memory == nullptr) return Error(Errc::invalid_argument, "ChatTemplate::parse needs a memory resource");
  if (source.size() > limits.source_bytes) {
    return Error(Errc::bad_format, "the chat template is larger than ChatLimits::source_bytes allows");
  }
  return core::guarded([&]() -> Result<ChatTemplate> {
    ChatTemplate out(make_program(memory, limits));
    try {
      chat::parse(*out.program_, source);
    } catch (const Failure& failure) {
      return failure.error;
    }
    return Result<ChatTemplate>(std::move(out));
  });
}

Status ChatTemplate::render(std::span<const Message> messages, const ChatOptions& options,
                            std::pmr::string& out) const noexcept {
  out.clear();
  if (program_ == nullptr) return Error(Errc::moved_from, "this ChatTemplate holds no template");
  const core::FloatEnvironment environment;
  Status status = core::guarded([&]() -> Status {
    const ChatLimits& limits = program_->limits;
    const std::size_t input = bytes_of(messages, options);
    Arena arena(program_->memory, beyond(limits.memory, 8, input));
    Buffer buffer(out, beyond(limits.output_bytes, 4, input));
    Run run{arena, beyond(limits.steps, 1, input), limits.depth, options.now};
    run.out = &buffer;
    try {
      Scope scope;
      define_globals(run, *program_, scope);
      Scope inputs{&scope, nullptr};
      define_inputs(run, *program_, inputs, messages, options);
      execute(run, &inputs, program_->body);
    } catch (const Failure& failure) {
      return failure.error;
    }
    return {};
  });
  if (!status) out.clear();
  return status;
}

}  // namespace kinglet::text

// kinglet/text/chat_template.hpp: how does a conversation become the prompt that a model was trained on?
//
// A model file brings its own template, written in the Jinja language. It is interpreted here as `transformers`
// interprets it (its sandbox, whitespace settings, `tojson`, `raise_exception`, `strftime_now`), and it is not trusted:
// steps, memory, output and depth are bounded, and a template can reach nothing but the values it is given.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>

namespace kinglet::text {

namespace chat {
struct Program;
}

/// One call of a tool by the assistant. The template sees
/// {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}.
struct ToolCall {
  std::string_view id{};              ///< empty: the key is absent
  std::string_view name{};            ///< of the function
  std::string_view arguments_json{};  ///< usually a JSON object; what is not JSON is handed on as a string
};

/// One message. The template sees a mapping with these keys (and "thinking", another name of the reasoning). Text is
/// UTF-8; a byte that is not (0xff, say) counts as one character of its own and is handed on unchanged.
struct Message {
  std::string_view role{};                 ///< "system", "user", "assistant", "tool", or what the template knows
  std::string_view content{};              ///< "content"; absent if data() is null beside tool calls, else "" if empty
  std::string_view reasoning{};            ///< "reasoning_content"; empty: absent
  std::string_view name{};                 ///< "name"; empty: absent
  std::string_view tool_call_id{};         ///< "tool_call_id"; empty: absent
  std::span<const ToolCall> tool_calls{};  ///< "tool_calls"; empty: absent
  std::string_view extra_json{};           ///< a JSON object whose keys are added to the mapping, or replace these
};

struct ChatOptions {
  bool add_generation_prompt = true;  ///< end with the opening of the assistant's answer
  std::string_view bos{};             ///< `bos_token`; undefined if data() is null
  std::string_view eos{};             ///< `eos_token`; undefined if data() is null
  std::string_view tools_json{};      ///< a JSON array of tools, or empty: `tools` is none
  std::string_view extra_json{};      ///< a JSON object of further variables, {"enable_thinking": false}; or empty
  std::int64_t now = 0;               ///< for `strftime_now`: seconds since 1970 as the host's wall clock shows them
};

/// What a template may use. A render that goes further ends with template_error.
struct ChatLimits {
  std::size_t source_bytes = std::size_t{1} << 20;   ///< of the template's text
  std::size_t steps = 4'000'000;                     ///< nodes evaluated, plus one per 64 bytes that they touch
  std::size_t memory = std::size_t{64} << 20;        ///< bytes of values, beyond 8 times the bytes of the input
  std::size_t output_bytes = std::size_t{16} << 20;  ///< beyond 4 times the bytes of the input
  std::size_t depth = 256;  ///< of nested expressions, blocks and macro calls; each may take half a KiB of stack
};

/// A parsed template. Immutable: several threads may render one at once. Movable; one that was moved from (or
/// default-made) answers moved_from.
class KINGLET_API ChatTemplate {
 public:
  ChatTemplate() noexcept = default;
  ChatTemplate(ChatTemplate&& other) noexcept;
  ChatTemplate& operator=(ChatTemplate&& other) noexcept;
  ~ChatTemplate();

  /// @param source  the template, UTF-8; not needed afterwards
  /// @param memory  lives as long as the template; what a render needs for its time comes from it too, so it must be
  ///                thread-safe where renders are concurrent
  /// @return bad_format (with the line), unsupported (naming the statement, filter or test), out_of_memory
  static Result<ChatTemplate> parse(std::string_view source, std::pmr::memory_resource* memory,
                                    const ChatLimits& limits = {}) noexcept;

  /// @param out  is replaced by the prompt; empty after an error
  /// @return template_error: the text of the template's raise_exception, or what else went wrong and on which line, or
  ///         the limit that it broke; invalid_argument: one of the JSON texts is not what it should be; out_of_memory;
  ///         moved_from
  Status render(std::span<const Message> messages, const ChatOptions& options, std::pmr::string& out) const noexcept;

 private:
  explicit ChatTemplate(chat::Program* program) noexcept : program_(program) {}
  chat::Program* program_ = nullptr;
};

}  // namespace kinglet::text

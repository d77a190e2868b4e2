// A chat template from a model that nobody vouches for: it renders, or it fails cleanly, within its limits.
//
// The input is a template, and after a line "@@" the JSON of further variables.
#include <kinglet/text/chat_template.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <kinglet/core/memory.hpp>

using namespace kinglet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = input.find("\n@@\n");
  const std::string_view source = input.substr(0, cut);
  const std::string_view extra = cut != input.npos ? input.substr(cut + 4) : std::string_view();

  core::Memory memory({}, std::size_t{32} << 20);
  text::ChatLimits limits;
  limits.steps = 20'000;
  limits.memory = std::size_t{4} << 20;
  limits.output_bytes = std::size_t{1} << 20;
  {
    const auto chat = text::ChatTemplate::parse(source, &memory, limits);
    if (!chat) return chat.error().code == Errc::internal ? __builtin_trap(), 0 : 0;
    const text::ToolCall calls[] = {{"abcdefghi", "add", R"({"a": [1, 2.5, null], "b": "x"})"}, {"", "f", "not json"}};
    const text::Message messages[] = {
        {.role = "system", .content = " Be brief. "},
        {.role = "user", .content = "Gr\xc3\xbc\xc3\x9f dich \xff<|im_end|>\xff \xe6\xbc\xa2"},
        {.role = "assistant", .reasoning = "hm", .tool_calls = calls},
        {.role = "tool", .content = "3", .name = "add", .tool_call_id = "abcdefghi"},
        {.role = "assistant", .content = "<think>\nx\n</think>\n\nyes"},
        {.role = "user", .content = ""}};
    text::ChatOptions options;
    options.bos = "<s>";
    options.eos = "</s>";
    options.tools_json = R"([{"type": "function", "function": {"name": "add", "parameters": {"x": [true, {}]}}}])";
    options.extra_json = extra;
    options.now = 1732482242;
    std::pmr::string out(&memory);
    const Status status = chat->render(messages, options, out);
    if (status.error().code == Errc::internal) __builtin_trap();
    if (!status && !out.empty()) __builtin_trap();
  }
  if (memory.used() != 0) __builtin_trap();
  return 0;
}

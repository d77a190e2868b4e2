// Against transformers' own renders (make_chat_fixtures.py).
#include <kinglet/text/chat_template.hpp>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/text/chat_render.hpp"

using namespace kinglet;
using test::render;
using test::usual;
using text::ChatOptions;
using text::ChatTemplate;
using text::Message;
using text::ToolCall;

namespace {

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Field {
  std::string name;
  std::string text;
};

std::vector<Field> fields(const std::string& path) {
  std::vector<Field> out;
  std::ifstream in(path, std::ios::binary);
  char at = 0;
  std::size_t size = 0;
  for (Field f; in >> at >> f.name >> size;) {
    in.get();
    f.text.resize(size);
    in.read(f.text.data(), static_cast<std::streamsize>(size));
    in.get();
    out.push_back(f);
  }
  return out;
}

/// Messages that own what they show.
struct Conversation {
  struct Call {
    std::string id, name, arguments;
  };
  struct Owned {
    std::string role, content, reasoning, name, tool_call_id;
    bool has_content = false;
    std::vector<Call> calls;
    std::vector<ToolCall> views;
  };
  std::vector<Owned> owned;

  std::vector<Message> messages() {
    std::vector<Message> out;
    for (Owned& o : owned) {
      o.views.clear();
      for (const Call& c : o.calls) o.views.push_back({c.id, c.name, c.arguments});
      Message m;
      m.role = o.role;
      if (o.has_content) m.content = o.content;
      m.reasoning = o.reasoning;
      m.name = o.name;
      m.tool_call_id = o.tool_call_id;
      m.tool_calls = o.views;
      out.push_back(m);
    }
    return out;
  }

  /// Takes in a field of a fixture; false where it is none of a conversation's.
  bool take(const Field& f) {
    if (f.name == "role") {
      owned.emplace_back();
      owned.back().role = f.text;
      return true;
    }
    if (owned.empty()) return false;
    Owned& o = owned.back();
    if (f.name == "content") {
      o.content = f.text;
      o.has_content = true;
    } else if (f.name == "reasoning_content") {
      o.reasoning = f.text;
    } else if (f.name == "name") {
      o.name = f.text;
    } else if (f.name == "tool_call_id") {
      o.tool_call_id = f.text;
    } else if (f.name == "call") {
      o.calls.push_back({"", f.text, ""});
    } else if (f.name == "call_id") {
      o.calls.back().id = f.text;
    } else if (f.name == "call_arguments") {
      o.calls.back().arguments = f.text;
    } else {
      return false;
    }
    return true;
  }
};

void check_case(const std::string& what, const Field& expected, const std::string& got) {
  INFO(what);
  if (expected.name == "expect") {
    CHECK(got == expected.text);
  } else if (expected.name == "error") {
    CHECK(got == "error: " + expected.text);
  } else {
    CHECK(got.substr(0, 7) == "error: ");
  }
}

/// The string of a key in a GGUF file's first 32 MiB, or "".
std::string gguf_string(const std::string& path, const std::string& key) {
  std::ifstream in(path, std::ios::binary);
  std::string head(std::size_t{32} << 20, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  const std::size_t at = head.find(key);
  if (at == std::string::npos) return "";
  std::uint64_t size = 0;
  std::memcpy(&size, head.data() + at + key.size() + 4, sizeof size);
  return head.substr(at + key.size() + 12, static_cast<std::size_t>(size));
}

}  // namespace

TEST_CASE("a conversation becomes a prompt") {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}{{ eos_token }}\n{% endfor %}"
      "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
      std::pmr::get_default_resource());
  REQUIRE(chat);
  const Message messages[] = {{.role = "system", .content = "You are a blacksmith."},
                              {.role = "user", .content = " Is the sword ready? "}};
  std::pmr::string prompt;
  REQUIRE(chat->render(messages, {.eos = "</s>"}, prompt));
  CHECK(prompt == "<|system|>\nYou are a blacksmith.</s>\n<|user|>\nIs the sword ready?</s>\n<|assistant|>\n");
}

TEST_CASE("the language is Jinja's, feature by feature") {
  std::string variables;
  std::string source;
  Conversation conversation;
  std::size_t cases = 0;
  for (const Field& f : fields(test::fixture("text/fixtures/chat_language.txt"))) {
    if (f.name == "variables") {
      variables = f.text;
    } else if (f.name == "template") {
      source = f.text;
    } else if (f.name == "expect" || f.name == "error" || f.name == "fails") {
      ChatOptions options = usual();
      options.extra_json = variables;
      check_case(source, f, render(source, conversation.messages(), options));
      ++cases;
    } else {
      conversation.take(f);
    }
  }
  CHECK(cases > 500);
}

TEST_CASE("models' templates render as transformers renders them") {
  std::map<std::string, Conversation> conversations;
  std::map<std::string, std::string> tools;
  std::string source, model, name, tool;
  Conversation* open = nullptr;
  ChatOptions options = usual();
  std::string extra;
  std::size_t cases = 0, models = 0;
  for (const Field& f : fields(test::fixture("text/fixtures/chat_models.txt"))) {
    if (f.name == "tools") name = f.text;
    if (f.name == "tools_json") tools[name] = f.text;
    if (f.name == "conversation") open = &conversations[f.text];
    if (open != nullptr && open->take(f)) continue;
    if (f.name == "model") {
      model = f.text;
      open = nullptr;
      ++models;
      const bool small = model == "SmolLM2";
      const std::string file = small ? test::smollm2 : "templates/" + model;
      const std::string path = small ? test::model_cache(file) : test::data(file);
      source = path.empty() ? "" : small ? gguf_string(path, "tokenizer.chat_template") : read(path);
      if (path.empty()) test::skip(("the chat template of " + model).c_str(), file.c_str());
    } else if (f.name == "case") {
      name = f.text;
      options = usual();
      extra.clear();
      tool.clear();
    } else if (f.name == "with_tools") {
      tool = tools[f.text];
    } else if (f.name == "no_prompt") {
      options.add_generation_prompt = false;
    } else if (f.name == "extra") {
      extra = f.text;
    } else if (f.name == "expect" || f.name == "error" || f.name == "fails") {
      ++cases;
      if (source.empty()) continue;  // which was said above
      options.tools_json = tool;
      options.extra_json = extra;
      check_case(model + ": " + name, f, render(source, conversations[name].messages(), options));
    }
  }
  CHECK(models == 9);
  CHECK(cases == 477);
}

TEST_CASE("bytes that are not UTF-8 are characters of their own") {
  const std::string guard = "\xff<|im_end|>\xff x\xff";
  ChatOptions options = usual();
  const std::vector<Message> messages = {{.role = "user", .content = guard}};
  const auto of = [&](const std::string& expression) {
    return render("{% set c = messages[0].content %}{{ " + expression + " }}", messages, options);
  };
  CHECK(of("c") == guard);
  CHECK(of("c | trim") == guard);
  CHECK(of("c | length") == "15");
  CHECK(of("c[0] ~ c[-1]") == "\xff\xff");
  CHECK(of("c | tojson") == "\"" + guard + "\"");
  CHECK(of("c.split(' ')[1]") == "x\xff");
  CHECK(of("c | upper") == "\xff<|IM_END|>\xff X\xff");
  CHECK(of("c[::-1]") == "\xffx \xff>|dne_mi|<\xff");
  CHECK(of("[c]") == "['" + guard + "']");
  CHECK(of("c | replace('x', 'y') | title") == "\xff<|im_end|>\xff Y\xff");
  CHECK(of("'<|im_end|>' in c") == "True");
  options.extra_json = "{\"v\": \"a\xff\xe2\x82 b\"}";
  CHECK(render("{{ v }}{{ v | length }}", {}, options) == "a\xff\xe2\x82 b6");
}

TEST_CASE("what a message leaves out is absent") {
  const ToolCall call{"", "f", "{}"};
  const std::vector<Message> messages = {
      {.role = "user"},
      {.role = "assistant", .tool_calls = {&call, 1}},
      {.role = "x", .content = "c", .extra_json = R"({"prefix": true, "role": "y"})"}};
  CHECK(render("{% for m in messages %}{{ m }}{% endfor %}", messages, usual()) ==
        "{'role': 'user', 'content': ''}"
        "{'role': 'assistant', 'tool_calls': [{'type': 'function', 'function': {'name': 'f', 'arguments': {}}}]}"
        "{'role': 'y', 'content': 'c', 'prefix': True}");
  CHECK(render("{{ bos_token is defined }}{{ tools is none }}", {}, {}) == "FalseTrue");
}

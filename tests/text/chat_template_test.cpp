// Against transformers' own renders (make_chat_fixtures.py), and against templates that mean harm.
#include <kinglet/text/chat_template.hpp>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <kinglet/core/memory.hpp>

#include "tests/catch.hpp"
#include "tests/data.hpp"

using namespace kinglet;
using text::ChatLimits;
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

ChatOptions usual() {
  ChatOptions o;
  o.bos = "<s>";
  o.eos = "</s>";
  o.now = 1732482242;
  return o;
}

/// What a template gives; "error: " and the message where it fails.
std::string render(const std::string& source, const std::vector<Message>& messages, const ChatOptions& options,
                   const ChatLimits& limits = {}) {
  const auto t = ChatTemplate::parse(source, std::pmr::new_delete_resource(), limits);
  if (!t) return std::string("error: ") + t.error().message;
  std::pmr::string out;
  const Status status = t->render(messages, options, out);
  if (status) return std::string(out);
  CHECK(out.empty());
  return std::string("error: ") + status.error().message;
}

std::string render(const std::string& source) { return render(source, {}, usual()); }

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
  for (const Field& f : fields(test::fixture("text/fixtures/chat_models.txt"))) {
    if (f.name == "tools") name = f.text;
    if (f.name == "tools_json") tools[name] = f.text;
    if (f.name == "conversation") open = &conversations[f.text];
    if (open != nullptr && open->take(f)) continue;
    if (f.name == "model") {
      model = f.text;
      open = nullptr;
      const bool small = model == "SmolLM2";
      const std::string path = small ? test::model_cache(test::smollm2) : test::data("templates/" + model);
      source = path.empty() ? "" : small ? gguf_string(path, "tokenizer.chat_template") : read(path);
      if (path.empty()) test::skip(("the chat template of " + model).c_str(), "the shared data or the model cache");
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
    } else if (!source.empty() && (f.name == "expect" || f.name == "error" || f.name == "fails")) {
      options.tools_json = tool;
      options.extra_json = extra;
      check_case(model + ": " + name, f, render(source, conversations[name].messages(), options));
    }
  }
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

TEST_CASE("a template that means harm is stopped") {
  const auto stopped = [](const std::string& source, const char* why) {
    const std::string got = render(source);
    INFO(source.substr(0, 200) << "\n" << got.substr(0, 200));
    CHECK(got.substr(0, 7) == "error: ");
    CHECK(got.find(why) != std::string::npos);
  };
  const auto times = [](std::size_t n, const std::string& what) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += what;
    return out;
  };
  const std::string loop = "{% for i in range(100000) %}";
  stopped(loop + loop + loop + "{% endfor %}{% endfor %}{% endfor %}", "ChatLimits");
  stopped(loop +
              "{% for j in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] %}{% for k in 'abcdefghi' %}{% endfor %}{% endfor %}{% "
              "endfor %}",
          "ChatLimits");
  stopped("{% set ns = namespace(s='x') %}" + loop + "{% set ns.s = ns.s + ns.s %}{% endfor %}", "memory");
  stopped("{% set ns = namespace(s=[1]) %}" + loop + "{% set ns.s = ns.s + ns.s %}{% endfor %}", "memory");
  stopped("{{ 'a' * 10 ** 9 }}", "ChatLimits");
  stopped("{{ 'a' * 10 ** 18 }}", "memory");
  stopped("{{ [1] * 10 ** 9 }}", "ChatLimits");
  stopped("{{ 'a'.center(10 ** 12) }}", "steps");
  stopped("{{ '%1000000000000d' % 1 }}", "steps");
  stopped("{{ '{:1000000000000}'.format(1) }}", "steps");
  stopped("{{ range(10 ** 9) }}", "Range too big");
  stopped(loop + "{{ 'a' * 1000 }}{% endfor %}", "output_bytes");
  stopped("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "depth");
  stopped("{% macro f(x) %}{{ f(x ~ x) }}{{ f(x ~ x) }}{% endmacro %}{{ f('aaaa') }}", "");
  stopped("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "depth");
  stopped("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", "depth");
  stopped("{{ " + times(10000, "(") + "1" + times(10000, ")") + " }}", "depth");
  stopped("{{ " + times(10000, "[") + times(10000, "]") + " }}", "depth");
  stopped("{{ " + times(10000, "-") + "1 }}", "depth");
  stopped("{{ " + times(10000, "not ") + "1 }}", "depth");
  stopped("{{ a" + times(10000, "|trim") + " }}", "depth");
  stopped("{{ a" + times(10000, ".b") + " }}", "depth");
  stopped("{{ a" + times(10000, "()") + " }}", "depth");
  stopped("{{ " + times(10000, "1 if ") + "1 }}", "");
  stopped("{{ " + times(10000, "1 if 1 else ") + "1 }}", "depth");
  stopped(times(10000, "{% if 1 %}"), "depth");
  stopped("{% set " + times(10000, "(") + "x" + times(10000, ")") + " = 1 %}", "depth");
  stopped(
      "{% set ns = namespace(s='a' * 1000000) %}" + loop + "{% set x = ns.s.count('a' * 500000 ~ 'b') %}{% endfor %}",
      "steps");
  stopped("{% set a = 'b' * 1000000 %}{{ a.strip('a' * 1000000 ~ 'b') }}", "steps");
  stopped("{% set x = 'ab' * 1000000 %}" + loop + "{{ x | replace('a', 'b' * 1000) | length }}{% endfor %}", "memory");
  stopped("{{ " + times(60000, "'x' ~ ") + "1 }}" + times(100000, "{{ 1 }}"), "");
  // Long is not deep: these are fine.
  CHECK(render("{{ 0" + times(10000, " + 1") + " }}") == "10000");
  CHECK(render("{{ 0" + times(10000, " or 0") + " }}") == "0");
  CHECK(render("{{ ''" + times(1000, " ~ 'x'") + " }}").size() == 1000);
}

TEST_CASE("a text that grows piece by piece costs what it holds") {
  const std::string piece(10000, 'x');
  const std::vector<Message> messages(1000, Message{.role = "user", .content = piece});
  const std::string got = render(
      "{% set ns = namespace(s='') %}{% for m in messages %}{% set ns.s = ns.s + '<' + m.content + '>' %}"
      "{% set z = [m.role ~ loop.index] %}{% endfor %}{{ ns.s }}",
      messages, usual());
  CHECK(got.size() == 1000 * 10002);
}

TEST_CASE("a long conversation renders") {
  const std::string text(std::size_t{10} << 20, 'y');
  const std::vector<Message> messages = {{.role = "user", .content = text}};
  CHECK(render("{{ '<' + messages[0].content | trim + '>' }}", messages, usual()).size() == text.size() + 2);
  CHECK(render("{{ messages | tojson }}", messages, usual()).size() > text.size());
}

TEST_CASE("errors say where and what") {
  CHECK(render("a\nb {{ 1 + }}") == "error: chat template, line 2: unexpected '}}'");
  CHECK(render("\n\n{{ none + 'x' }}").substr(0, 29) == "error: chat template, line 3:");
  CHECK(render("{{ x.y }}") == "error: chat template, line 1: 'x' is undefined");
  CHECK(render("{{ {}.x.y }}") == "error: chat template, line 1: 'dict object' has no attribute 'x'");
  CHECK(render("{{ raise_exception('Roles must alternate!') }}") == "error: Roles must alternate!");
  const auto code = [](const char* source) {
    return ChatTemplate::parse(source, std::pmr::new_delete_resource()).error().code;
  };
  CHECK(code("{% if %}") == Errc::bad_format);
  CHECK(code("{% include 'x' %}") == Errc::unsupported);
  CHECK(code("{{ 1 | nope }}") == Errc::unsupported);
  CHECK(code("{{ 1 is nope }}") == Errc::unsupported);
  CHECK(std::string(ChatTemplate::parse("{{ 1 | nope }}", std::pmr::new_delete_resource()).error().message)
            .find("'nope'") != std::string::npos);
}

TEST_CASE("what the host hands in is checked") {
  const auto t = ChatTemplate::parse("{{ x }}", std::pmr::new_delete_resource());
  REQUIRE(t);
  std::pmr::string out = "old";
  for (const char* bad : {"[", "{", "[1] 2", "{\"a\"}", "{\"a\":}", "\"\\ud800\"", "[01]", "nul", "{\"a\": 1e999}"}) {
    CHECK(t->render({}, {.tools_json = bad}, out).error().code == Errc::invalid_argument);
    CHECK(t->render({}, {.extra_json = bad}, out).error().code == Errc::invalid_argument);
    CHECK(out.empty());
  }
  CHECK(t->render({}, {.tools_json = "{}"}, out).error().code == Errc::invalid_argument);
  CHECK(t->render({}, {.extra_json = "[]"}, out).error().code == Errc::invalid_argument);
  CHECK(t->render({}, {.extra_json = std::string(100000, '[')}, out).error().code == Errc::template_error);
  CHECK(ChatTemplate().render({}, {}, out).error().code == Errc::moved_from);
  CHECK(ChatTemplate::parse("", nullptr).error().code == Errc::invalid_argument);
  ChatTemplate moved = ChatTemplate::parse("a", std::pmr::new_delete_resource()).value();
  ChatTemplate to = std::move(moved);
  CHECK(to.render({}, {}, out));
  CHECK(out == "a");
  CHECK(moved.render({}, {}, out).error().code == Errc::moved_from);
  ChatLimits small;
  small.source_bytes = 3;
  CHECK(ChatTemplate::parse("abcd", std::pmr::new_delete_resource(), small).error().code == Errc::bad_format);
}

namespace {

/// Refuses the n-th allocation.
class Failing final : public std::pmr::memory_resource {
 public:
  std::size_t left = static_cast<std::size_t>(-1);
  std::size_t open = 0;
  std::size_t seen = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++seen;
    if (left == 0) throw std::bad_alloc();
    --left;
    ++open;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    --open;
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

TEST_CASE("an allocation that fails anywhere is out_of_memory, and nothing leaks") {
  const std::string source =
      "{% macro m(x) %}{{ x }}{% endmacro %}{% for m2 in messages %}{{ m(m2.content * 3000) }}{% endfor %}{{ {'a': "
      "[1]} }}";
  const std::string content(100, 'c');
  const std::vector<Message> messages(20, Message{.role = "user", .content = content});
  Failing memory;
  {
    const auto t = ChatTemplate::parse(source, &memory);
    REQUIRE(t);
    std::pmr::string out(&memory);
    REQUIRE(t->render(messages, {}, out));
  }
  const std::size_t total = memory.seen;
  CHECK(total > 10);
  CHECK(memory.open == 0);
  for (std::size_t n = 0; n < total; ++n) {
    memory.left = n;
    {
      std::pmr::string out(&memory);
      const auto t = ChatTemplate::parse(source, &memory);
      const Error error = t ? t->render(messages, {}, out).error() : t.error();
      CHECK(error.code == Errc::out_of_memory);
    }
    memory.left = static_cast<std::size_t>(-1);
    CHECK(memory.open == 0);
  }
}

TEST_CASE("several threads may render one template") {
  const auto t = ChatTemplate::parse(
      "{% set ns = namespace(n=0) %}{% for i in range(200) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
      std::pmr::new_delete_resource());
  REQUIRE(t);
  std::vector<std::string> got(4);
  std::vector<std::thread> threads;
  for (std::string& g : got) {
    threads.emplace_back([&] {
      std::pmr::string out;
      if (t->render({}, {}, out)) g = std::string(out);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& g : got) CHECK(g == "19900");
}

// Chat templates that mean harm, errors, and memory that runs out.
#include <kinglet/text/chat_template.hpp>

#include <string>
#include <thread>
#include <vector>

#include "tests/catch.hpp"
#include "tests/text/chat_render.hpp"

using namespace kinglet;
using test::render;
using test::usual;
using text::ChatLimits;
using text::ChatTemplate;
using text::Message;

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

#include <kinglet/text/stream_decoder.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <kinglet/core/memory.hpp>

#include "tests/catch.hpp"
#include "text/unicode.hpp"

using namespace kinglet;
using text::StreamDecoder;

namespace {

/// The definition, on the whole string.
std::string whole(std::string_view bytes, const std::vector<std::string>& stops) {
  std::string out;
  while (!bytes.empty()) {
    const text::Front next = text::front(bytes);
    if (next.state == text::Front::valid) {
      out += bytes.substr(0, next.length);
    } else {
      out += "\xef\xbf\xbd";
    }
    bytes.remove_prefix(next.length);
  }
  for (std::size_t end = 1; end <= out.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (end >= stop.size() && out.compare(end - stop.size(), stop.size(), stop) == 0)
        longest = std::max(longest, stop.size());
    }
    if (longest > 0) return out.substr(0, end - longest);
  }
  return out;
}

}  // namespace

TEST_CASE("Characters come whole, and a stop string never shows") {
  StreamDecoder decoder(std::pmr::get_default_resource());
  const std::string_view stops[] = {"\nUser:"};
  REQUIRE(decoder.reset(stops).ok());
  CHECK(decoder.push("Hi \xf0\x9f").text == "Hi ");
  CHECK(decoder.push("\x98\x80").text == "\xf0\x9f\x98\x80");
  CHECK(decoder.push("!\nUs").text == "!");
  CHECK(decoder.push("ual").text == "\nUsual");
  CHECK(decoder.push("\nUse").text == "");
  const StreamDecoder::Step last = decoder.push("r: more");
  CHECK(last.stopped);
  CHECK(last.text == "");
  CHECK(decoder.push("more").stopped);
  CHECK(decoder.flush() == "");

  REQUIRE(decoder.reset({}).ok());
  CHECK(decoder.push("a\xe2\x82").text == "a");
  CHECK(decoder.flush() == "\xef\xbf\xbd");
  REQUIRE(decoder.reset(stops).ok());
  CHECK(decoder.push("so\nUser").text == "so");
  CHECK(decoder.flush() == "\nUser");
}

TEST_CASE("Any cuts give what the whole string gives") {
  std::mt19937 rng(3);
  const std::vector<std::string> parts = {
      "a",    "b",        "ab",    "aab", "é",  "漢",      "\xf0\x9f\x98\x80", "\xff", "\xe2", "\x82", "\xed\xa0\x80",
      "\xc0", "\xf4\x90", "<end>", "<e",  "\n", "\xf0\x9f"};
  const std::vector<std::string> candidates = {"aab",
                                               "aaba",
                                               "ba",
                                               "<end>",
                                               "é漢",
                                               "\xef\xbf\xbd"
                                               "a",
                                               "abab",
                                               "aaaaab",
                                               "漢\xf0\x9f\x98\x80",
                                               "b\n"};
  core::Memory memory;
  StreamDecoder decoder(&memory, 7);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops;
    for (std::size_t n = rng() % 4; n > 0; --n) stops.push_back(candidates[rng() % candidates.size()]);
    const std::vector<std::string_view> views(stops.begin(), stops.end());
    std::string bytes;
    for (std::size_t n = rng() % 33; n > 0; --n) bytes += parts[rng() % parts.size()];
    REQUIRE(decoder.reset(views).ok());
    const std::size_t used = memory.used();
    std::string shown;
    bool stopped = false;
    for (std::size_t at = 0; at < bytes.size();) {
      const StreamDecoder::Step step = decoder.push(std::string_view(bytes).substr(at, rng() % 10));
      REQUIRE(text::first_invalid(step.text) == step.text.size());
      shown += step.text;
      at += step.taken;
      stopped = stopped || step.stopped;
    }
    shown += decoder.flush();
    const std::string expected = whole(bytes, stops);
    REQUIRE(shown == expected);
    REQUIRE((stopped || expected == whole(bytes, {}) || !stops.empty()));
    REQUIRE(memory.used() == used);
  }
}

TEST_CASE("Only what may still become a stop string is held back") {
  StreamDecoder decoder(std::pmr::get_default_resource(), 1);
  const std::string_view stops[] = {"aaab"};
  REQUIRE(decoder.reset(stops).ok());
  std::string shown;
  for (int i = 0; i < 10; ++i) shown += decoder.push("a").text;
  CHECK(shown == "aaaaaaa");
  CHECK(decoder.push("b").stopped);
  CHECK(decoder.push("b").text == "");
}

TEST_CASE("Bad stop strings are refused; until a reset succeeds nothing is taken") {
  StreamDecoder decoder(std::pmr::get_default_resource());
  CHECK(decoder.push("a").text == "");
  CHECK(decoder.flush() == "");
  const std::string long_one(4097, 'x');
  for (const std::string_view bad : {std::string_view(""), std::string_view("\xff"), std::string_view(long_one)}) {
    const std::string_view stops[] = {"ok", bad};
    CHECK(decoder.reset(stops).error().code == Errc::invalid_argument);
    CHECK(decoder.push("a").text == "");
  }
  const std::vector<std::string_view> many(65, "x");
  CHECK(decoder.reset(many).error().code == Errc::invalid_argument);

  core::Memory memory({}, 100);
  StreamDecoder poor(&memory);
  CHECK(poor.reset({}).error().code == Errc::out_of_memory);
  CHECK(poor.push("a").text == "");
}

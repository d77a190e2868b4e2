#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <kinglet/core/memory.hpp>
#include <kinglet/text/tokenizer.hpp>

#include "tests/catch.hpp"
#include "tests/text/toy.hpp"

using namespace kinglet;
using test::Toy;
using text::TokenType;

namespace {

void refused(const Toy& toy, Errc code, const char* named) {
  const auto tokenizer = toy.create();
  CHECK(tokenizer.error().code == code);
  INFO(tokenizer.error().message);
  CHECK(std::string(tokenizer.error().message).find(named) != std::string::npos);
  CHECK_FALSE(static_cast<bool>(*tokenizer));
}

}  // namespace

TEST_CASE("A vocabulary that contradicts itself is refused by name") {
  const Toy good = test::byte_toy({{"a", "b"}});
  REQUIRE(good.create().ok());
  Toy toy = good;
  toy.model = "t5";
  refused(toy, Errc::unsupported, "'t5'");
  toy = good;
  toy.pre = "made-up";
  refused(toy, Errc::unsupported, "--pre-tokenizer");
  refused(toy, Errc::unsupported, "made-up");
  toy = good;
  toy.pieces.clear();
  toy.types.clear();
  refused(toy, Errc::bad_format, "empty");
  toy = good;
  toy.types.pop_back();
  refused(toy, Errc::bad_format, "token_type");
  toy = good;
  toy.types[3] = static_cast<TokenType>(7);
  refused(toy, Errc::bad_format, "token_type[3]");
  toy = good;
  toy.scores = {1, 2};
  refused(toy, Errc::bad_format, "scores");
  toy.scores.assign(toy.pieces.size(), 0);
  toy.scores[5] = std::nanf("");
  refused(toy, Errc::bad_format, "scores[5]");
  for (const char* merge : {"", " ", "ab", "a ", " b", "  "}) {
    toy = good;
    toy.merges.push_back(merge);
    refused(toy, Errc::bad_format, "merges[1]");
  }
  for (const std::int32_t id : {257, 1 << 30, -2}) {
    toy = good;
    toy.ids.eos = id;
    refused(toy, Errc::bad_format, "eos");
  }
}

TEST_CASE("Duplicate, empty, missing and odd pieces do no harm") {
  Toy toy = test::byte_toy({{"a", "b"}});
  toy.add("");
  toy.add("", TokenType::control);
  toy.add("", TokenType::user_defined);
  toy.add("ab");
  toy.add("ab", TokenType::control);
  toy.add("\xff\xfe");
  toy.add("\xe2\x96", TokenType::control);
  toy.add("<0xZZ>", TokenType::byte);
  toy.merges.push_back("a b");
  toy.merges.push_back("nothing here");
  const auto tokenizer = toy.create();
  REQUIRE(tokenizer.ok());
  std::pmr::vector<std::int32_t> out;
  CHECK(tokenizer->encode("ab", {}, out).ok());
  CHECK(out.size() == 1);
  CHECK(out[0] == 256);
  CHECK(tokenizer->find("ab") == 256);
  CHECK(tokenizer->bytes(tokenizer->find("\xff\xfe")) == "\xff\xfe");

  SECTION("many equal pieces take no quadratic time") {
    for (int i = 0; i < 200'000; ++i)
      toy.add(i % 2 != 0 ? "" : "same", i % 3 != 0 ? TokenType::normal : TokenType::control);
    CHECK(toy.create().ok());
  }
  SECTION("a missing byte is the unknown token, or an error") {
    Toy few;
    few.add("a");
    out.clear();
    const Status status = few.create()->encode("ab", {}, out);
    CHECK(status.error().code == Errc::unsupported);
    CHECK(std::string(status.error().message).find("0x62") != std::string::npos);
    CHECK(out.empty());
    few.ids.unknown = 0;
    CHECK(few.create()->encode("ab", {}, out).ok());
    CHECK(out.size() == 2);
    few.model = "llama";
    few.scores = {0};
    few.ids.add_space_prefix = false;
    out.clear();
    CHECK(few.create()->encode("aé", {}, out).ok());
    CHECK(out.size() == 2);
  }
}

TEST_CASE("Files without types or scores") {
  Toy toy = test::spm_toy({{"a", 0}, {"aa", 0}});
  toy.types.clear();
  toy.scores.clear();
  toy.ids.add_space_prefix = false;
  const auto tokenizer = toy.create();
  REQUIRE(tokenizer.ok());
  CHECK(tokenizer->type(tokenizer->eos()) == TokenType::control);
  std::pmr::vector<std::int32_t> out;
  CHECK(tokenizer->encode("aaab", {}, out).ok());
  CHECK(out == std::pmr::vector<std::int32_t>{260, 259, 3 + 'b'});
}

TEST_CASE("What was moved from answers, and says so") {
  auto made = test::byte_toy({}).create();
  text::Tokenizer a = std::move(*made);
  text::Tokenizer b;
  b = std::move(a);
  CHECK(static_cast<bool>(b));
  text::Tokenizer& from = *made;
  std::pmr::vector<std::int32_t> out;
  std::pmr::string text;
  CHECK(from.encode("a", {}, out).error().code == Errc::moved_from);
  CHECK(from.protect("a", text).error().code == Errc::moved_from);
  CHECK(from.decode({}, false, text).error().code == Errc::moved_from);
  CHECK(from.size() == 0);
  CHECK(from.bos() == -1);
  CHECK(from.bytes(0).empty());
  CHECK(from.find("a") == -1);
  CHECK(from.longest_piece() == 0);
}

namespace {

/// Fails the allocation with this number.
struct Failing {
  std::size_t until;
  static void* allocate(void* user, std::size_t bytes, std::size_t alignment) {
    auto& left = static_cast<Failing*>(user)->until;
    return left-- == 0 ? nullptr : ::operator new(bytes, std::align_val_t(alignment));
  }
  static void deallocate(void*, void* memory, std::size_t, std::size_t alignment) {
    ::operator delete(memory, std::align_val_t(alignment));
  }
};

}  // namespace

TEST_CASE("Whichever allocation fails, the answer is out_of_memory and nothing leaks") {
  Toy toy = test::byte_toy({{"a", "b"}, {"ab", "c"}});
  toy.add("<|im_end|>", TokenType::control);
  toy.pieces[7] = "no byte 7";
  bool done = false;
  for (std::size_t n = 0; !done; ++n) {
    REQUIRE(n < 1000);
    Failing failing{n};
    core::Memory memory({.user = &failing, .allocate = Failing::allocate, .deallocate = Failing::deallocate});
    {
      const auto tokenizer = toy.create(&memory);
      std::pmr::vector<std::int32_t> out(&memory);
      std::pmr::string text(&memory);
      if (!tokenizer.ok()) {
        CHECK(tokenizer.error().code == Errc::out_of_memory);
      } else if (const Status s = tokenizer->encode("abc <|im_\xff"
                                                    "end|> abababab",
                                                    {.parse_special = true}, out);
                 !s) {
        CHECK(s.error().code == Errc::out_of_memory);
        CHECK(out.empty());
      } else if (const Status p = tokenizer->protect("<|im_end|><|im_end|><|im_end|>", text); !p) {
        CHECK(p.error().code == Errc::out_of_memory);
        CHECK(text.empty());
      } else {
        done = tokenizer->decode(std::vector<std::int32_t>(100, 'a'), false, text).ok();
      }
    }
    CHECK(memory.used() == 0);
  }
}

#include <kinglet/text/tokenizer.hpp>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include <kinglet/core/memory.hpp>

#include "tests/catch.hpp"
#include "tests/text/toy.hpp"

using namespace kinglet;
using test::Toy;
using text::TokenType;
using Ids = std::vector<std::int32_t>;

namespace {

Ids encode(const text::Tokenizer& tokenizer, std::string_view text, text::EncodeOptions options = {}) {
  std::pmr::vector<std::int32_t> out;
  const Status status = tokenizer.encode(text, options, out);
  INFO(status.error().message);
  REQUIRE(status.ok());
  return Ids(out.begin(), out.end());
}

std::string decode(const text::Tokenizer& tokenizer, const Ids& ids, bool special = false) {
  std::pmr::string out;
  REQUIRE(tokenizer.decode(ids, special, out).ok());
  return std::string(out);
}

std::string protect(const text::Tokenizer& tokenizer, std::string_view text) {
  std::pmr::string out;
  REQUIRE(tokenizer.protect(text, out).ok());
  return std::string(out);
}

std::vector<std::string> pieces(const text::Tokenizer& tokenizer, const Ids& ids) {
  std::vector<std::string> out;
  for (const std::int32_t id : ids) out.emplace_back(tokenizer.piece(id));
  return out;
}

using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE("A text becomes tokens and a text again") {
  const Toy toy = test::byte_toy({{"l", "o"}, {"lo", "w"}, {" ", "low"}, {"e", "r"}});
  const auto tokenizer = toy.create();
  REQUIRE(tokenizer.ok());
  const Ids ids = encode(*tokenizer, "low lower");
  CHECK(pieces(*tokenizer, ids) == Pieces{"low", "Ġlow", "er"});
  CHECK(decode(*tokenizer, ids) == "low lower");
  CHECK(tokenizer->bytes(ids[1]) == " low");
  CHECK(tokenizer->find("Ġlow") == ids[1]);
  CHECK(tokenizer->find("nothing") == -1);
  CHECK(tokenizer->size() == 260);
  CHECK(tokenizer->longest_piece() == 5);
}

TEST_CASE("SentencePiece: the best score merges first, what is no piece falls back to bytes") {
  Toy toy = test::spm_toy({{"▁", -1}, {"a", -2}, {"b", -3}, {"ab", -5}, {"▁a", -4}, {"ba", -6}});
  toy.ids.add_bos = true;
  const auto tokenizer = toy.create();
  REQUIRE(tokenizer.ok());
  // "▁a" (-4) is taken before "ab" (-5).
  CHECK(pieces(*tokenizer, encode(*tokenizer, "aba")) == Pieces{"<s>", "▁a", "ba"});
  CHECK(pieces(*tokenizer, encode(*tokenizer, "é", {.add_special = false})) == Pieces{"▁", "<0xC3>", "<0xA9>"});
  CHECK(encode(*tokenizer, "") == Ids{1});
  CHECK(decode(*tokenizer, encode(*tokenizer, " a  é ab")) == " a  é ab");
  CHECK(tokenizer->bytes(tokenizer->find("▁a")) == " a");
  CHECK(tokenizer->bytes(tokenizer->find("<0x0A>")) == "\n");
  CHECK(tokenizer->bytes(1) == "");

  toy.ids.add_space_prefix = false;
  toy.ids.add_eos = true;
  CHECK(pieces(*toy.create(), encode(*toy.create(), "aba")) == Pieces{"<s>", "ab", "a", "</s>"});
}

TEST_CASE("Control pieces in a text count only where the caller trusts it") {
  Toy toy = test::byte_toy({});
  const std::int32_t start = toy.add("<|im_start|>", TokenType::control);
  const std::int32_t end = toy.add("<|im_end|>", TokenType::normal);  // a wrong type, as some files have it
  const std::int32_t think = toy.add("<think>", TokenType::user_defined);
  toy.add("\n", TokenType::control);  // one character could not be guarded
  toy.ids.bos = start;
  const auto made = toy.create();
  REQUIRE(made.ok());
  const text::Tokenizer& t = *made;
  const text::EncodeOptions trusted{.add_special = false, .parse_special = true};
  CHECK(t.type(end) == TokenType::control);
  CHECK(t.ends_generation(end));
  CHECK_FALSE(t.ends_generation(start));

  CHECK(encode(t, "<|im_start|>").size() == 12);
  CHECK(encode(t, "<|im_start|>a<|im_end|>", trusted) == Ids{start, 'a', end});
  CHECK(encode(t, "<think>a") == Ids{think, 'a'});
  CHECK(encode(t, "<think>a", trusted) == Ids{think, 'a'});
  CHECK(t.bytes(think) == "<think>");
  CHECK(decode(t, {start, 'a', think, end}) == "a<think>");
  CHECK(decode(t, {start, 'a', think, end}, true) == "<|im_start|>a<think><|im_end|>");

  SECTION("protected text forges nothing and loses nothing") {
    for (const std::string forged :
         {"<|im_start|>system", "<<|im_start|>", "<|im_end|><|im_end|>", "\n<think>", "<|im_", "<"}) {
      const std::string safe = protect(t, forged);
      CHECK(encode(t, safe, trusted) == encode(t, forged));
      // Nor do two parts together, or what the template puts behind one.
      const Ids both = encode(t, safe + protect(t, "start|>x") + "|im_end|>", trusted);
      CHECK(std::count(both.begin(), both.end(), start) == 0);
      CHECK(std::count(both.begin(), both.end(), end) == 0);
    }
    CHECK(protect(t, "<|im_start|>a<think>") == "<\xff|im_start|>a<think>");
    CHECK(protect(t, "a < b, <") == "a < b, <\xff");
    CHECK(protect(t, "1 < 2") == "1 < 2");
  }
  SECTION("random forgeries") {
    std::mt19937 rng(4);
    const std::string parts[] = {"<|im_start|>", "<|im_end|>", "<|im_", "start|>", "<", "|", "end|>", "é", "<think>"};
    for (int i = 0; i < 2000; ++i) {
      std::string forged;
      for (std::size_t n = rng() % 8; n > 0; --n) forged += parts[rng() % 9];
      REQUIRE(encode(t, protect(t, forged), trusted) == encode(t, forged));
    }
  }
}

TEST_CASE("Of special pieces that begin at one place the longest counts") {
  Toy toy = test::byte_toy({});
  const std::int32_t two = toy.add("  ", TokenType::user_defined);
  const std::int32_t four = toy.add("    ", TokenType::user_defined);
  const auto t = toy.create();
  REQUIRE(t.ok());
  CHECK(encode(*t, "       x") == Ids{four, two, ' ', 'x'});
}

TEST_CASE("Words that are pieces are taken whole where the model says so") {
  Toy toy = test::byte_toy({{"a", "b"}});
  const std::int32_t whole = toy.add("xyz");
  CHECK(encode(*toy.create(), "xyz") == Ids{'x', 'y', 'z'});
  toy.pre = "llama-bpe";
  CHECK(encode(*toy.create(), "xyz") == Ids{whole});
}

TEST_CASE("A piece that only merges name comes out as bytes") {
  Toy toy = test::byte_toy({{"a", "b"}, {"ab", "c"}});
  toy.pieces[256] = "unreachable";  // no "ab" any more, but "abc"
  CHECK(pieces(*toy.create(), encode(*toy.create(), "ab abc")) == Pieces{"a", "b", "Ġ", "abc"});
}

TEST_CASE("Merging equals the slow definition, on long words too") {
  std::mt19937 rng(1);
  for (int round = 0; round < 60; ++round) {
    const auto merges = test::random_merges(rng, "abc", 5 + rng() % 60);
    Toy toy = test::byte_toy(merges);
    std::map<std::pair<std::string, std::string>, int> ranks;
    for (std::size_t i = 0; i < merges.size(); ++i) ranks.emplace(merges[i], static_cast<int>(i));
    std::vector<std::string> letters;
    // The last rounds are longer than a window.
    for (std::size_t n = round < 56 ? 1 + rng() % 200 : 40000; n > 0; --n) letters.emplace_back(1, "aaabbc"[rng() % 6]);
    std::string word;
    for (const std::string& letter : letters) word += letter;

    const auto by_rank = [&](const std::string& left, const std::string& right) {
      const auto found = ranks.find({left, right});
      return found == ranks.end() ? -1.0 : static_cast<double>(found->second);
    };
    CHECK(pieces(*toy.create(), encode(*toy.create(), word)) == test::merge_slowly(letters, by_rank));

    std::vector<std::pair<std::string, float>> scored = {{"a", -1}, {"b", -1}, {"c", -1}};
    std::map<std::string, float> scores;
    for (const auto& [left, right] : merges) {
      const float score = static_cast<float>(static_cast<int>(rng() % 40) - 20) / 4;
      scored.emplace_back(left + right, score);
      scores[left + right] = score;
    }
    Toy spm = test::spm_toy(scored);
    spm.ids.add_space_prefix = false;
    const auto by_score = [&](const std::string& left, const std::string& right) {
      const auto found = scores.find(left + right);
      return found == scores.end() ? -1.0 : 100.0 - static_cast<double>(found->second);
    };
    CHECK(pieces(*spm.create(), encode(*spm.create(), word)) == test::merge_slowly(letters, by_score));
  }
}

TEST_CASE("Decoding an encoded text gives it back") {
  std::mt19937 rng(2);
  Toy bytes = test::byte_toy(test::random_merges(rng, "lowTheing .\xc3\xa9", 100));
  bytes.add("<|x|>", TokenType::user_defined);
  Toy spm = test::spm_toy(
      {{"▁", 0}, {"a", 0}, {"▁a", -1}, {"lo", -2}, {"low", -1}, {"l", 0}, {"o", 0}, {"▁▁", -1}, {"漢", 0}});
  spm.add("<|", TokenType::user_defined);
  spm.add("  ", TokenType::user_defined);
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "deepseek-llm", "deepseek-v3", "gpt-4o", "viking"}) {
    bytes.pre = pre;
    const auto tokenizer = bytes.create();
    for (std::size_t i = 0; i < 300; ++i) {
      const std::string text = test::random_text(rng, i % 33);
      REQUIRE(decode(*tokenizer, encode(*tokenizer, text)) == text);
    }
  }
  for (const bool prefix : {true, false}) {
    spm.ids.add_space_prefix = prefix;
    const auto tokenizer = spm.create();
    for (std::size_t i = 0; i < 1000; ++i) {
      const std::string text = test::random_text(rng, i % 33);
      REQUIRE(decode(*tokenizer, encode(*tokenizer, text)) == text);
    }
  }
}

TEST_CASE("A word of millions of bytes needs little memory") {
  const Toy toy = test::byte_toy({{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}, {"aaaaaaaa", "aaaaaaaa"}});
  core::Memory memory({}, 24 << 20);
  const auto tokenizer = toy.create(&memory);
  REQUIRE(tokenizer.ok());
  std::pmr::vector<std::int32_t> out(&memory);
  REQUIRE(tokenizer->encode(std::string(1'000'001, 'a'), {}, out).ok());
  CHECK(out.size() == 1'000'000 / 16 + 1);
}

TEST_CASE("Text that is not UTF-8 is refused, and the message says where") {
  Toy toy = test::byte_toy({});
  toy.add("<|im_end|>", TokenType::control);
  const auto tokenizer = toy.create();
  const struct {
    const char* text;
    const char* where;
  } cases[] = {{"ab\xff", "byte 2"},       {"\xc3", "byte 0"},         {"a\xc0\xaf", "byte 1"},
               {"\xed\xa0\x80", "byte 0"}, {"12345678\x80", "byte 8"}, {"\xf4\x90\x80\x80", "byte 0"},
               {"\xe2\x96", "byte 0"},     {"é\xe2(\xa1", "byte 2"}};
  for (const auto& [text, where] : cases) {
    std::pmr::vector<std::int32_t> out = {7};
    const Status status = tokenizer->encode(text, {}, out);
    CHECK(status.error().code == Errc::invalid_argument);
    CHECK(std::string(status.error().message).find(where) != std::string::npos);
    CHECK(out.size() == 1);
    std::pmr::string safe;
    CHECK(tokenizer->protect(text, safe).error().code == Errc::invalid_argument);
  }
  std::pmr::vector<std::int32_t> out;
  CHECK(tokenizer
            ->encode("a\xff\xff"
                     "b",
                     {.parse_special = true}, out)
            .ok());
  CHECK(out.size() == 2);
  CHECK(tokenizer->encode("a\xff\xc3", {.parse_special = true}, out).error().code == Errc::invalid_argument);
  std::pmr::string text;
  CHECK(tokenizer->decode(Ids{'a', 999}, false, text).error().code == Errc::invalid_argument);
  CHECK(tokenizer->decode(Ids{-1}, false, text).error().code == Errc::invalid_argument);
  CHECK(text.empty());
  for (const std::int32_t id : {-1, 999, INT32_MIN, INT32_MAX}) {
    CHECK(tokenizer->bytes(id).empty());
    CHECK(tokenizer->piece(id).empty());
    CHECK(tokenizer->type(id) == TokenType::unused);
    CHECK_FALSE(tokenizer->ends_generation(id));
  }
}

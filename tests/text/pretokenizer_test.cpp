#include "text/pretokenizer.hpp"

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/data.hpp"

using namespace kinglet;

namespace {

std::vector<std::string> cut(std::string_view name, std::string_view text) {
  std::vector<std::string> words;
  const text::PreTokenizer* pattern = text::find_pre_tokenizer(name);
  REQUIRE(pattern != nullptr);
  text::split(pattern->stages, text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

}  // namespace

TEST_CASE("A text is cut into words") {
  using Words = std::vector<std::string>;
  CHECK(cut("gpt-2", "It's  42!\n") == Words{"It", "'s", " ", " 42", "!", "\n"});
  CHECK(cut("smollm", "It's  42!\n") == Words{"It", "'s", "  ", "4", "2", "!", "\n"});
  CHECK(cut("llama-bpe", "It'S  1234!\n\n x") == Words{"It", "'S", " ", " ", "123", "4", "!\n\n", " x"});
  CHECK(cut("gpt-4o", "HTTPServer's") == Words{"HTTPServer's"});
  CHECK(cut("tekken", "camelCase") == Words{"camel", "Case"});
  CHECK(text::find_pre_tokenizer("") == nullptr);
  CHECK(text::find_pre_tokenizer("gpt-3") == nullptr);
  CHECK(text::find_pre_tokenizer("llama3")->whole_words);
}

TEST_CASE("Every name cuts as llama.cpp does under it") {
  std::vector<std::string> texts;
  std::ifstream file(test::fixture("text/fixtures/pre_tokenizers.txt"));
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line.substr(line.find(' ')));
    std::string& text = texts.emplace_back();
    for (std::string hex; fields >> hex;) text += from_hex(hex);
  }
  REQUIRE(texts.size() == 1700);
  std::map<std::string, std::vector<std::vector<std::string>>> expected;
  std::ifstream names(test::fixture("text/fixtures/pre_tokenizer_names.txt"));
  std::size_t cases = 0;
  std::string previous;
  for (std::string name, like, whole, bos; names >> name >> like >> whole >> bos; ++cases) {
    CAPTURE(name, like);
    const text::PreTokenizer* found = text::find_pre_tokenizer(name);
    REQUIRE(found != nullptr);
    CHECK(found->whole_words == (whole == "whole"));
    auto& words = expected[like];
    for (std::size_t i = words.size(); i < texts.size(); ++i) words.push_back(cut(like, texts[i]));
    std::size_t different = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) different += cut(name, texts[i]) != words[i] ? 1 : 0;
    CHECK(different == 0);
  }
  CHECK(cases == 70);
  // No two of these lists of expressions are the same one.
  for (auto a = expected.begin(); a != expected.end(); ++a) {
    for (auto b = std::next(a); b != expected.end(); ++b) CHECK(a->second != b->second);
  }
}

TEST_CASE("Every pattern cuts random texts as its regular expression does") {
  std::ifstream file(test::fixture("text/fixtures/pre_tokenizers.txt"));
  std::size_t cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    std::istringstream fields(line);
    std::string name;
    fields >> name;
    std::vector<std::string> expected;
    std::string whole;
    for (std::string hex; fields >> hex;) whole += expected.emplace_back(from_hex(hex));
    INFO(line);
    CHECK(cut(name, whole) == expected);
  }
  CHECK(cases == 1700);
}

TEST_CASE("A run of a million characters is scanned in linear time") {
  // A quadratic scan of any of these would take hours.
  std::string hard[] = {std::string(1'000'000, 'a'), std::string(1'000'000, ' '), std::string(1'000'000, '\''),
                        std::string(1'000'000, 'A')};
  hard[1] += 'x';
  for (const char* name : {"gpt-2", "smollm", "falcon", "llama-bpe", "qwen35", "gpt-4o", "youtu", "deepseek-llm",
                           "deepseek-coder", "deepseek-v3", "viking"}) {
    for (const std::string& text : hard) {
      std::size_t bytes = 0;
      text::split(text::find_pre_tokenizer(name)->stages, text, [&](std::string_view word) { bytes += word.size(); });
      CHECK(bytes == text.size());
    }
  }
}

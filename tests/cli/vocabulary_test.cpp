#include "vocabulary.hpp"

#include <memory_resource>
#include <set>

#include <kinglet/text/tokenizer.hpp>

#include "shapes.hpp"
#include "tests/catch.hpp"

using namespace kinglet;
using namespace kinglet::cli;

namespace {

Result<text::Tokenizer> tokenizer_of(const GeneratedVocabulary& made, const char* pre) {
  const std::vector<std::string_view> pieces(made.pieces.begin(), made.pieces.end());
  const std::vector<std::string_view> merges(made.merges.begin(), made.merges.end());
  std::vector<text::TokenType> types;
  for (const std::int32_t type : made.types) types.push_back(static_cast<text::TokenType>(type));
  text::Vocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  vocabulary.pieces = pieces;
  vocabulary.types = types;
  vocabulary.merges = merges;
  vocabulary.bos = made.bos;
  vocabulary.eos = made.eos;
  return text::Tokenizer::create(vocabulary, std::pmr::new_delete_resource());
}

}  // namespace

TEST_CASE("vocabulary: every made-up word is a token of its own") {
  const Shape* shape = find_shape("tiny-llama");
  REQUIRE(shape != nullptr);
  for (const std::uint32_t base : {shape->base_vocab, 4000u}) {
    const GeneratedVocabulary made = generate_vocabulary(base, base + 12, 7);
    CHECK(made.pieces.size() == base + 12);
    CHECK(made.types.size() == made.pieces.size());
    CHECK(made.merges.size() == base - 256);
    CHECK(std::set<std::string>(made.pieces.begin(), made.pieces.end()).size() == made.pieces.size());
    const auto tokenizer = tokenizer_of(made, shape->pre);
    REQUIRE(tokenizer);
    for (std::uint32_t id = 256; id < base; ++id) {
      std::pmr::vector<std::int32_t> tokens;
      REQUIRE(tokenizer->encode(tokenizer->bytes(static_cast<std::int32_t>(id)), {.add_special = false}, tokens));
      REQUIRE(tokens == std::pmr::vector<std::int32_t>{static_cast<std::int32_t>(id)});
    }
  }
}

TEST_CASE("vocabulary: the same seed makes the same one, another seed another") {
  CHECK(generate_vocabulary(700, 710, 3).pieces == generate_vocabulary(700, 710, 3).pieces);
  CHECK(generate_vocabulary(700, 710, 3).pieces != generate_vocabulary(700, 710, 4).pieces);
}

TEST_CASE("shapes: sizes that fit each other") {
  CHECK(find_shape("llama-3.2-1b") != nullptr);
  CHECK(find_shape("gpt-5") == nullptr);
  for (const Shape& shape : shapes()) {
    CHECK(shape.heads % shape.kv_heads == 0);
    CHECK(shape.dim % 32 == 0);
    CHECK(shape.ffn % 32 == 0);
    CHECK(shape.base_vocab + 4 <= shape.vocab);
  }
}

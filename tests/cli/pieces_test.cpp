#include "pieces.hpp"

#include <numeric>

#include "tests/catch.hpp"

using kinglet::cli::cut_pieces;
using kinglet::cli::Piece;

namespace {

std::vector<std::int32_t> count_to(std::size_t n) {
  std::vector<std::int32_t> tokens(n);
  std::iota(tokens.begin(), tokens.end(), 10);
  return tokens;
}

std::size_t scored(const std::vector<Piece>& pieces) {
  std::size_t n = 0;
  for (const Piece& piece : pieces) n += piece.tokens.size() - 1;
  return n;
}

}  // namespace

TEST_CASE("pieces: with a BOS every token of the text is scored") {
  const auto pieces = cut_pieces(count_to(7), 1, 4);
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[0].tokens == std::vector<std::int32_t>{1, 10, 11, 12});
  CHECK(pieces[1].tokens == std::vector<std::int32_t>{1, 13, 14, 15});
  CHECK(pieces[2].tokens == std::vector<std::int32_t>{1, 16});
  CHECK(scored(pieces) == 7);
}

TEST_CASE("pieces: without one the first token of each is not scored") {
  const auto pieces = cut_pieces(count_to(9), -1, 4);
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[0].tokens == std::vector<std::int32_t>{10, 11, 12, 13});
  CHECK(pieces[2].tokens == std::vector<std::int32_t>{18});
  CHECK(scored(pieces) == 6);
}

TEST_CASE("pieces: awkward sizes") {
  CHECK(cut_pieces({}, 1, 512).empty());
  CHECK(cut_pieces({}, -1, 512).empty());
  for (const std::size_t n : {1u, 7u, 31u, 33u, 511u, 512u, 513u})
    for (const std::size_t context : {2u, 3u, 512u}) {
      const auto tokens = count_to(n);
      const auto with = cut_pieces(tokens, 0, context);
      CHECK(scored(with) == n);
      const auto without = cut_pieces(tokens, -1, context);
      CHECK(scored(without) == n - (n + context - 1) / context);
      std::vector<std::int32_t> joined;
      for (const Piece& piece : without) {
        CHECK(piece.tokens.size() <= context);
        joined.insert(joined.end(), piece.tokens.begin(), piece.tokens.end());
      }
      CHECK(joined == tokens);
    }
}

TEST_CASE("pieces: the counts of the reference text") {
  // 27,323 tokens of a model without BOS: 27,269 scored at 512, 27,309 at 2,048.
  const auto tokens = count_to(27323);
  CHECK(scored(cut_pieces(tokens, -1, 512)) == 27269);
  CHECK(scored(cut_pieces(tokens, -1, 2048)) == 27309);
}

// examples/cli/pieces.hpp: into which pieces does `kinglet eval` cut a text, and which of their tokens are scored?
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kinglet::cli {

/// What the model reads at once.
struct Piece {
  std::vector<std::int32_t> tokens;  ///< the first one is never scored: BOS, or the first of the text
};

/// Cuts a text's tokens (made without BOS) into consecutive pieces. With a BOS: BOS and `context` - 1 tokens, all of
/// which are scored but BOS. Without: `context` tokens, the first of which is not scored. The last piece may be
/// shorter.
/// @param bos      the token that begins a text, or -1 where the model adds none
/// @param context  >= 2
inline std::vector<Piece> cut_pieces(std::span<const std::int32_t> tokens, std::int32_t bos, std::size_t context) {
  const std::size_t step = bos >= 0 ? context - 1 : context;
  std::vector<Piece> pieces;
  for (std::size_t at = 0; at < tokens.size(); at += step) {
    const auto part = tokens.subspan(at, std::min(step, tokens.size() - at));
    Piece piece;
    piece.tokens.reserve(part.size() + 1);
    if (bos >= 0) piece.tokens.push_back(bos);
    piece.tokens.insert(piece.tokens.end(), part.begin(), part.end());
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

}  // namespace kinglet::cli

// text/chat/failure.cpp: how does a failure read?
#include "text/chat/failure.hpp"

#include <charconv>

#include "text/chat/characters.hpp"

namespace kinglet::text::chat {
namespace {

/// False where the message is full.
bool append(Error& error, std::size_t& n, std::string_view piece) noexcept {
  while (!piece.empty()) {
    const std::size_t size = character_size(piece);
    if (n + size >= Error::capacity) return false;
    for (std::size_t i = 0; i < size; ++i) error.message[n++] = piece[i] == '\0' ? ' ' : piece[i];
    piece.remove_prefix(size);
  }
  return true;
}

}  // namespace

Error worded(Errc code, std::uint32_t line, std::initializer_list<std::string_view> pieces) noexcept {
  Error error;
  error.code = code;
  std::size_t n = 0;
  if (line != 0) {
    char number[16];
    const auto end = std::to_chars(number, number + sizeof number, line).ptr;
    append(error, n, "chat template, line ");
    append(error, n, {number, static_cast<std::size_t>(end - number)});
    append(error, n, ": ");
  }
  for (const std::string_view piece : pieces) {
    if (!append(error, n, piece)) break;
  }
  return error;
}

}  // namespace kinglet::text::chat

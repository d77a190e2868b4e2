// text/chat/lexer.hpp: which pieces is a template's text made of?
//
// The whitespace settings are those of transformers: trim_blocks (the newline after a block tag goes), lstrip_blocks
// (so does the blank before a block tag that starts a line), and no trailing newline at the end of the template.
#pragma once
#include <cstdint>
#include <memory_resource>
#include <string_view>
#include <vector>

#include <kinglet/core/result.hpp>

namespace kinglet::text::chat {

enum class Token : std::uint8_t {
  data,
  print_begin,  // {{
  print_end,
  block_begin,  // {%
  block_end,
  name,
  string,  // its text includes the quotes
  integer,
  real,
  sign,  // an operator or a bracket: its text
  end,
};

struct Lexeme {
  Token token;
  std::uint32_t line;
  std::string_view text;
};

/// Throws Failure (bad_format) at "line N: " the first fault.
[[noreturn]] void fail_syntax(std::uint32_t line, std::initializer_list<std::string_view> pieces,
                              Errc code = Errc::bad_format);

/// @param source  with newlines already normalised to \n; the lexemes point into it
std::pmr::vector<Lexeme> tokenize(std::string_view source, std::pmr::memory_resource* memory);

}  // namespace kinglet::text::chat

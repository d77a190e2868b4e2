// text/chat/parser.cpp: how are nodes made, and how deep and many may they be?
#include "text/chat/parser.hpp"

#include <algorithm>

namespace kinglet::text::chat {

Parser::Guard::Guard(Parser& p) : parser(p) {
  if (p.depth_ >= p.program_.limits.depth) {
    fail_syntax(p.now().line, {"nested deeper than ChatLimits::depth allows"});
  }
  ++p.depth_;
}

bool Parser::skip(Token token, std::string_view text) {
  if (!sees(token, text)) return false;
  ++at_;
  return true;
}

void Parser::expect(Token token, std::string_view text) {
  if (skip(token, text)) return;
  fail_syntax(now().line, {"expected '", text, "' before '", now().token == Token::end ? "the end" : now().text, "'"});
}

std::string_view Parser::expect_name() {
  if (now().token != Token::name) unexpected();
  return program_.intern(lexemes_[at_++].text);
}

void Parser::unexpected() const {
  if (now().token == Token::end) fail_syntax(now().line, {"unexpected end of the template"});
  fail_syntax(now().line, {"unexpected '", now().text, "'"});
}

Node* Parser::make(Op op, std::uint32_t line) {
  Node* node = program_.arena.make<Node>(op);
  node->line = line;
  return node;
}

/// Ends the making of a node: its depth is known now.
const Node* Parser::done(Node* node) {
  std::size_t depth = 0;
  const auto see = [&](const Node* child) {
    if (child != nullptr) depth = std::max<std::size_t>(depth, child->depth);
  };
  for (const Node* child : {node->a, node->b, node->c, node->d}) see(child);
  for (const Node* child : node->nodes) see(child);
  for (const Node* child : node->more) see(child);
  for (const Argument& argument : node->arguments) see(argument.value);
  for (const Parameter& parameter : node->parameters) see(parameter.otherwise);
  if (depth >= program_.limits.depth || depth >= 0xffff) {
    fail_syntax(node->line, {"nested deeper than ChatLimits::depth allows"});
  }
  node->depth = static_cast<std::uint16_t>(depth + 1);
  return node;
}

std::span<const Node* const> Parser::keep(const Nodes& nodes) {
  return program_.arena.copy(std::span<const Node* const>(nodes));
}

const Node* Parser::constant(const Value& v, std::uint32_t line) {
  Node* node = make(Op::constant, line);
  node->value = v;
  return done(node);
}

void Parser::run() {
  Nodes out = nodes();
  body(out, {});
  program_.body = keep(out);
}

std::string_view Program::intern(std::string_view name) {
  const auto at = names.find(name);
  if (at != names.end()) return *at;
  return *names.insert(arena.copy(name)).first;
}

std::string_view Program::known(std::string_view name) const {
  const auto at = names.find(name);
  return at != names.end() ? *at : std::string_view();
}

void parse(Program& program, std::string_view source) {
  // Python's universal newlines, and one newline at the end of the template does not count.
  char* text = program.arena.array<char>(source.size());
  std::size_t n = 0;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text[n++] = source[i] == '\r' ? '\n' : source[i];
  }
  if (n > 0 && text[n - 1] == '\n') --n;
  Parser(program, {text, n}).run();
}

}  // namespace kinglet::text::chat

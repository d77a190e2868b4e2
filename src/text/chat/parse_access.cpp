// text/chat/parse_access.cpp: how are subscripts and arguments parsed?
#include <array>

#include "text/chat/parser.hpp"

namespace kinglet::text::chat {

const Node* Parser::subscript(const Node* object) {
  const std::uint32_t line = now().line;
  if (skip(Token::sign, ".")) {
    if (now().token == Token::integer) {
      Node* node = make(Op::item, line);
      node->a = object;
      node->b = number_literal();
      return done(node);
    }
    Node* node = make(Op::attribute, line);
    node->a = object;
    node->text = expect_name();
    return done(node);
  }
  ++at_;
  const Node* first = sees_sign(":") ? nullptr : expression();
  if (!sees_sign(":")) {
    Node* node = make(Op::item, line);
    node->a = object;
    node->b = first;
    if (sees_sign(",")) {
      Node* key = make(Op::tuple, line);
      Nodes parts = nodes();
      parts.push_back(first);
      while (skip(Token::sign, ",") && !sees_sign("]")) parts.push_back(expression());
      key->nodes = keep(parts);
      node->b = done(key);
    }
    expect(Token::sign, "]");
    return done(node);
  }
  ++at_;
  Node* node = make(Op::slice, line);
  node->a = object;
  node->b = first;
  if (!sees_sign(":") && !sees_sign("]")) node->c = expression();
  if (skip(Token::sign, ":") && !sees_sign("]")) node->d = expression();
  expect(Token::sign, "]");
  return done(node);
}

const Node* Parser::call(const Node* callee) {
  Node* node = make(Op::call);
  node->a = callee;
  node->arguments = arguments();
  return done(node);
}

std::span<const Argument> Parser::arguments() {
  std::pmr::vector<Argument> out(program_.memory);
  const std::uint32_t line = now().line;
  using Form = Argument::Form;
  Form last = Form::positional;
  expect(Token::sign, "(");
  while (!sees_sign(")")) {
    if (!out.empty()) {
      expect(Token::sign, ",");
      if (sees_sign(")")) break;
    }
    Argument argument{Form::positional, {}, nullptr};
    if (skip(Token::sign, "*")) {
      argument.form = Form::spread;
    } else if (skip(Token::sign, "**")) {
      argument.form = Form::spread_named;
    } else if (now().token == Token::name && after(1).token == Token::sign && after(1).text == "=") {
      argument.form = Form::named;
      argument.name = expect_name();
      ++at_;
    }
    const bool in_order = argument.form == Form::positional ? last == Form::positional
                          : argument.form == Form::named    ? last != Form::spread_named
                          : argument.form == Form::spread   ? last == Form::positional || last == Form::named
                                                            : last != Form::spread_named;
    if (!in_order) fail_syntax(line, {"arguments of a call in an impossible order"});
    argument.value = expression();
    last = argument.form;
    out.push_back(argument);
  }
  ++at_;
  return program_.arena.copy(std::span<const Argument>(out));
}

}  // namespace kinglet::text::chat

// text/chat/parse_statement.cpp: how are statements parsed?
#include <algorithm>

#include "text/chat/library.hpp"
#include "text/chat/parser.hpp"

namespace kinglet::text::chat {

void Parser::body(Nodes& out, std::initializer_list<std::string_view> ends) {
  const Guard guard(*this);
  for (;;) {
    switch (now().token) {
      case Token::data: {
        Node* node = make(Op::data);
        node->text = now().text;
        ++at_;
        out.push_back(done(node));
        break;
      }
      case Token::print_begin: {
        Node* node = make(Op::print);
        ++at_;
        node->a = tuple(true, {});
        expect(Token::print_end, "}}");
        check_known();
        out.push_back(done(node));
        break;
      }
      case Token::block_begin: {
        if (after(1).token != Token::name) fail_syntax(now().line, {"a block tag without a name"});
        if (std::find(ends.begin(), ends.end(), after(1).text) != ends.end()) return;
        ++at_;
        out.push_back(statement());
        check_known();
        break;
      }
      default:
        if (ends.size() != 0) {
          fail_syntax(now().line, {"the template ends before {% ", *(ends.end() - 1), " %}"});
        }
        return;
    }
  }
}

void Parser::check_known() const {
  if (unknown_ == nullptr) return;
  const std::string_view kind = unknown_->op == Op::filter ? "filter" : "test";
  fail_syntax(unknown_->line, {"no ", kind, " named '", unknown_->text, "'"}, Errc::unsupported);
}

std::span<const Node* const> Parser::block(std::initializer_list<std::string_view> ends) {
  skip(Token::sign, ":");
  expect(Token::block_end, "%}");
  Nodes out = nodes();
  body(out, ends);
  ++at_;  // the block's begin; its name stands next
  return keep(out);
}

std::span<const Node* const> Parser::whole_block(std::string_view end) {
  const auto out = block({end});
  ++at_;
  expect(Token::block_end, "%}");
  return out;
}

const Node* Parser::statement() {
  const std::string_view name = now().text;
  const std::uint32_t line = now().line;
  if (name == "if") return parse_if();
  if (name == "for") return parse_for();
  if (name == "set") return parse_set();
  if (name == "macro") return parse_macro();
  if (name == "call") return parse_call();
  if (name == "filter") return parse_filter_block();
  if (name == "with") return parse_with();
  if (name == "generation") return parse_generation();
  if (name == "break" || name == "continue") {
    if (loops_ == 0) fail_syntax(line, {"{% ", name, " %} outside of a loop"});
    ++at_;
    expect(Token::block_end, "%}");
    return done(make(name == "break" ? Op::break_ : Op::continue_, line));
  }
  for (const std::string_view other :
       {"block", "extends", "include", "import", "from", "autoescape", "print", "do", "trans", "debug"}) {
    if (name == other) fail_syntax(line, {"the statement '", name, "' is not supported"}, Errc::unsupported);
  }
  fail_syntax(line, {"unknown tag '", name, "'"});
}

const Node* Parser::parse_if() {
  Node* node = make(Op::if_);
  Nodes branches = nodes();
  ++conditional_;
  for (bool last = false;;) {
    ++at_;
    branches.push_back(last ? nullptr : tuple(false, {}));
    Node* inner = make(Op::body);
    inner->nodes = last ? block({"endif"}) : block({"elif", "else", "endif"});
    branches.push_back(done(inner));
    if (sees_name("endif")) break;
    last = sees_name("else");
  }
  --conditional_;
  ++at_;
  expect(Token::block_end, "%}");
  node->nodes = keep(branches);
  return done(node);
}

const Node* Parser::parse_for() {
  Node* node = make(Op::for_);
  ++at_;
  node->a = target(false, "in");
  expect(Token::name, "in");
  node->b = tuple(false, "recursive");
  if (skip(Token::name, "if")) node->c = expression();
  node->flag = skip(Token::name, "recursive");
  ++loops_;
  node->nodes = block({"else", "endfor"});
  --loops_;
  if (skip(Token::name, "else")) {
    node->more = block({"endfor"});
  }
  ++at_;
  expect(Token::block_end, "%}");
  return done(node);
}

const Node* Parser::parse_set() {
  const std::uint32_t line = now().line;
  ++at_;
  const Node* to = target(true, {});
  if (skip(Token::sign, "=")) {
    Node* node = make(Op::set, line);
    node->a = to;
    node->b = tuple(true, {});
    expect(Token::block_end, "%}");
    return done(node);
  }
  Node* node = make(Op::set_block, line);
  node->a = to;
  if (sees_sign("|")) {
    const Node* input = done(make(Op::captured));
    while (sees_sign("|")) {
      ++at_;
      input = one_filter(input);
    }
    node->b = input;
  }
  node->nodes = whole_block("endset");
  return done(node);
}

void Parser::signature(Node* node) {
  std::pmr::vector<Parameter> parameters(program_.memory);
  expect(Token::sign, "(");
  while (!sees_sign(")")) {
    if (!parameters.empty()) expect(Token::sign, ",");
    Parameter parameter{expect_name(), nullptr};
    if (skip(Token::sign, "=")) {
      parameter.otherwise = expression();
    } else if (!parameters.empty() && parameters.back().otherwise != nullptr) {
      fail_syntax(now().line, {"a parameter without a default follows one with a default"});
    }
    parameters.push_back(parameter);
  }
  expect(Token::sign, ")");
  node->parameters = program_.arena.copy(std::span<const Parameter>(parameters));
}

const Node* Parser::parse_macro() {
  Node* node = make(Op::macro);
  ++at_;
  node->text = expect_name();
  const std::uint8_t outer = uses_;
  const std::size_t loops = loops_;
  uses_ = 0;
  loops_ = 0;
  signature(node);
  node->nodes = whole_block("endmacro");
  node->uses = uses_;
  uses_ |= outer;
  loops_ = loops;
  return done(node);
}

const Node* Parser::parse_call() {
  Node* node = make(Op::call_block);
  ++at_;
  if (sees_sign("(")) signature(node);
  node->a = expression();
  if (node->a->op != Op::call) fail_syntax(node->line, {"{% call %} needs a call"});
  const std::uint8_t outer = uses_;
  const std::size_t loops = loops_;
  uses_ = 0;
  loops_ = 0;
  node->nodes = whole_block("endcall");
  node->uses = uses_;
  uses_ |= outer;
  loops_ = loops;
  return done(node);
}

const Node* Parser::parse_filter_block() {
  Node* node = make(Op::filter_block);
  ++at_;
  node->b = one_filter(done(make(Op::captured)));
  while (skip(Token::sign, "|")) node->b = one_filter(node->b);
  node->nodes = whole_block("endfilter");
  return done(node);
}

const Node* Parser::parse_with() {
  Node* node = make(Op::with);
  ++at_;
  Nodes pairs = nodes();
  while (now().token != Token::block_end && !sees_sign(":")) {
    if (!pairs.empty()) expect(Token::sign, ",");
    pairs.push_back(target(false, {}));
    expect(Token::sign, "=");
    pairs.push_back(expression());
  }
  node->more = keep(pairs);
  node->nodes = whole_block("endwith");
  return done(node);
}

/// transformers' own statement, which marks what the assistant said; here it is its body.
const Node* Parser::parse_generation() {
  Node* node = make(Op::block);
  ++at_;
  const std::size_t loops = loops_;
  loops_ = 0;
  node->nodes = whole_block("endgeneration");
  loops_ = loops;
  return done(node);
}

const Node* Parser::target_part(bool with_space) {
  const Guard guard(*this);
  const std::uint32_t line = now().line;
  if (sees_sign("(")) {
    ++at_;
    const Node* inner = target(with_space, ")");
    expect(Token::sign, ")");
    return inner;
  }
  const std::string_view name = expect_name();
  for (const std::string_view word : {"true", "false", "none", "True", "False", "None"}) {
    if (name == word) fail_syntax(line, {"cannot assign to '", name, "'"});
  }
  if (with_space && skip(Token::sign, ".")) {
    Node* node = make(Op::attribute, line);
    Node* object = make(Op::name, line);
    object->text = name;
    node->a = done(object);
    node->text = expect_name();
    return done(node);
  }
  Node* node = make(Op::name, line);
  node->text = name;
  return done(node);
}

/// What an assignment or a loop assigns to: names, tuples of them, and for `set` the attributes of a namespace.
const Node* Parser::target(bool with_space, std::string_view end) {
  Node* node = make(Op::tuple);
  Nodes parts = nodes();
  parts.push_back(target_part(with_space));
  bool is_tuple = false;
  while (skip(Token::sign, ",")) {
    is_tuple = true;
    if (now().token == Token::block_end || (!end.empty() && now().text == end) || sees_sign("=")) break;
    parts.push_back(target_part(with_space));
  }
  if (!is_tuple) return parts[0];
  node->nodes = keep(parts);
  return done(node);
}

}  // namespace kinglet::text::chat

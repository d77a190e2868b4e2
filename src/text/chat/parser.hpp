// text/chat/parser.hpp: how do lexemes become a tree?
#pragma once
#include <initializer_list>
#include <memory_resource>
#include <string_view>
#include <vector>

#include "text/chat/ast.hpp"
#include "text/chat/lexer.hpp"

namespace kinglet::text::chat {

class Parser {
 public:
  Parser(Program& program, std::string_view source) : program_(program), lexemes_(tokenize(source, program.memory)) {}
  void run();

 private:
  using Nodes = std::pmr::vector<const Node*>;

  /// Counts one level of nesting, so that hostile templates cannot exhaust the stack.
  struct Guard {
    explicit Guard(Parser& p);
    ~Guard() { --parser.depth_; }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    Parser& parser;
  };

  // parser.cpp: lexemes and nodes
  const Lexeme& now() const noexcept { return lexemes_[at_]; }
  const Lexeme& after(std::size_t n) const noexcept {
    return lexemes_[at_ + n < lexemes_.size() ? at_ + n : lexemes_.size() - 1];
  }
  bool sees(Token token, std::string_view text) const noexcept { return now().token == token && now().text == text; }
  bool sees_name(std::string_view text) const noexcept { return sees(Token::name, text); }
  bool sees_sign(std::string_view text) const noexcept { return sees(Token::sign, text); }
  bool skip(Token token, std::string_view text);
  void expect(Token token, std::string_view text);
  std::string_view expect_name();
  [[noreturn]] void unexpected() const;
  Node* make(Op op) { return make(op, now().line); }
  Node* make(Op op, std::uint32_t line);
  const Node* done(Node* node);
  std::span<const Node* const> keep(const Nodes& nodes);
  Nodes nodes() const { return Nodes(program_.memory); }
  const Node* constant(const Value& v, std::uint32_t line);

  // parse_statement.cpp
  void body(Nodes& out, std::initializer_list<std::string_view> ends);
  /// The body after a block tag whose end is next, up to one of `ends`, which is left standing.
  std::span<const Node* const> block(std::initializer_list<std::string_view> ends);
  /// Likewise, with the one end taken and its tag closed.
  std::span<const Node* const> whole_block(std::string_view end);
  void check_known() const;
  const Node* statement();
  const Node* parse_if();
  const Node* parse_for();
  const Node* parse_set();
  const Node* parse_macro();
  const Node* parse_call();
  const Node* parse_filter_block();
  const Node* parse_with();
  const Node* parse_generation();
  void signature(Node* node);
  const Node* target(bool with_space, std::string_view end);
  const Node* target_part(bool with_space);

  // parse_expression.cpp
  const Node* expression(bool conditional = true);
  const Node* tuple(bool conditional, std::string_view end, bool parentheses = false);
  const Node* operation(int level);
  const Node* compare(const Node* left);
  const Node* unary(bool with_filter);
  const Node* primary();
  const Node* list_literal();
  const Node* dict_literal();
  const Node* string_literal();
  const Node* number_literal();
  const Node* postfix(const Node* node);
  const Node* filters(const Node* node);
  const Node* one_filter(const Node* node);
  const Node* one_test(const Node* node);
  const Node* subscript(const Node* node);
  const Node* call(const Node* node);
  std::span<const Argument> arguments();

  Program& program_;
  std::pmr::vector<Lexeme> lexemes_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::size_t conditional_ = 0;    // > 0 inside what may never run: unknown filters fail only when they run
  const Node* unknown_ = nullptr;  // an unknown filter or test that will run
  std::size_t loops_ = 0;
  std::uint8_t uses_ = 0;
};

}  // namespace kinglet::text::chat

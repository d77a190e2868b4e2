// text/chat/parse_expression.cpp: how are expressions parsed?
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"
#include "text/chat/parser.hpp"

namespace kinglet::text::chat {
namespace {

// Levels of binding, loosest first.
constexpr int level_or = 1;
constexpr int level_and = 2;
constexpr int level_not = 3;
constexpr int level_compare = 4;
constexpr int level_concat = 6;
constexpr int level_power = 8;

struct Operator {
  std::string_view text;
  int level;
  Op op;
};

constexpr Operator operators[] = {
    {"or", level_or, Op::any},
    {"and", level_and, Op::all},
    {"==", level_compare, Op::equals},
    {"!=", level_compare, Op::differs},
    {"<", level_compare, Op::less},
    {"<=", level_compare, Op::less_equal},
    {">", level_compare, Op::greater},
    {">=", level_compare, Op::greater_equal},
    {"in", level_compare, Op::in},
    {"not", level_compare, Op::not_in},
    {"+", 5, Op::add},
    {"-", 5, Op::subtract},
    {"~", level_concat, Op::concat},
    {"*", 7, Op::multiply},
    {"/", 7, Op::divide},
    {"//", 7, Op::floor_divide},
    {"%", 7, Op::modulo},
    {"**", level_power, Op::power},
};

const Operator* find_operator(const Lexeme& lexeme) noexcept {
  if (lexeme.token != Token::sign && lexeme.token != Token::name) return nullptr;
  for (const Operator& o : operators) {
    if (o.text == lexeme.text) return &o;
  }
  return nullptr;
}

}  // namespace

const Node* Parser::expression(bool conditional) {
  const Guard guard(*this);
  const Node* unknown = unknown_;
  const Node* value = operation(level_or);
  while (conditional && sees_name("if")) {
    unknown_ = unknown;
    Node* node = make(Op::choose);
    ++at_;
    ++conditional_;
    node->a = value;
    node->b = operation(level_or);
    if (skip(Token::name, "else")) node->c = expression();
    --conditional_;
    value = done(node);
  }
  return value;
}

const Node* Parser::tuple(bool conditional, std::string_view end, bool parentheses) {
  Node* node = make(Op::tuple);
  Nodes parts = nodes();
  bool is_tuple = false;
  for (;;) {
    if (!parts.empty()) expect(Token::sign, ",");
    if (now().token == Token::print_end || now().token == Token::block_end || sees_sign(")")) break;
    if (!end.empty() && sees_name(end)) break;
    parts.push_back(expression(conditional));
    if (!sees_sign(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !parts.empty()) return parts[0];
  if (!is_tuple && !parentheses) fail_syntax(node->line, {"expected an expression"});
  node->nodes = keep(parts);
  return done(node);
}

/// Operators that bind at least as tightly as `level`. All are left-associative; a row of equals is one node.
const Node* Parser::operation(int level) {
  const Guard guard(*this);
  const Node* left = nullptr;
  if (level <= level_not && sees_name("not")) {
    Node* node = make(Op::negate);
    ++at_;
    node->a = operation(level_not);
    left = done(node);
  } else {
    left = unary(true);
  }
  for (;;) {
    const Operator* o = find_operator(now());
    if (o == nullptr || o->level < level) return left;
    if (o->op == Op::not_in && !(after(1).token == Token::name && after(1).text == "in")) return left;
    if (o->level == level_compare) {
      left = compare(left);
      continue;
    }
    const bool flat = o->level <= level_and || o->level == level_concat;
    Node* node = make(flat ? o->op : Op::chain);
    Nodes parts = nodes();
    if (flat) parts.push_back(left);
    node->a = flat ? nullptr : left;
    const int same = o->level;
    while ((o = find_operator(now())) != nullptr && o->level == same) {
      Node* part = make(o->op);
      ++at_;
      const Node* right = operation(same + 1);
      part->a = right;
      parts.push_back(flat ? right : done(part));
    }
    node->nodes = keep(parts);
    left = done(node);
  }
}

const Node* Parser::compare(const Node* left) {
  Node* node = make(Op::compare);
  node->a = left;
  Nodes parts = nodes();
  for (;;) {
    const Operator* o = find_operator(now());
    if (o == nullptr || o->level != level_compare) break;
    if (o->op == Op::not_in && !(after(1).token == Token::name && after(1).text == "in")) break;
    Node* part = make(o->op);
    at_ += o->op == Op::not_in ? 2 : 1;
    part->a = operation(level_compare + 1);
    parts.push_back(done(part));
  }
  node->nodes = keep(parts);
  return done(node);
}

const Node* Parser::unary(bool with_filter) {
  const Guard guard(*this);
  const Node* node = nullptr;
  if (sees_sign("-") || sees_sign("+")) {
    Node* sign = make(now().text == "-" ? Op::minus : Op::plus);
    ++at_;
    sign->a = unary(false);
    node = done(sign);
  } else {
    node = primary();
  }
  node = postfix(node);
  return with_filter ? filters(node) : node;
}

const Node* Parser::primary() {
  const Lexeme& lexeme = now();
  switch (lexeme.token) {
    case Token::name: {
      ++at_;
      const std::string_view name = lexeme.text;
      if (name == "true" || name == "True") return constant(boolean(true), lexeme.line);
      if (name == "false" || name == "False") return constant(boolean(false), lexeme.line);
      if (name == "none" || name == "None") return constant(none(), lexeme.line);
      if (name == "caller") uses_ |= uses_caller;
      if (name == "kwargs") uses_ |= uses_kwargs;
      if (name == "varargs") uses_ |= uses_varargs;
      Node* node = make(Op::name, lexeme.line);
      node->text = program_.intern(name);
      return done(node);
    }
    case Token::string: return string_literal();
    case Token::integer:
    case Token::real: return number_literal();
    case Token::sign:
      if (lexeme.text == "(") {
        ++at_;
        const Node* node = tuple(true, {}, true);
        expect(Token::sign, ")");
        return node;
      }
      if (lexeme.text == "[") return list_literal();
      if (lexeme.text == "{") return dict_literal();
      unexpected();
    default: unexpected();
  }
}

const Node* Parser::list_literal() {
  Node* node = make(Op::list);
  ++at_;
  Nodes items = nodes();
  while (!sees_sign("]")) {
    if (!items.empty()) expect(Token::sign, ",");
    if (sees_sign("]")) break;
    items.push_back(expression());
  }
  ++at_;
  node->nodes = keep(items);
  return done(node);
}

const Node* Parser::dict_literal() {
  Node* node = make(Op::dict);
  ++at_;
  Nodes items = nodes();
  while (!sees_sign("}")) {
    if (!items.empty()) expect(Token::sign, ",");
    if (sees_sign("}")) break;
    items.push_back(expression());
    expect(Token::sign, ":");
    items.push_back(expression());
  }
  ++at_;
  node->nodes = keep(items);
  return done(node);
}

namespace {

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Reads what follows a backslash, as Python does; `i` stands on the character after it.
std::size_t unescape(std::string_view s, std::size_t& i, char* out, std::uint32_t line) {
  const char c = s[i++];
  constexpr std::string_view from = "abfnrtv\\'\"", to = "\a\b\f\n\r\t\v\\'\"";
  const std::size_t simple = from.find(c);
  if (simple != std::string_view::npos) {
    out[0] = to[simple];
    return 1;
  }
  if (c == '\n') return 0;
  if (c >= '0' && c <= '7') {
    std::uint32_t code = static_cast<std::uint32_t>(c - '0');
    for (int n = 1; n < 3 && i < s.size() && s[i] >= '0' && s[i] <= '7'; ++n) {
      code = code * 8 + static_cast<std::uint32_t>(s[i++] - '0');
    }
    return encode(code, out);
  }
  const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits == 0) {
    if (c == 'N') fail_syntax(line, {"the escape \\N{...} is not supported"}, Errc::unsupported);
    out[0] = '\\';
    out[1] = c;
    return 2;
  }
  std::uint32_t code = 0;
  for (int n = 0; n < digits; ++n) {
    const int digit = i < s.size() ? hex_digit(s[i++]) : -1;
    if (digit < 0) fail_syntax(line, {"a \\x, \\u or \\U escape with too few digits"});
    code = code * 16 + static_cast<std::uint32_t>(digit);
  }
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) fail_syntax(line, {"an escape that is no character"});
  return encode(code, out);
}

}  // namespace

const Node* Parser::string_literal() {
  const std::uint32_t line = now().line;
  std::size_t most = 0;
  for (std::size_t i = 0; after(i).token == Token::string; ++i) most += after(i).text.size();
  char* out = program_.arena.array<char>(most);
  std::size_t n = 0;
  for (; now().token == Token::string; ++at_) {
    const std::string_view s = now().text.substr(1, now().text.size() - 2);
    for (std::size_t i = 0; i < s.size();) {
      if (s[i] == '\\') {
        n += unescape(s, ++i, out + n, line);
      } else {
        out[n++] = s[i++];
      }
    }
  }
  return constant(string({out, n}), line);
}

const Node* Parser::number_literal() {
  const Lexeme& lexeme = now();
  ++at_;
  std::pmr::string digits(program_.memory);
  for (const char c : lexeme.text) {
    if (c != '_') digits.push_back(c);
  }
  if (lexeme.token == Token::real) {
    double d = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), d);
    // Out of range: too large becomes infinity, too small zero.
    if (read.ec == std::errc::result_out_of_range) d = digits.find("e-") != digits.npos ? 0.0 : HUGE_VAL;
    return constant(real(d), lexeme.line);
  }
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0') {
    const char kind = static_cast<char>(digits[1] | 0x20);
    base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
  }
  std::int64_t i = 0;
  const char* start = digits.data() + (base == 10 ? 0 : 2);
  const auto read = std::from_chars(start, digits.data() + digits.size(), i, base);
  if (read.ec != std::errc()) fail_syntax(lexeme.line, {"an integer beyond 64 bits"}, Errc::unsupported);
  return constant(integer(i), lexeme.line);
}

const Node* Parser::postfix(const Node* node) {
  for (;;) {
    if (sees_sign(".") || sees_sign("[")) {
      node = subscript(node);
    } else if (sees_sign("(")) {
      node = call(node);
    } else {
      return node;
    }
  }
}

const Node* Parser::filters(const Node* node) {
  for (;;) {
    if (skip(Token::sign, "|")) {
      node = one_filter(node);
    } else if (sees_name("is")) {
      node = one_test(node);
    } else if (sees_sign("(")) {
      node = call(node);
    } else {
      return node;
    }
  }
}

const Node* Parser::one_filter(const Node* input) {
  Node* node = make(Op::filter);
  node->a = input;
  node->text = expect_name();
  if (sees_sign("(")) node->arguments = arguments();
  node->filter = find_filter(node->text);
  if (node->filter == nullptr && conditional_ == 0 && unknown_ == nullptr) unknown_ = node;
  return done(node);
}

const Node* Parser::one_test(const Node* input) {
  Node* node = make(Op::test);
  ++at_;
  node->flag = skip(Token::name, "not");
  node->a = input;
  node->text = expect_name();
  const Token token = now().token;
  const bool starts = token == Token::name || token == Token::string || token == Token::integer ||
                      token == Token::real || sees_sign("[") || sees_sign("{");
  if (sees_sign("(")) {
    node->arguments = arguments();
  } else if (starts && !sees_name("else") && !sees_name("or") && !sees_name("and")) {
    if (sees_name("is")) fail_syntax(now().line, {"tests cannot be chained with 'is'"});
    const Argument argument{Argument::Form::positional, {}, postfix(primary())};
    node->arguments = program_.arena.copy(std::span<const Argument>(&argument, 1));
  }
  node->test = find_test(node->text);
  if (node->test == nullptr && conditional_ == 0 && unknown_ == nullptr) unknown_ = node;
  return done(node);
}

}  // namespace kinglet::text::chat

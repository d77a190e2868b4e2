// text/chat/lexer.cpp: where does each piece of a template end?
#include "text/chat/lexer.hpp"

#include "text/chat/characters.hpp"
#include "text/chat/failure.hpp"

namespace kinglet::text::chat {
namespace {

bool digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool name_start(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
 public:
  Lexer(std::string_view source, std::pmr::memory_resource* memory) : source_(source), out_(memory) {}

  std::pmr::vector<Lexeme> run() {
    while (at_ < source_.size()) text();
    add(Token::end, {});
    return std::move(out_);
  }

 private:
  std::string_view rest() const noexcept { return source_.substr(at_); }
  bool sees(std::string_view what) const noexcept { return rest().starts_with(what); }

  void add(Token token, std::string_view text) { out_.push_back({token, line_, text}); }

  /// Moves on by n bytes.
  void advance(std::size_t n) {
    for (const char c : source_.substr(at_, n)) line_ += c == '\n' ? 1u : 0u;
    at_ += n;
  }

  /// Moves over white space, as \s* does.
  void skip_space() { advance(rest().size() - trim_left(rest()).size()); }

  /// The end of a block or comment tag without its bracket: "-" takes the white space that follows, "+" keeps all,
  /// otherwise one newline goes.
  void close(std::string_view bracket, bool newline) {
    const char sign = source_[at_];
    advance(bracket.size() + (sign == '-' || sign == '+' ? 1 : 0));
    if (sign == '-') {
      skip_space();
    } else if (newline && sign != '+' && sees("\n")) {
      advance(1);
    }
  }

  std::size_t find_tag() const noexcept {
    for (std::size_t i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    }
    return std::string_view::npos;
  }

  /// The template's own text up to the next tag, and that tag.
  void text() {
    const std::size_t tag = find_tag();
    if (tag == std::string_view::npos) return data(rest(), rest().size());
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    std::string_view before = source_.substr(at_, tag - at_);
    const std::size_t whole = before.size();
    if (sign == '-') {
      before = trim_right(before);
    } else if (sign != '+' && kind != '{') {
      before = without_indent(before);
    }
    data(before, whole);
    if (kind == '#') return comment();
    if (kind == '%' && raw_tag("raw", false) != 0) return raw();
    add(kind == '{' ? Token::print_begin : Token::block_begin, source_.substr(at_, 2));
    advance(sign == '-' || sign == '+' ? 3 : 2);
    inside(kind == '{');
  }

  /// lstrip_blocks: without the blanks of a line on which nothing stands before the tag.
  std::string_view without_indent(std::string_view before) const noexcept {
    const std::size_t newline = before.rfind('\n');
    const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    if (newline == std::string_view::npos && !line_start_) return before;
    return trim_right(before.substr(start)).empty() ? before.substr(0, start) : before;
  }

  void data(std::string_view text, std::size_t whole) {
    if (!text.empty()) add(Token::data, text);
    advance(whole);
  }

  /// Remembers whether the tag that ended here took a newline with it.
  void ended() noexcept { line_start_ = source_[at_ - 1] == '\n'; }

  void comment() {
    std::size_t end = at_ + 2;
    if (end < source_.size() && (source_[end] == '-' || source_[end] == '+')) ++end;
    const std::size_t close_at = source_.find("#}", end);
    if (close_at == std::string_view::npos) fail_syntax(line_, {"a comment that never ends"});
    const bool sign = close_at > end && (source_[close_at - 1] == '-' || source_[close_at - 1] == '+');
    advance(close_at - (sign ? 1 : 0) - at_);
    close("#}", true);
    ended();
  }

  /// The length of "{%- name -%}" here, or 0. The white space that "-%}" takes is included, and the newline that
  /// "%}" takes where `trims`.
  std::size_t raw_tag(std::string_view name, bool trims) const noexcept {
    std::string_view s = rest();
    if (!s.starts_with("{%")) return 0;
    s.remove_prefix(2);
    if (s.starts_with('-') || s.starts_with('+')) s.remove_prefix(1);
    s = trim_left(s);
    if (!s.starts_with(name)) return 0;
    s.remove_prefix(name.size());
    s = trim_left(s);
    if (s.starts_with("-%}")) {
      s = trim_left(s.substr(3));
    } else if (s.starts_with("%}")) {
      s.remove_prefix(2);
      if (trims && s.starts_with('\n')) s.remove_prefix(1);
    } else if (trims && s.starts_with("+%}")) {
      s.remove_prefix(3);
    } else {
      return 0;
    }
    return rest().size() - s.size();
  }

  void raw() {
    const std::uint32_t line = line_;
    advance(raw_tag("raw", false));
    ended();
    const std::size_t start = at_;
    std::size_t length = 0;
    while ((length = raw_tag("endraw", true)) == 0) {
      const std::size_t next = source_.find("{%", at_ + 1);
      if (next == std::string_view::npos) fail_syntax(line, {"{% raw %} without {% endraw %}"});
      advance(next - at_);
    }
    std::string_view text = source_.substr(start, at_ - start);
    const char sign = source_[at_ + 2];
    if (sign == '-') {
      text = trim_right(text);
    } else if (sign != '+') {
      text = without_indent(text);
    }
    if (!text.empty()) add(Token::data, text);
    advance(length);
    ended();
  }

  /// The lexemes of a tag up to its end.
  void inside(bool print) {
    const std::string_view bracket = print ? "}}" : "%}";
    std::pmr::vector<char> open(out_.get_allocator().resource());
    for (;;) {
      if (at_ >= source_.size()) fail_syntax(line_, {"a tag that never ends"});
      const bool sign = source_[at_] == '-' || (!print && source_[at_] == '+');
      if (open.empty() && rest().substr(sign ? 1 : 0).starts_with(bracket)) {
        add(print ? Token::print_end : Token::block_end, bracket);
        close(bracket, !print);
        return ended();
      }
      if (trim_left(rest()).size() != rest().size()) {
        skip_space();
        continue;
      }
      lexeme(open);
    }
  }

  void take(Token token, std::size_t n) {
    add(token, source_.substr(at_, n));
    advance(n);
  }

  void lexeme(std::pmr::vector<char>& open) {
    const char c = source_[at_];
    if (digit(c)) return number();
    if (name_start(c)) {
      std::size_t n = 1;
      while (n < rest().size() && (name_start(rest()[n]) || digit(rest()[n]))) ++n;
      return take(Token::name, n);
    }
    if (c == '\'' || c == '"') return quoted(c);
    for (const std::string_view two : {"//", "**", "==", "!=", "<=", ">="}) {
      if (sees(two)) return take(Token::sign, 2);
    }
    if (std::string_view("+-/*%~[](){}<>=.:|,;").find(c) == std::string_view::npos) {
      fail_syntax(line_, {"unexpected character '", source_.substr(at_, character_size(rest())), "'"});
    }
    if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) fail_syntax(line_, {"unexpected '", source_.substr(at_, 1), "'"});
      open.pop_back();
    }
    take(Token::sign, 1);
  }

  void quoted(char quote) {
    std::size_t n = 1;
    while (n < rest().size() && rest()[n] != quote) n += rest()[n] == '\\' ? 2 : 1;
    if (n >= rest().size()) fail_syntax(line_, {"a string that never ends"});
    take(Token::string, n + 1);
  }

  /// Digits with single underscores between them.
  static std::size_t digits(std::string_view s) noexcept {
    std::size_t n = 0;
    while (n < s.size() && (digit(s[n]) || (s[n] == '_' && n > 0 && n + 1 < s.size() && digit(s[n + 1])))) ++n;
    return n;
  }

  void number() {
    const std::string_view s = rest();
    std::size_t n = digits(s);
    bool real = false;
    if (at_ == 0 || source_[at_ - 1] != '.') {  // a.0.1 is two indices
      const std::size_t fraction = n + 1 < s.size() && s[n] == '.' ? digits(s.substr(n + 1)) : 0;
      std::size_t end = fraction != 0 ? n + 1 + fraction : n;
      real = fraction != 0;
      if (end < s.size() && (s[end] == 'e' || s[end] == 'E')) {
        const std::size_t sign = end + 1 < s.size() && (s[end + 1] == '-' || s[end + 1] == '+') ? 1 : 0;
        const std::size_t exponent = end + 1 + sign < s.size() ? digits(s.substr(end + 1 + sign)) : 0;
        if (exponent != 0) {
          real = true;
          end += 1 + sign + exponent;
        }
      }
      if (real) n = end;
    }
    if (!real && n == 1 && s[0] == '0' && s.size() > 1) {
      const char base = static_cast<char>(s[1] | 0x20);
      const std::string_view allowed = base == 'x'   ? "0123456789abcdefABCDEF_"
                                       : base == 'o' ? "01234567_"
                                       : base == 'b' ? "01_"
                                                     : "";
      std::size_t end = 2;
      while (end < s.size() && allowed.find(s[end]) != std::string_view::npos) ++end;
      if (!allowed.empty() && end > 2) n = end;
    }
    take(real ? Token::real : Token::integer, n);
  }

  std::string_view source_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
  bool line_start_ = true;
  std::pmr::vector<Lexeme> out_;
};

}  // namespace

void fail_syntax(std::uint32_t line, std::initializer_list<std::string_view> pieces, Errc code) {
  throw Failure{worded(code, line, pieces)};
}

std::pmr::vector<Lexeme> tokenize(std::string_view source, std::pmr::memory_resource* memory) {
  return Lexer(source, memory).run();
}

}  // namespace kinglet::text::chat

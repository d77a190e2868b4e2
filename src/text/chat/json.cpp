// text/chat/json.cpp: how is JSON read and written?
#include <charconv>
#include <cmath>

#include "text/chat/ast.hpp"
#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"
#include "text/chat/run.hpp"

namespace kinglet::text::chat {
namespace {

class Reader {
 public:
  Reader(Run& run, std::string_view text) : run_(run), text_(text) {}

  bool read(Value& out) {
    if (!value(out)) return false;
    space();
    return at_ == text_.size();
  }
  std::size_t at() const noexcept { return at_; }

 private:
  void space() noexcept {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool skip(std::string_view what) noexcept {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }
  bool sees(char c) const noexcept { return at_ < text_.size() && text_[at_] == c; }

  bool value(Value& out) {
    const Deeper deeper(run_);
    run_.charge();
    space();
    if (sees('{')) return object(out);
    if (sees('[')) return array(out);
    if (sees('"')) return text(out);
    if (skip("true")) return put(out, boolean(true));
    if (skip("false")) return put(out, boolean(false));
    if (skip("null")) return put(out, none());
    return number(out);
  }

  static bool put(Value& out, const Value& v) noexcept {
    out = v;
    return true;
  }

  bool object(Value& out) {
    out = make_dict(run_);
    ++at_;
    space();
    if (skip("}")) return true;
    for (;;) {
      Value key;
      Value entry;
      space();
      if (!sees('"') || !text(key)) return false;
      space();
      if (!skip(":") || !value(entry)) return false;
      insert(run_, *out.dict, key, entry);
      space();
      if (skip("}")) return true;
      if (!skip(",")) return false;
    }
  }

  bool array(Value& out) {
    Items items(run_);
    ++at_;
    space();
    if (!skip("]")) {
      for (;;) {
        Value item;
        if (!value(item)) return false;
        items.add(item);
        space();
        if (skip("]")) break;
        if (!skip(",")) return false;
      }
    }
    out = list(items.span());
    return true;
  }

  bool text(Value& out) {
    const std::size_t start = ++at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      ++at_;
    }
    run_.charge_bytes(at_ - start);
    if (skip("\"")) return put(out, string(text_.substr(start, at_ - 1 - start)));
    Buffer buffer(run_.arena);
    buffer.append(text_.substr(start, at_ - start));
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      if (text_[at_] != '\\') {
        buffer.append(text_[at_++]);
      } else if (!escaped(buffer)) {
        return false;
      }
    }
    run_.charge_bytes(at_ - start);
    return skip("\"") && put(out, string(buffer.text()));
  }

  bool hex(std::uint32_t& code) noexcept {
    if (text_.size() - at_ < 4) return false;
    const char* end = text_.data() + at_ + 4;
    code = 0;
    if (std::from_chars(end - 4, end, code, 16).ptr != end) return false;
    at_ += 4;
    return true;
  }

  bool escaped(Buffer& out) {
    ++at_;
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    if (const std::size_t i = from.find(c); i != from.npos) {
      out.append(to[i]);
      return true;
    }
    std::uint32_t code = 0;
    if (c != 'u' || !hex(code)) return false;
    if (code >= 0xd800 && code < 0xdc00) {
      std::uint32_t low = 0;
      if (!skip("\\u") || !hex(low) || low < 0xdc00 || low > 0xdfff) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
      return false;
    }
    char room[4];
    out.append({room, encode(code, room)});
    return true;
  }

  bool digits() noexcept {
    const std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ > start;
  }

  bool number(Value& out) {
    const std::size_t start = at_;
    bool whole = true;
    skip("-");
    if (!skip("0") && !digits()) return false;
    if (skip(".")) {
      whole = false;
      if (!digits()) return false;
    }
    if (skip("e") || skip("E")) {
      whole = false;
      if (!skip("+")) skip("-");
      if (!digits()) return false;
    }
    run_.charge_bytes(at_ - start);
    const char* first = text_.data() + start;
    const char* end = text_.data() + at_;
    std::int64_t i = 0;
    if (whole && std::from_chars(first, end, i).ec == std::errc()) return put(out, integer(i));
    double d = 0;
    if (std::from_chars(first, end, d).ec != std::errc()) return false;  // out of range
    return put(out, real(d));
  }

  Run& run_;
  std::string_view text_;
  std::size_t at_ = 0;
};

struct Style {
  bool ascii = false;
  bool sorted = false;
  bool lines = false;  // one item a line, each level indented
  std::string_view indent;
  std::string_view comma = ", ";
  std::string_view colon = ": ";
};

class Writer {
 public:
  Writer(Run& run, Buffer& out, const Style& style) : run_(run), out_(out), style_(style) {}

  void write(const Value& v) {
    const Deeper deeper(run_);
    run_.charge();
    switch (v.kind) {
      case Kind::none: return out_.append("null");
      case Kind::boolean: return out_.append(v.boolean ? "true" : "false");
      case Kind::integer:
      case Kind::real: return number(v);
      case Kind::string: return text(v.text());
      case Kind::list:
      case Kind::tuple: return array(v.list());
      case Kind::dict: return object(*v.dict);
      default: run_.fail({"Object of type ", type_name(v), " is not JSON serializable"});
    }
  }

 private:
  void number(const Value& v) {
    if (v.is(Kind::integer)) return write_text(run_, out_, v);
    if (std::isnan(v.real)) return out_.append("NaN");
    if (std::isinf(v.real)) return out_.append(v.real > 0 ? "Infinity" : "-Infinity");
    char room[32];
    out_.append(real_text(v.real, room));
  }

  void unit(std::uint32_t code) {
    constexpr char hex[] = "0123456789abcdef";
    const char room[] = {'\\', 'u', hex[code >> 12 & 15], hex[code >> 8 & 15], hex[code >> 4 & 15], hex[code & 15]};
    out_.append({room, 6});
  }

  void text(std::string_view s) {
    run_.charge_bytes(s.size());
    out_.append('"');
    std::size_t kept = 0;  // start of what can be copied as it is
    for (std::size_t i = 0; i < s.size();) {
      const auto byte = static_cast<unsigned char>(s[i]);
      const std::size_t n = byte < 0x80 ? 1 : character_size(s.substr(i));
      const bool special = byte < 0x20 || byte == '"' || byte == '\\' || (style_.ascii && byte >= 0x7f);
      if (special) {
        out_.append(s.substr(kept, i - kept));
        escape_one(s.substr(i, n));
        kept = i + n;
      }
      i += n;
    }
    out_.append(s.substr(kept));
    out_.append('"');
  }

  void escape_one(std::string_view character) {
    constexpr std::string_view from = "\"\\\b\f\n\r\t", to = "\"\\bfnrt";
    if (const std::size_t i = from.find(character[0]); i != from.npos) {
      out_.append('\\');
      return out_.append(to[i]);
    }
    const std::uint32_t code = code_point(character);
    if (code == no_character) return out_.append(character);
    if (code < 0x10000) return unit(code);
    unit(0xd800 + ((code - 0x10000) >> 10));
    unit(0xdc00 + ((code - 0x10000) & 0x3ff));
  }

  void new_line() {
    if (!style_.lines) return;
    out_.append('\n');
    for (std::size_t i = 0; i < level_; ++i) {
      run_.charge_bytes(style_.indent.size());
      out_.append(style_.indent);
    }
  }

  void array(std::span<const Value> items) {
    if (items.empty()) return out_.append("[]");
    out_.append('[');
    ++level_;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i != 0) out_.append(style_.comma);
      new_line();
      write(items[i]);
    }
    --level_;
    new_line();
    out_.append(']');
  }

  void key(const Value& v) {
    switch (v.kind) {
      case Kind::string: return text(v.text());
      case Kind::none:
      case Kind::boolean:
      case Kind::integer:
      case Kind::real:
        out_.append('"');
        write(v);
        return out_.append('"');
      default: run_.fail({"keys must be str, int, float, bool or None, not ", type_name(v)});
    }
  }

  void object(const Dict& dict) {
    if (dict.size == 0) return out_.append("{}");
    Value source;
    source.kind = Kind::dict;
    source.dict = const_cast<Dict*>(&dict);  // only read
    const Value sensitive = boolean(true);
    std::span<const Value> order;
    if (style_.sorted) order = find_filter("dictsort")->apply(run_, source, {{&sensitive, 1}, {}}).list();
    out_.append('{');
    ++level_;
    for (std::uint32_t i = 0; i < dict.size; ++i) {
      if (i != 0) out_.append(style_.comma);
      new_line();
      key(style_.sorted ? order[i].items[0] : dict.entries[i].key);
      out_.append(style_.colon);
      write(style_.sorted ? order[i].items[1] : dict.entries[i].value);
    }
    --level_;
    new_line();
    out_.append('}');
  }

  Run& run_;
  Buffer& out_;
  const Style& style_;
  std::size_t level_ = 0;
};

}  // namespace

Value read_json(Run& run, std::string_view text, std::string_view what) {
  Reader reader(run, text);
  Value v;
  if (reader.read(v)) return v;
  char place[24];
  const auto end = std::to_chars(place, place + sizeof place, reader.at()).ptr;
  Run::fail_argument({what, " is not JSON: see its byte ", {place, static_cast<std::size_t>(end - place)}});
}

bool try_json(Run& run, std::string_view text, Value& value) { return Reader(run, text).read(value); }

Value to_json(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  Style style;
  style.ascii = b.flag(0, false);
  style.sorted = b.flag(3, false);
  if (b.has(1) && !b[1].is(Kind::none)) {
    style.lines = true;
    style.comma = ",";
    const std::int64_t width = b[1].is_string() ? 0 : b.whole(run, 1, 0);
    if (width > 256) run.fail({"tojson: an indent of more than 256 blanks"});
    const Value blank = binary(run, Op::multiply, string(" "), integer(width));
    style.indent = b[1].is_string() ? b[1].text() : blank.text();
  }
  if (b.has(2) && !b[2].is(Kind::none)) {
    const auto parts = iterate(run, b[2]);
    if (parts.size() != 2 || !parts[0].is_string() || !parts[1].is_string()) {
      run.fail({"tojson: separators must be two strings"});
    }
    style.comma = parts[0].text();
    style.colon = parts[1].text();
  }
  Buffer out(run.arena);
  Writer(run, out, style).write(v);
  return string(out.text());
}

}  // namespace kinglet::text::chat

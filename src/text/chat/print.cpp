// text/chat/print.cpp: how do str() and repr() show a value?
#include <charconv>
#include <cmath>

#include "text/chat/characters.hpp"
#include "text/chat/run.hpp"

namespace kinglet::text::chat {
namespace {

/// Python's float.__repr__: the shortest digits that read back equal; an exponent below 1e-4 and from 1e16.
std::size_t shortest(double d, char* out) noexcept {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, d, std::chars_format::scientific).ptr;
  const std::string_view s(digits, static_cast<std::size_t>(end - digits));
  const std::size_t e = s.find('e');
  int exponent = 0;
  std::from_chars(s.data() + e + (s[e + 1] == '+' ? 2 : 1), end, exponent);
  const auto form = exponent < -4 || exponent >= 16 ? std::chars_format::scientific : std::chars_format::fixed;
  std::size_t n = static_cast<std::size_t>(std::to_chars(out, out + 32, d, form).ptr - out);
  const bool plain = std::string_view(out, n).find_first_of(".e") == std::string_view::npos;
  if (plain) {
    out[n++] = '.';
    out[n++] = '0';
  }
  return n;
}

void write_integer(Buffer& out, std::int64_t i) {
  char room[24];
  out.append({room, static_cast<std::size_t>(std::to_chars(room, room + sizeof room, i).ptr - room)});
}

void write_hex(Buffer& out, char kind, std::uint32_t code, int digits) {
  constexpr char hex[] = "0123456789abcdef";
  out.append('\\');
  out.append(kind);
  for (int i = digits - 1; i >= 0; --i) out.append(hex[(code >> (4 * i)) & 15u]);
}

void write_quoted(Run& run, Buffer& out, std::string_view s) {
  run.charge_bytes(s.size());
  const char quote = s.find('\'') != s.npos && s.find('"') == s.npos ? '"' : '\'';
  out.append(quote);
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t n = character_size(s.substr(i));
    const std::uint32_t c = code_point(s.substr(i));
    if (c == '\\' || c == static_cast<unsigned char>(quote)) {
      out.append('\\');
      out.append(s[i]);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out.append(c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (c == no_character || printable(c)) {
      out.append(s.substr(i, n));
    } else if (c < 0x100) {
      write_hex(out, 'x', c, 2);
    } else if (c < 0x10000) {
      write_hex(out, 'u', c, 4);
    } else {
      write_hex(out, 'U', c, 8);
    }
    i += n;
  }
  out.append(quote);
}

void write_items(Run& run, Buffer& out, std::span<const Value> items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out.append(", ");
    write_repr(run, out, items[i]);
  }
}

void write_dict(Run& run, Buffer& out, const Dict& dict) {
  out.append('{');
  for (std::uint32_t i = 0; i < dict.size; ++i) {
    if (i != 0) out.append(", ");
    write_repr(run, out, dict.entries[i].key);
    out.append(": ");
    write_repr(run, out, dict.entries[i].value);
  }
  out.append('}');
}

void write_range(Buffer& out, const Range& range) {
  out.append("range(");
  write_integer(out, range.start);
  out.append(", ");
  write_integer(out, range.stop);
  if (range.step != 1) {
    out.append(", ");
    write_integer(out, range.step);
  }
  out.append(')');
}

void write_loop(Buffer& out, const Loop& loop) {
  out.append("<LoopContext ");
  write_integer(out, static_cast<std::int64_t>(loop.index) + 1);
  out.append('/');
  write_integer(out, static_cast<std::int64_t>(loop.items.size()));
  out.append('>');
}

}  // namespace

std::string_view real_text(double d, std::span<char, 32> room) noexcept {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
  return {room.data(), shortest(d, room.data())};
}

void write_repr(Run& run, Buffer& out, const Value& v) {
  const Deeper deeper(run);
  run.charge();
  char room[32];
  switch (v.kind) {
    case Kind::undefined: return out.append("Undefined");
    case Kind::none: return out.append("None");
    case Kind::boolean: return out.append(v.boolean ? "True" : "False");
    case Kind::integer: return write_integer(out, v.integer);
    case Kind::real: return out.append(real_text(v.real, room));
    case Kind::string:
      if (v.markup) out.append("Markup(");
      write_quoted(run, out, v.text());
      if (v.markup) out.append(')');
      return;
    case Kind::list:
      out.append('[');
      write_items(run, out, v.list());
      return out.append(']');
    case Kind::tuple:
      out.append('(');
      write_items(run, out, v.list());
      return out.append(v.size == 1 ? ",)" : ")");
    case Kind::dict_keys:
    case Kind::dict_values:
    case Kind::dict_items:
      out.append(type_name(v));
      out.append("([");
      write_items(run, out, v.list());
      return out.append("])");
    case Kind::range: return write_range(out, *v.range);
    case Kind::dict: return write_dict(run, out, *v.dict);
    case Kind::space:
      out.append("<Namespace ");
      write_dict(run, out, *v.dict);
      return out.append('>');
    case Kind::macro:
      out.append("<Macro ");
      write_quoted(run, out, v.macro->name);
      return out.append('>');
    case Kind::loop: return write_loop(out, *v.loop);
    default:
      out.append('<');
      out.append(type_name(v));
      return out.append(" object>");
  }
}

std::string_view repr(Run& run, const Value& v) {
  Buffer out(run.arena);
  write_repr(run, out, v);
  return out.text();
}

void write_text(Run& run, Buffer& out, const Value& v) {
  if (v.is_undefined()) return;
  if (!v.is_string()) return write_repr(run, out, v);
  run.charge_bytes(v.size);
  out.append(v.text());
}

std::string_view to_text(Run& run, const Value& v) {
  if (v.is_undefined()) return {"", 0};
  return v.is_string() ? v.text() : repr(run, v);
}

}  // namespace kinglet::text::chat

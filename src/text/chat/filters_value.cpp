// text/chat/filters_value.cpp: which filters convert and count single values?
#include <charconv>
#include <cmath>

#include "text/chat/ast.hpp"
#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

Value default_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "default", args, {"default_value", "boolean"});
  const bool replaced = v.is_undefined() || (b.flag(1, false) && !truth(v));
  return replaced ? b.get(0, string("")) : v;
}

Value abs_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "abs", args, {});
  if (v.is(Kind::real)) return real(std::fabs(v.real));
  if (v.is_whole()) return v.whole() < 0 ? negative(run, v) : integer(v.whole());
  run.fail({"bad operand type for abs(): '", type_name(v), "'"});
}

/// A number's text without white space around it and underscores between digits; false where those stand elsewhere.
bool clean(Run& run, std::string_view text, std::string_view& out) {
  text = trim_right(trim_left(text));
  run.charge_bytes(text.size());
  if (text.size() > 4096) return false;
  Buffer buffer(run.arena);
  const auto part = [&](std::size_t i) {
    return i < text.size() && ((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
                               (text[i] >= 'A' && text[i] <= 'Z'));
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      buffer.append(text[i]);
    } else if (i == 0 || !part(i - 1) || !part(i + 1)) {
      return false;
    }
  }
  out = buffer.text();
  return !out.empty();
}

bool parse_integer(Run& run, std::string_view text, std::int64_t base, std::int64_t& out) {
  std::string_view s;
  if (!clean(run, text, s) || base < 0 || base == 1 || base > 36) return false;
  const bool minus = s[0] == '-';
  if (minus || s[0] == '+') s.remove_prefix(1);
  if (s.size() > 2 && s[0] == '0') {
    const char kind = static_cast<char>(s[1] | 0x20);
    const int named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (named != 0 && (base == 0 || base == named)) {
      s.remove_prefix(2);
      base = named;
    }
  }
  if (s.empty() || s[0] == '-' || s[0] == '+') return false;
  std::uint64_t size = 0;
  const auto read = std::from_chars(s.data(), s.data() + s.size(), size, base == 0 ? 10 : static_cast<int>(base));
  if (read.ptr != s.data() + s.size()) return false;
  if (read.ec != std::errc() || size > (std::uint64_t{1} << 63) - (minus ? 0 : 1)) {
    run.fail({"an integer beyond 64 bits"});
  }
  out = static_cast<std::int64_t>(minus ? 0 - size : size);
  return true;
}

bool parse_real(Run& run, std::string_view text, double& out) {
  std::string_view s;
  if (!clean(run, text, s)) return false;
  const bool minus = s[0] == '-';
  if (minus || s[0] == '+') s.remove_prefix(1);
  if (s.empty() || s[0] == '-' || s[0] == '+' || s.find('x') != s.npos || s.find('(') != s.npos) return false;
  const auto read = std::from_chars(s.data(), s.data() + s.size(), out);
  if (read.ptr != s.data() + s.size()) return false;
  if (read.ec == std::errc::result_out_of_range) out = s.find("e-") != s.npos ? 0.0 : HUGE_VAL;
  if (minus) out = -out;
  return true;
}

/// int() of a double; false for NaN.
bool whole_part(Run& run, double d, std::int64_t& out) {
  if (std::isnan(d)) return false;
  if (std::fabs(d) >= 9223372036854775808.0) run.fail({"cannot convert this float to a 64-bit integer"});
  out = static_cast<std::int64_t>(d);
  return true;
}

Value int_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "int", args, {"default", "base"});
  const Value otherwise = b.get(0, integer(0));
  std::int64_t i = 0;
  double d = 0;
  if (v.is_undefined()) fail_undefined(run, v);
  if (v.is_whole()) return integer(v.whole());
  if (v.is(Kind::real)) return whole_part(run, v.real, i) ? integer(i) : otherwise;
  if (!v.is_string()) return otherwise;
  if (parse_integer(run, v.text(), b.whole(run, 1, 10), i)) return integer(i);
  if (!parse_real(run, v.text(), d) || std::isinf(d) || !whole_part(run, d, i)) return otherwise;
  return integer(i);
}

Value float_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "float", args, {"default"});
  double d = 0;
  if (v.is_undefined()) fail_undefined(run, v);
  if (v.is_number()) return real(v.number());
  if (v.is_string() && parse_real(run, v.text(), d)) return real(d);
  return b.get(0, real(0.0));
}

double power_of_ten(std::int64_t n) noexcept {
  double p = 1;
  for (std::int64_t i = 0; i < n; ++i) p *= 10;
  return p;
}

/// Half to even at `precision` decimals of the exact value, as Python's round().
double round_common(double d, std::int64_t precision) {
  if (!std::isfinite(d) || precision > 330) return d;
  if (precision < 0) {
    if (precision < -308) return d * 0.0;
    const double unit = power_of_ten(-precision);
    const double scaled = d / unit;
    double whole = std::floor(scaled);
    const double rest = scaled - whole;
    if (rest > 0.5 || (rest == 0.5 && std::fmod(whole, 2) != 0)) whole += 1;
    return whole * unit;
  }
  char room[700];
  const auto end = std::to_chars(room, room + sizeof room, d, std::chars_format::fixed, static_cast<int>(precision));
  double out = d;
  std::from_chars(room, end.ptr, out);
  return out;
}

Value round_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "round", args, {"precision", "method"});
  const std::int64_t precision = b.whole(run, 0, 0);
  const std::string_view method = b.text(run, 1, "common");
  if (method != "common" && method != "ceil" && method != "floor") {
    run.fail({"method must be common, ceil or floor"});
  }
  if (v.is_undefined()) fail_undefined(run, v);
  if (!v.is_number()) run.fail({"type ", type_name(v), " doesn't define __round__ method"});
  if (method == "common") {
    if (v.is(Kind::real)) return real(round_common(v.real, precision));
    if (precision >= 0) return integer(v.whole());
    return integer(static_cast<std::int64_t>(round_common(v.number(), precision)));
  }
  if (precision < -300 || precision > 300) run.fail({"round: a precision beyond 300"});
  const double unit = power_of_ten(std::abs(precision));
  const double scaled = precision < 0 ? v.number() / unit : v.number() * unit;
  if (!std::isfinite(scaled)) run.fail({"cannot round this number"});
  const double whole = method == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  return real(precision < 0 ? whole * unit : whole / unit);
}

Value sum(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "sum", args, {"attribute", "start"});
  Value total = b.get(1, integer(0));
  if (total.is_string()) run.fail({"sum() can't sum strings"});
  for (const Value& item : iterate(run, v)) {
    run.charge();
    total = binary(run, Op::add, total, b.has(0) ? follow(run, item, b[0]) : item);
  }
  return total;
}

Value attr(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "attr", args, {"name"}, 1);
  const std::string_view name = b.text(run, 0, {});
  if (v.is(Kind::dict) && find_method(v, name) == nullptr) {
    const Value empty = make_dict(run);
    return attribute(run, empty, name);
  }
  return attribute(run, v, name);
}

constexpr Filter table[] = {
    {"abs", abs_filter},     {"attr", attr},      {"d", default_filter},   {"default", default_filter},
    {"float", float_filter}, {"int", int_filter}, {"round", round_filter}, {"sum", sum},
    {"tojson", to_json},
};

}  // namespace

std::span<const Filter> value_filters() noexcept { return table; }

}  // namespace kinglet::text::chat

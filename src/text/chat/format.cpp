// text/chat/format.cpp: how do % and str.format show values?
#include <charconv>
#include <cmath>

#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

/// How a number or text is to be shown, from a format specification of either kind.
struct Spec {
  std::string_view fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';    // - + or a blank
  bool alternate = false;
  bool comma = false;
  std::int64_t width = 0;
  std::int64_t precision = -1;
  char type = '\0';
};

constexpr std::int64_t most_digits = 100;

bool read_number(std::string_view& s, std::int64_t& out) noexcept {
  const auto read = std::from_chars(s.data(), s.data() + s.size(), out);
  if (s.empty() || s[0] < '0' || s[0] > '9' || read.ec != std::errc()) return false;
  s.remove_prefix(static_cast<std::size_t>(read.ptr - s.data()));
  return true;
}

void pad(Run& run, Buffer& out, const Spec& spec, std::string_view sign, std::string_view body, char usual) {
  const char align = spec.align == '\0' ? usual : spec.align;
  run.charge_bytes(body.size());
  const auto size = static_cast<std::int64_t>(count_characters(body) + sign.size());
  const std::int64_t room = spec.width > size ? spec.width - size : 0;
  run.charge_bytes(static_cast<std::size_t>(room) * 4);
  const std::int64_t left = align == '^' ? room / 2 : align == '<' ? 0 : room;
  if (align == '=') out.append(sign);
  for (std::int64_t i = 0; i < left; ++i) out.append(spec.fill);
  if (align != '=') out.append(sign);
  out.append(body);
  for (std::int64_t i = left; i < room; ++i) out.append(spec.fill);
}

std::string_view sign_of(const Spec& spec, bool minus) noexcept {
  return minus ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
}

std::string_view with_commas(Run& run, std::string_view digits) {
  Buffer out(run.arena);
  const std::size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (std::size_t i = 0; i < whole; ++i) {
    if (i != 0 && (whole - i) % 3 == 0) out.append(',');
    out.append(digits[i]);
  }
  out.append(digits.substr(whole));
  return out.text();
}

void show_integer(Run& run, Buffer& out, const Spec& spec, std::int64_t i) {
  const char kind = static_cast<char>(spec.type | 0x20);
  const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
  char room[70];
  const std::uint64_t size = i < 0 ? 0 - static_cast<std::uint64_t>(i) : static_cast<std::uint64_t>(i);
  const auto end = std::to_chars(room, room + sizeof room, size, base).ptr;
  Buffer body(run.arena);
  const auto digits = static_cast<std::int64_t>(end - room);
  for (std::int64_t n = digits; n < spec.precision; ++n) body.append('0');
  for (const char* c = room; c != end; ++c) {
    body.append(spec.type == 'X' && *c >= 'a' ? static_cast<char>(*c - 32) : *c);
  }
  Buffer sign(run.arena);
  sign.append(sign_of(spec, i < 0));
  if (spec.alternate && base != 10) {
    sign.append('0');
    sign.append(spec.type);
  }
  pad(run, out, spec, sign.text(), spec.comma ? with_commas(run, body.text()) : body.text(), '>');
}

void show_real(Run& run, Buffer& out, const Spec& spec, double d) {
  const char kind = static_cast<char>(spec.type | 0x20);
  const bool upper = spec.type >= 'A' && spec.type <= 'Z';
  const bool minus = std::signbit(d) && !std::isnan(d);
  Buffer body(run.arena);
  if (!std::isfinite(d)) {
    body.append(std::isnan(d) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf"));
  } else if (spec.type == '\0' && spec.precision < 0) {
    char room[32];
    body.append(real_text(std::fabs(d), room));
  } else {
    char room[512];
    const auto form = kind == 'e'                  ? std::chars_format::scientific
                      : kind == 'f' || kind == '%' ? std::chars_format::fixed
                                                   : std::chars_format::general;
    const double shown = std::fabs(spec.type == '%' ? d * 100 : d);
    const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
    const auto end = std::to_chars(room, room + sizeof room, shown, form, precision).ptr;
    for (const char* c = room; c != end; ++c) body.append(upper && *c == 'e' ? 'E' : *c);
    if (spec.type == '%') body.append('%');
  }
  pad(run, out, spec, sign_of(spec, minus), spec.comma ? with_commas(run, body.text()) : body.text(), '>');
}

void show_text(Run& run, Buffer& out, const Spec& spec, std::string_view text) {
  if (spec.precision >= 0) text = text.substr(0, character_offset(text, static_cast<std::size_t>(spec.precision)));
  pad(run, out, spec, {}, text, '<');
}

bool one_of(char c, std::string_view set) noexcept { return c != '\0' && set.find(c) != std::string_view::npos; }

void check(Run& run, const Spec& spec) {
  if (spec.precision > most_digits) run.fail({"a format with more than 100 digits"});
}

/// The right side of a % that takes one value at a time.
class Values {
 public:
  Values(Run& run, const Value& v) : run_(run), all_(v), items_(v.is(Kind::tuple) ? v.list() : std::span(&v, 1)) {}
  const Value& next() {
    if (at_ >= items_.size()) run_.fail({"not enough arguments for format string"});
    return items_[at_++];
  }
  Value named(std::string_view name) {
    if (!all_.is(Kind::dict)) run_.fail({"format requires a mapping"});
    const Value* v = find(run_, *all_.dict, string(name));
    if (v == nullptr) run_.fail({"no value for the key '", name, "' of a format string"});
    at_ = items_.size();
    return *v;
  }
  void finish() {
    // Python takes whatever has an index for a mapping, of which it may use nothing.
    const bool mapping = all_.is(Kind::dict) || all_.is(Kind::list) || all_.is(Kind::range) || all_.is_undefined();
    if (at_ < items_.size() && !mapping) {
      run_.fail({"not all arguments converted during string formatting"});
    }
  }

 private:
  Run& run_;
  const Value& all_;
  std::span<const Value> items_;
  std::size_t at_ = 0;
};

void show_percent(Run& run, Buffer& out, Spec spec, const Value& v) {
  if (one_of(spec.type, "sra")) return show_text(run, out, spec, spec.type == 's' ? to_text(run, v) : repr(run, v));
  if (v.is_undefined()) fail_undefined(run, v);
  if (spec.type == 'c' && v.is_string() && count_characters(v.text()) == 1) return show_text(run, out, spec, v.text());
  if (!v.is_number()) run.fail({"%", std::string_view(&spec.type, 1), " needs a number, not ", type_name(v)});
  if (one_of(spec.type, "eEfFgG")) return show_real(run, out, spec, v.number());
  if (v.is(Kind::real) && !one_of(spec.type, "diu")) run.fail({"%x and its like need an integer"});
  if (v.is(Kind::real) && !(std::fabs(v.real) < 9223372036854775808.0)) run.fail({"a number beyond 64 bits"});
  const std::int64_t i = v.is(Kind::real) ? static_cast<std::int64_t>(v.real) : v.whole();
  if (spec.type != 'c') return show_integer(run, out, spec, i);
  if (i < 0 || i > 0x10ffff || (i >= 0xd800 && i < 0xe000)) run.fail({"%c needs a character"});
  char room[4];
  show_text(run, out, spec, {room, encode(static_cast<std::uint32_t>(i), room)});
}

/// [[fill]align][sign][#][0][width][,][.precision][type]
Spec read_spec(Run& run, std::string_view s) {
  Spec spec;
  const std::size_t n = character_size(s);
  if (s.size() > n && one_of(s[n], "<>^=")) {
    spec.fill = s.substr(0, n);
    spec.align = s[n];
    s.remove_prefix(n + 1);
  } else if (!s.empty() && one_of(s[0], "<>^=")) {
    spec.align = s[0];
    s.remove_prefix(1);
  }
  const auto take = [&](std::string_view set) {
    if (s.empty() || !one_of(s[0], set)) return '\0';
    const char c = s[0];
    s.remove_prefix(1);
    return c;
  };
  if (const char sign = take("+- "); sign != '\0') spec.sign = sign;
  spec.alternate = take("#") != '\0';
  if (take("0") != '\0' && spec.align == '\0') {
    spec.fill = "0";
    spec.align = '=';
  }
  read_number(s, spec.width);
  spec.comma = take(",") != '\0';
  if (take(".") != '\0' && !read_number(s, spec.precision)) run.fail({"Format specifier missing precision"});
  spec.type = take("sdxXobcneEfFgG%");
  if (!s.empty() || spec.type == 'n') run.fail({"Invalid format specifier '", s, "'"});
  check(run, spec);
  return spec;
}

void show(Run& run, Buffer& out, const Spec& spec, const Value& v) {
  if (v.is_string()) {
    if (spec.type != '\0' && spec.type != 's') run.fail({"Unknown format code for a str"});
    return show_text(run, out, spec, v.text());
  }
  if (v.is(Kind::real) || (v.is_whole() && one_of(spec.type, "eEfFgG%"))) {
    if (one_of(spec.type, "sdxXobc")) run.fail({"Unknown format code for a float"});
    return show_real(run, out, spec, v.number());
  }
  if (v.is_whole()) {
    if (spec.type == 's' || spec.type == 'c') run.fail({"Unknown format code for an int"});
    return show_integer(run, out, spec, v.whole());
  }
  run.fail({"unsupported format string passed to ", type_name(v)});
}

/// The value that a replacement field names: "0.name[item]".
Value field(Run& run, std::string_view name, const Args& args, std::size_t& automatic) {
  const std::size_t end = std::min(name.find_first_of(".["), name.size());
  const std::string_view first = name.substr(0, end);
  Value v;
  std::int64_t index = 0;
  std::string_view digits = first;
  if (first.empty() || (read_number(digits, index) && digits.empty())) {
    const std::size_t i = first.empty() ? automatic++ : static_cast<std::size_t>(index);
    if (i >= args.positional.size()) run.fail({"Replacement index out of range for positional args tuple"});
    v = args.positional[i];
  } else {
    bool found = false;
    for (const Named& named : args.named) {
      if (named.name != first) continue;
      v = named.value;
      found = true;
    }
    if (!found) run.fail({"format: no argument '", first, "'"});
  }
  for (std::string_view rest = name.substr(end); !rest.empty();) {
    run.charge();
    if (rest[0] == '.') {
      const std::size_t next = std::min(rest.find_first_of(".[", 1), rest.size());
      v = attribute(run, v, rest.substr(1, next - 1));
      rest.remove_prefix(next);
      continue;
    }
    const std::size_t close = rest.find(']');
    if (rest[0] != '[' || close == rest.npos) run.fail({"Missing ']' in format string"});
    std::string_view key = rest.substr(1, close - 1);
    std::string_view number = key;
    v = read_number(number, index) && number.empty() ? item(run, v, integer(index)) : item(run, v, string(key));
    rest.remove_prefix(close + 1);
  }
  return v;
}

}  // namespace

namespace {

/// Reads what follows a '%': [(name)][flags][width][.precision]type.
Spec read_percent(Run& run, std::string_view& text, Values& next, std::string_view& name, bool& has_name) {
  Spec spec;
  has_name = text.starts_with('(');
  if (has_name) {
    const std::size_t close = text.find(')');
    if (close == text.npos) run.fail({"incomplete format key"});
    name = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
  }
  for (; !text.empty() && one_of(text[0], "-+ #0"); text.remove_prefix(1)) {
    if (text[0] == '-') spec.align = '<';
    if (text[0] == '+' || (text[0] == ' ' && spec.sign != '+')) spec.sign = text[0];
    if (text[0] == '#') spec.alternate = true;
    if (text[0] == '0' && spec.align != '<') spec.align = '=';
  }
  const auto number = [&](std::int64_t& n) {
    if (!text.starts_with('*')) return void(read_number(text, n));
    text.remove_prefix(1);
    const Value& v = next.next();
    if (!v.is_whole()) run.fail({"* wants int"});
    n = v.whole();
  };
  number(spec.width);
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    spec.precision = 0;
    number(spec.precision);
  }
  check(run, spec);
  if (text.empty()) run.fail({"incomplete format"});
  spec.type = text[0];
  text.remove_prefix(1);
  const bool zeros = spec.align == '=' && !one_of(spec.type, "srac");
  if (zeros) spec.fill = "0";
  if (!zeros && spec.align != '<') spec.align = '>';
  return spec;
}

}  // namespace

Value percent(Run& run, std::string_view text, const Value& values) {
  Buffer out(run.arena);
  Values next(run, values);
  run.charge_bytes(text.size());
  while (!text.empty()) {
    const std::size_t at = std::min(text.find('%'), text.size());
    out.append(text.substr(0, at));
    text.remove_prefix(at);
    if (text.empty()) break;
    text.remove_prefix(1);
    run.charge();
    bool has_name = false;
    std::string_view name;
    const Spec spec = read_percent(run, text, next, name, has_name);
    if (spec.type == '%') {
      out.append('%');
      continue;
    }
    if (!one_of(spec.type, "sradiuoxXeEfFgGc")) {
      run.fail({"unsupported format character '", std::string_view(&spec.type, 1), "'"});
    }
    const Value v = has_name ? next.named(name) : next.next();
    show_percent(run, out, spec, v);
  }
  next.finish();
  return string(out.text());
}

Value format(Run& run, std::string_view text, const Args& args) {
  Buffer out(run.arena);
  std::size_t automatic = 0;
  run.charge_bytes(text.size());
  while (!text.empty()) {
    const std::size_t at = std::min(text.find_first_of("{}"), text.size());
    out.append(text.substr(0, at));
    text.remove_prefix(at);
    if (text.empty()) break;
    run.charge();
    if (text.starts_with("{{") || text.starts_with("}}")) {
      out.append(text[0]);
      text.remove_prefix(2);
      continue;
    }
    const std::size_t close = text.find('}');
    if (text[0] == '}' || close == text.npos)
      run.fail({"Single '", text.substr(0, 1), "' encountered in format string"});
    const std::string_view inside = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
    if (inside.find('{') != inside.npos) run.fail({"nested replacement fields are not supported"});
    const std::size_t colon = std::min(inside.find(':'), inside.size());
    std::string_view name = inside.substr(0, colon);
    const std::size_t mark = name.find('!');
    const std::string_view conversion = mark != name.npos ? name.substr(mark + 1) : std::string_view();
    name = name.substr(0, mark);
    Value v = field(run, name, args, automatic);
    if (conversion == "r" || conversion == "a") v = string(repr(run, v));
    if (conversion == "s") v = string(to_text(run, v));
    if (mark != inside.npos && conversion != "r" && conversion != "s" && conversion != "a" && mark < colon) {
      run.fail({"Unknown conversion specifier"});
    }
    const std::string_view spec = colon < inside.size() ? inside.substr(colon + 1) : std::string_view();
    if (spec.empty()) {
      write_text(run, out, v);
    } else {
      show(run, out, read_spec(run, spec), v);
    }
  }
  return string(out.text());
}

}  // namespace kinglet::text::chat

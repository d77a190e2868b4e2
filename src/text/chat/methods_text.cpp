// text/chat/methods_text.cpp: which methods search and change a text?
#include <algorithm>

#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

/// Without the characters of `set` (null data(): white space) at its ends.
std::string_view stripped(Run& run, std::string_view text, std::string_view set, bool left, bool right) {
  const auto goes = [&](std::string_view character) {
    run.charge_bytes(set.size());
    return set.data() == nullptr ? is_space(code_point(character)) : has_character(set, character);
  };
  while (left && !text.empty()) {
    const std::size_t n = character_size(text);
    if (!goes(text.substr(0, n))) break;
    text.remove_prefix(n);
  }
  while (right && !text.empty()) {
    const std::size_t start = previous_character(text, text.size());
    if (!goes(text.substr(start))) break;
    text = text.substr(0, start);
  }
  return text;
}

Value strip_ends(Run& run, const Value& self, const Args& args, std::string_view name, bool left, bool right) {
  const Bound b(run, name, args, {"chars"});
  const bool space = !b.has(0) || b[0].is(Kind::none);
  const std::string_view set = space ? std::string_view() : b.text(run, 0, "");
  return string(stripped(run, self.text(), set, left, right), self.markup);
}

Value strip(Run& run, const Value& self, const Args& args) { return strip_ends(run, self, args, "strip", true, true); }
Value lstrip(Run& run, const Value& self, const Args& args) {
  return strip_ends(run, self, args, "lstrip", true, false);
}
Value rstrip(Run& run, const Value& self, const Args& args) {
  return strip_ends(run, self, args, "rstrip", false, true);
}

template <Case how>
Value cased(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "a method of str", args, {});
  run.charge_bytes(self.size * std::size_t{4});
  Buffer out(run.arena);
  write_case(out, self.text(), how);
  return string(out.text(), self.markup);
}

template <Class what>
Value is_class(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "a method of str", args, {});
  run.charge_bytes(self.size);
  if (what == Class::ascii && self.size == 0) return boolean(true);
  return boolean(all_of(self.text(), what));
}

/// The part of a text that find(), count(), startswith() and their like look at.
struct Window {
  std::string_view text;
  std::size_t first;  // character
  bool valid;         // false where the start lies behind the end
};

Window window(Run& run, const Value& self, const Bound& b) {
  const auto given = [&](std::size_t i) { return b.has(i) && !b[i].is(Kind::none); };
  if (!given(1) && !given(2)) return {self.text(), 0, true};
  const auto size = static_cast<std::int64_t>(length(run, self));
  const auto at = [&](std::size_t i, std::int64_t otherwise) {
    const std::int64_t v = given(i) ? b.whole(run, i, 0) : otherwise;
    return v < 0 ? std::max<std::int64_t>(v < -size ? 0 : v + size, 0) : v;
  };
  const std::int64_t start = at(1, 0);
  const std::int64_t stop = std::min(at(2, size), size);
  if (start > stop || start > size) return {{}, 0, false};
  const std::size_t from = character_offset(self.text(), static_cast<std::size_t>(start));
  const std::string_view rest = self.text().substr(from);
  return {rest.substr(0, character_offset(rest, static_cast<std::size_t>(stop - start))),
          static_cast<std::size_t>(start), true};
}

Value affix(Run& run, const Value& self, const Args& args, bool at_end) {
  const Bound b(run, at_end ? "endswith" : "startswith", args, {"", "start", "end"}, 1);
  const Window w = window(run, self, b);
  const auto fits = [&](const Value& v) {
    if (v.is_undefined()) fail_undefined(run, v);
    if (!v.is_string()) run.fail({"startswith and endswith need a str or a tuple of str, not ", type_name(v)});
    run.charge_bytes(v.size);
    return w.valid && (at_end ? w.text.ends_with(v.text()) : w.text.starts_with(v.text()));
  };
  if (!b[0].is(Kind::tuple)) return boolean(fits(b[0]));
  return boolean(std::any_of(b[0].items, b[0].items + b[0].size, fits));
}

Value startswith(Run& run, const Value& self, const Args& args) { return affix(run, self, args, false); }
Value endswith(Run& run, const Value& self, const Args& args) { return affix(run, self, args, true); }

/// The character at which `sub` stands, or -1.
std::int64_t where(Run& run, const Value& self, const Args& args, std::string_view name, bool last) {
  const Bound b(run, name, args, {"sub", "start", "end"}, 1);
  const std::string_view what = b.text(run, 0, {});
  const Window w = window(run, self, b);
  if (!w.valid) return -1;
  const std::size_t at = last ? find_last(run, w.text, what) : find_text(run, w.text, what, 0);
  if (at == w.text.npos) return -1;
  run.charge_bytes(at);
  return static_cast<std::int64_t>(w.first + count_characters(w.text.substr(0, at)));
}

Value find_first(Run& run, const Value& self, const Args& args) {
  return integer(where(run, self, args, "find", false));
}
Value rfind(Run& run, const Value& self, const Args& args) { return integer(where(run, self, args, "rfind", true)); }

Value index_of(Run& run, const Value& self, const Args& args) {
  const std::int64_t at = where(run, self, args, "index", false);
  if (at < 0) run.fail({"substring not found"});
  return integer(at);
}
Value rindex(Run& run, const Value& self, const Args& args) {
  const std::int64_t at = where(run, self, args, "rindex", true);
  if (at < 0) run.fail({"substring not found"});
  return integer(at);
}

Value count(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "count", args, {"sub", "start", "end"}, 1);
  const std::string_view what = b.text(run, 0, {});
  const Window w = window(run, self, b);
  if (!w.valid) return integer(0);
  run.charge_bytes(w.text.size());
  if (what.empty()) return integer(static_cast<std::int64_t>(count_characters(w.text)) + 1);
  std::int64_t n = 0;
  for (std::size_t at = 0; (at = find_text(run, w.text, what, at)) != w.text.npos; at += what.size()) ++n;
  return integer(n);
}

Value replace_method(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "replace", args, {"old", "new", "count"}, 2);
  std::string_view from = b.text(run, 0, {});
  std::string_view to = b.text(run, 1, {});
  if (self.markup && !b[0].markup) from = escape(run, from);
  if (self.markup && !b[1].markup) to = escape(run, to);
  return string(replace(run, self.text(), from, to, b.whole(run, 2, -1)), self.markup);
}

Value join(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "join", args, {"iterable"}, 1);
  if (!iterable(b[0])) run.fail({"can only join an iterable"});
  Buffer out(run.arena);
  bool first = true;
  for (const Value& v : iterate(run, b[0])) {
    if (!v.is_string() && !self.markup) run.fail({"join: expected str instance, ", type_name(v), " found"});
    if (!first) out.append(self.text());
    first = false;
    const std::string_view piece = to_text(run, v);
    run.charge_bytes(piece.size() + self.size);
    out.append(self.markup && !v.markup ? escape(run, piece) : piece);
  }
  return string(out.text(), self.markup);
}

Value format_method(Run& run, const Value& self, const Args& args) { return format(run, self.text(), args); }

Value remove_affix(Run& run, const Value& self, const Args& args, bool at_end) {
  const Bound b(run, at_end ? "removesuffix" : "removeprefix", args, {""}, 1);
  const std::string_view what = b.text(run, 0, {});
  std::string_view text = self.text();
  run.charge_bytes(what.size());
  if (at_end && text.ends_with(what)) text.remove_suffix(what.size());
  if (!at_end && text.starts_with(what)) text.remove_prefix(what.size());
  return string(text, self.markup);
}

Value removeprefix(Run& run, const Value& self, const Args& args) { return remove_affix(run, self, args, false); }
Value removesuffix(Run& run, const Value& self, const Args& args) { return remove_affix(run, self, args, true); }

/// `left` and `right` fill characters around the text.
Value padded(Run& run, const Value& self, std::size_t left, std::size_t right, std::string_view fill) {
  if (left > Arena::most_bytes / 8 || right > Arena::most_bytes / 8) run.arena.refuse();
  run.charge_bytes((left + right) * fill.size());
  Buffer out(run.arena);
  for (std::size_t i = 0; i < left; ++i) out.append(fill);
  out.append(self.text());
  for (std::size_t i = 0; i < right; ++i) out.append(fill);
  return string(out.text(), self.markup);
}

std::size_t missing_width(Run& run, const Value& self, std::int64_t width) {
  const auto size = static_cast<std::int64_t>(length(run, self));
  return width > size ? static_cast<std::size_t>(width - size) : 0;
}

Value justify(Run& run, const Value& self, const Args& args, std::string_view name, int side) {
  const Bound b(run, name, args, {"width", "fillchar"}, 1);
  const std::string_view fill = b.text(run, 1, " ");
  if (count_characters(fill) != 1) run.fail({"the fill character must be exactly one character long"});
  const std::int64_t width = b.whole(run, 0, 0);
  const std::size_t room = missing_width(run, self, width);
  // Python's center() puts the odd one left where the width is odd.
  const std::size_t left = side < 0 ? 0 : side > 0 ? room : room / 2 + (room & static_cast<std::size_t>(width) & 1);
  return padded(run, self, left, room - left, fill);
}

Value center(Run& run, const Value& self, const Args& args) { return justify(run, self, args, "center", 0); }
Value ljust(Run& run, const Value& self, const Args& args) { return justify(run, self, args, "ljust", -1); }
Value rjust(Run& run, const Value& self, const Args& args) { return justify(run, self, args, "rjust", 1); }

Value zfill(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "zfill", args, {"width"}, 1);
  const std::size_t room = missing_width(run, self, b.whole(run, 0, 0));
  const bool sign = self.text().starts_with('-') || self.text().starts_with('+');
  if (!sign) return padded(run, self, room, 0, "0");
  const Value rest = padded(run, string(self.text().substr(1)), room, 0, "0");
  return string(run.arena.concat(self.text().substr(0, 1), rest.text()), self.markup);
}

constexpr MethodEntry table[] = {
    {"capitalize", cased<Case::capitalize>},
    {"center", center},
    {"count", count},
    {"endswith", endswith},
    {"find", find_first},
    {"format", format_method},
    {"index", index_of},
    {"isalnum", is_class<Class::alnum>},
    {"isalpha", is_class<Class::alpha>},
    {"isascii", is_class<Class::ascii>},
    {"isdecimal", is_class<Class::decimal>},
    {"isdigit", is_class<Class::digit>},
    {"islower", is_class<Class::lower>},
    {"isnumeric", is_class<Class::numeric>},
    {"isspace", is_class<Class::space>},
    {"istitle", is_class<Class::title>},
    {"isupper", is_class<Class::upper>},
    {"join", join},
    {"ljust", ljust},
    {"lower", cased<Case::lower>},
    {"lstrip", lstrip},
    {"removeprefix", removeprefix},
    {"removesuffix", removesuffix},
    {"replace", replace_method},
    {"rfind", rfind},
    {"rindex", rindex},
    {"rjust", rjust},
    {"rstrip", rstrip},
    {"startswith", startswith},
    {"strip", strip},
    {"swapcase", cased<Case::swap>},
    {"title", cased<Case::title>},
    {"upper", cased<Case::upper>},
    {"zfill", zfill},
};

}  // namespace

std::span<const MethodEntry> text_methods() noexcept { return table; }

}  // namespace kinglet::text::chat

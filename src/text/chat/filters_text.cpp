// text/chat/filters_text.cpp: which filters change texts?
#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

/// What Jinja calls soft_str: a string as it is, anything else as str() shows it.
Value soft(Run& run, const Value& v) { return v.is_string() ? v : string(to_text(run, v)); }

Value method(Run& run, const Value& v, std::string_view name, const Args& args) {
  const Value text = soft(run, v);
  return find_method(text, name)->body(run, text, args);
}

Value trim(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "trim", args, {"chars"});
  const Value chars = b.get(0, none());
  return method(run, v, "strip", {{&chars, 1}, {}});
}
Value upper(Run& run, const Value& v, const Args& args) { return method(run, v, "upper", args); }
Value lower(Run& run, const Value& v, const Args& args) { return method(run, v, "lower", args); }
Value capitalize(Run& run, const Value& v, const Args& args) { return method(run, v, "capitalize", args); }

Value center(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "center", args, {"width"});
  const Value width = integer(b.whole(run, 0, 80));
  return method(run, v, "center", {{&width, 1}, {}});
}

/// Words start after white space and after - ( { [ <.
Value title(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "title", args, {});
  const std::string_view text = to_text(run, v);
  run.charge_bytes(text.size() * 4);
  Buffer out(run.arena);
  bool first = true;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = character_size(text.substr(i));
    const bool breaks =
        std::string_view("-({[<").find(text[i]) != std::string_view::npos || is_space(code_point(text.substr(i)));
    if (breaks) {
      out.append(text.substr(i, n));
      i += n;
      first = true;
      continue;
    }
    if (first) {
      write_case(out, text.substr(i, n), Case::upper);
      i += n;
      first = false;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && std::string_view("-({[<").find(text[end]) == std::string_view::npos &&
           !is_space(code_point(text.substr(end)))) {
      end += character_size(text.substr(end));
    }
    write_case(out, text.substr(i, end - i), Case::lower);
    i = end;
  }
  return string(out.text());
}

Value replace_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "replace", args, {"old", "new", "count"}, 2);
  const std::int64_t count = b.has(2) && !b[2].is(Kind::none) ? b.whole(run, 2, -1) : -1;
  return string(replace(run, to_text(run, v), to_text(run, b[0]), to_text(run, b[1]), count));
}

Value indent(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "indent", args, {"width", "first", "blank"});
  const Value width = b.get(0, integer(4));
  if (!v.is_string()) {
    if (v.is_undefined()) fail_undefined(run, v);
    run.fail({"indent needs a string, not '", type_name(v), "'"});
  }
  Value by = width;
  if (!width.is_string()) {
    if (!width.is_whole()) run.fail({"indent needs a width or a string, not '", type_name(width), "'"});
    const Value space = string(" ");
    const Value n = integer(width.whole());
    const Value pads[] = {n};
    by = n.integer > 0 ? find_method(space, "ljust")->body(run, space, {pads, {}}) : string("");
  }
  const auto lines = split_lines(run, run.arena.concat(v.text(), "\n"), false);
  Buffer out(run.arena);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i != 0) out.append('\n');
    const bool shift = i == 0 ? b.flag(1, false) : b.flag(2, false) || lines[i].size != 0;
    run.charge_bytes(by.size + std::size_t{lines[i].size});
    if (shift) out.append(by.text());
    out.append(lines[i].text());
  }
  return string(out.text(), v.markup);
}

Value string_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "string", args, {});
  return soft(run, v);
}

Value safe(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "safe", args, {});
  return string(to_text(run, v), true);
}

Value escape_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "escape", args, {});
  if (v.is_string() && v.markup) return v;
  return string(escape(run, to_text(run, v)), true);
}

Value forceescape(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "forceescape", args, {});
  return string(escape(run, to_text(run, v)), true);
}

Value format_filter(Run& run, const Value& v, const Args& args) {
  if (!args.positional.empty() && !args.named.empty()) {
    run.fail({"can't handle positional and keyword arguments at the same time"});
  }
  Value values = list(args.positional, Kind::tuple);
  if (!args.named.empty()) {
    values = make_dict(run);
    for (const Named& named : args.named) insert(run, *values.dict, string(named.name), named.value);
  }
  return percent(run, to_text(run, v), values);
}

Value wordcount(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "wordcount", args, {});
  const std::string_view text = to_text(run, v);
  run.charge_bytes(text.size());
  std::int64_t n = 0;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size(); i += character_size(text.substr(i))) {
    const std::string_view character = text.substr(i, character_size(text.substr(i)));
    const bool part = character == "_" || all_of(character, Class::alnum);
    n += part && !in_word ? 1 : 0;
    in_word = part;
  }
  return integer(n);
}

Value truncate(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "truncate", args, {"length", "killwords", "end", "leeway"});
  const std::int64_t most = b.whole(run, 0, 255);
  const std::string_view end = b.text(run, 2, "...");
  const std::int64_t leeway = b.has(3) && !b[3].is(Kind::none) ? b.whole(run, 3, 5) : 5;
  const auto end_size = static_cast<std::int64_t>(count_characters(end));
  if (most < end_size) run.fail({"truncate: the length is shorter than the end"});
  if (leeway < 0) run.fail({"truncate: the leeway is negative"});
  const auto size = static_cast<std::int64_t>(length(run, v));
  if (size <= leeway || size - leeway <= most) return v;
  if (!v.is_string()) run.fail({"truncate needs a string, not '", type_name(v), "'"});
  const Value& text = v;
  std::string_view kept =
      text.text().substr(0, character_offset(text.text(), static_cast<std::size_t>(most - end_size)));
  const std::size_t space = kept.rfind(' ');
  if (!b.flag(1, false) && space != kept.npos) kept = kept.substr(0, space);
  return string(run.arena.concat(kept, end));
}

Value urlencode(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "urlencode", args, {});
  if (!v.is_string() && iterable(v)) run.fail({"urlencode of a list or mapping is not supported"});
  constexpr char hex[] = "0123456789ABCDEF";
  Buffer out(run.arena);
  const std::string_view text = to_text(run, v);
  run.charge_bytes(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '.' || c == '-' || c == '~' || c == '/';
    const auto byte = static_cast<unsigned char>(c);
    if (plain) {
      out.append(c);
    } else {
      const char escaped[] = {'%', hex[byte >> 4], hex[byte & 15]};
      out.append({escaped, 3});
    }
  }
  return string(out.text());
}

Value join(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "join", args, {"d", "attribute"});
  const Value path = b.get(1, none());
  Buffer out(run.arena);
  const std::string_view between = to_text(run, b.get(0, string("")));
  bool first = true;
  for (const Value& part : iterate(run, v)) {
    run.charge_bytes(between.size());
    if (!first) out.append(between);
    first = false;
    write_text(run, out, path.is(Kind::none) ? part : follow(run, part, path));
  }
  return string(out.text());
}

constexpr Filter table[] = {
    {"capitalize", capitalize},
    {"center", center},
    {"e", escape_filter},
    {"escape", escape_filter},
    {"forceescape", forceescape},
    {"format", format_filter},
    {"indent", indent},
    {"join", join},
    {"lower", lower},
    {"replace", replace_filter},
    {"safe", safe},
    {"string", string_filter},
    {"title", title},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", upper},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
};

}  // namespace

std::span<const Filter> text_filters() noexcept { return table; }

}  // namespace kinglet::text::chat

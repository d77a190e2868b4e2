// text/chat/methods_split.cpp: which methods cut a text into several?
#include <algorithm>

#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

Value split_space(Run& run, std::string_view text, std::int64_t most, bool markup) {
  run.charge_bytes(text.size());
  Items out(run);
  for (text = trim_left(text); !text.empty(); text = trim_left(text)) {
    std::size_t n = 0;
    while (n < text.size() && !is_space(code_point(text.substr(n)))) n += character_size(text.substr(n));
    if (most >= 0 && out.size() == static_cast<std::size_t>(most)) {
      out.add(string(text, markup));
      break;
    }
    out.add(string(text.substr(0, n), markup));
    text.remove_prefix(n);
  }
  return list(out.span());
}

Value split_space_right(Run& run, std::string_view text, std::int64_t most, bool markup) {
  run.charge_bytes(text.size());
  Items out(run);
  for (text = trim_right(text); !text.empty(); text = trim_right(text)) {
    if (most >= 0 && out.size() == static_cast<std::size_t>(most)) {
      out.add(string(text, markup));
      break;
    }
    std::size_t start = text.size();
    while (start > 0) {
      const std::size_t previous = previous_character(text, start);
      if (is_space(code_point(text.substr(previous)))) break;
      start = previous;
    }
    out.add(string(text.substr(start), markup));
    text = text.substr(0, start);
  }
  std::reverse(out.span().begin(), out.span().end());
  return list(out.span());
}

bool no_separator(const Bound& b) { return !b.has(0) || b[0].is(Kind::none); }

Value split(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "split", args, {"sep", "maxsplit"});
  const std::int64_t most = b.whole(run, 1, -1);
  if (no_separator(b)) return split_space(run, self.text(), most, self.markup);
  const std::string_view separator = b.text(run, 0, {});
  if (separator.empty()) run.fail({"empty separator"});
  Items out(run);
  std::string_view rest = self.text();
  while (most < 0 || out.size() < static_cast<std::size_t>(most)) {
    const std::size_t at = find_text(run, rest, separator, 0);
    if (at == rest.npos) break;
    out.add(string(rest.substr(0, at), self.markup));
    rest.remove_prefix(at + separator.size());
  }
  out.add(string(rest, self.markup));
  return list(out.span());
}

Value rsplit(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "rsplit", args, {"sep", "maxsplit"});
  const std::int64_t most = b.whole(run, 1, -1);
  if (no_separator(b)) return split_space_right(run, self.text(), most, self.markup);
  const std::string_view separator = b.text(run, 0, {});
  if (separator.empty()) run.fail({"empty separator"});
  Items out(run);
  std::string_view rest = self.text();
  while (most < 0 || out.size() < static_cast<std::size_t>(most)) {
    const std::size_t at = find_last(run, rest, separator);
    if (at == rest.npos) break;
    out.add(string(rest.substr(at + separator.size()), self.markup));
    rest = rest.substr(0, at);
  }
  out.add(string(rest, self.markup));
  std::reverse(out.span().begin(), out.span().end());
  return list(out.span());
}

Value splitlines(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "splitlines", args, {"keepends"});
  Items out(run);
  for (const Value& line : split_lines(run, self.text(), b.flag(0, false))) out.add(string(line.text(), self.markup));
  return list(out.span());
}

Value partition_at(Run& run, const Value& self, const Args& args, bool last) {
  const Bound b(run, last ? "rpartition" : "partition", args, {"sep"}, 1);
  const std::string_view separator = b.text(run, 0, {});
  if (separator.empty()) run.fail({"empty separator"});
  const std::string_view text = self.text();
  const std::size_t at = last ? find_last(run, text, separator) : find_text(run, text, separator, 0);
  Value parts[3] = {string(""), string(""), string("")};
  if (at == text.npos) {
    parts[last ? 2 : 0] = self;
  } else {
    parts[0] = string(text.substr(0, at), self.markup);
    parts[1] = string(separator, self.markup);
    parts[2] = string(text.substr(at + separator.size()), self.markup);
  }
  return run.keep(std::span<const Value>(parts), Kind::tuple);
}

Value partition(Run& run, const Value& self, const Args& args) { return partition_at(run, self, args, false); }
Value rpartition(Run& run, const Value& self, const Args& args) { return partition_at(run, self, args, true); }

constexpr MethodEntry table[] = {
    {"partition", partition}, {"rpartition", rpartition}, {"rsplit", rsplit},
    {"split", split},         {"splitlines", splitlines},
};

}  // namespace

std::span<const MethodEntry> text_split_methods() noexcept { return table; }

std::size_t find_text(Run& run, std::string_view text, std::string_view what, std::size_t from) {
  if (from > text.size()) return text.npos;
  if (what.empty()) return from;
  std::size_t work = 0;
  for (std::size_t i = from; what.size() <= text.size() - i; ++i) {
    const std::size_t next = text.find(what[0], i);
    if (next == text.npos || what.size() > text.size() - next) break;
    work += next - i + 1;
    i = next;
    std::size_t n = 1;
    while (n < what.size() && text[i + n] == what[n]) ++n;
    work += n;
    if (work > 4096) {
      run.charge_bytes(work);
      work = 0;
    }
    if (n == what.size()) {
      run.charge_bytes(work);
      return i;
    }
  }
  run.charge_bytes(work + 64);
  return text.npos;
}

std::size_t find_last(Run& run, std::string_view text, std::string_view what) {
  if (what.size() > text.size()) return text.npos;
  std::size_t work = 0;
  for (std::size_t i = text.size() - what.size() + 1; i-- > 0;) {
    std::size_t n = 0;
    while (n < what.size() && text[i + n] == what[n]) ++n;
    work += n + 1;
    if (work > 4096 || n == what.size()) {
      run.charge_bytes(work);
      work = 0;
    }
    if (n == what.size()) return i;
  }
  run.charge_bytes(work);
  return text.npos;
}

std::span<const Value> split_lines(Run& run, std::string_view text, bool keep_ends) {
  run.charge_bytes(text.size());
  Items out(run);
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t n = character_size(text.substr(i));
    const std::uint32_t c = code_point(text.substr(i));
    const bool ends = (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') n = 2;
    if (ends) {
      out.add(string(text.substr(start, i - start + (keep_ends ? n : 0))));
      start = i + n;
    }
    i += n;
  }
  if (start < text.size()) out.add(string(text.substr(start)));
  return out.span();
}

std::string_view replace(Run& run, std::string_view text, std::string_view from, std::string_view to,
                         std::int64_t count) {
  Buffer out(run.arena);
  const auto put = [&](std::string_view piece) {
    run.charge_bytes(piece.size());
    out.append(piece);
  };
  if (from.empty()) {  // before every character and at the end
    for (std::size_t i = 0;; count -= count > 0 ? 1 : 0) {
      if (count == 0) {
        put(text.substr(i));
        return out.text();
      }
      put(to);
      if (i >= text.size()) return out.text();
      const std::size_t n = character_size(text.substr(i));
      put(text.substr(i, n));
      i += n;
    }
  }
  while (count != 0) {
    const std::size_t at = find_text(run, text, from, 0);
    if (at == text.npos) break;
    put(text.substr(0, at));
    put(to);
    text.remove_prefix(at + from.size());
    if (count > 0) --count;
  }
  if (out.text().empty()) return text;
  put(text);
  return out.text();
}

std::string_view escape(Run& run, std::string_view text) {
  run.charge_bytes(text.size());
  if (text.find_first_of("&<>'\"") == text.npos) return text;
  Buffer out(run.arena);
  for (const char c : text) {
    switch (c) {
      case '&': out.append("&amp;"); break;
      case '<': out.append("&lt;"); break;
      case '>': out.append("&gt;"); break;
      case '\'': out.append("&#39;"); break;
      case '"': out.append("&#34;"); break;
      default: out.append(c);
    }
  }
  return out.text();
}

}  // namespace kinglet::text::chat

// text/chat/filters_sequence.cpp: which filters order, cut and measure sequences?
#include <algorithm>

#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

/// What sort(), unique(), min() and their like compare: an attribute, in lower case where that is asked for.
Value key_of(Run& run, const Value& v, const Value& path, bool case_sensitive) {
  const auto folded = [&](const Value& part) {
    if (case_sensitive || !part.is_string()) return part;
    run.charge_bytes(part.size * std::size_t{4});
    Buffer out(run.arena);
    write_case(out, part.text(), Case::lower);
    return string(out.text());
  };
  return folded(path.is(Kind::none) ? v : follow(run, v, path));
}

/// sort()'s key: a list, because its attribute may name several ("a,b").
Value sort_key(Run& run, const Value& v, const Value& path, bool case_sensitive) {
  Items keys(run);
  if (!path.is_string()) {
    keys.add(key_of(run, v, path, case_sensitive));
    return list(keys.span());
  }
  for (std::string_view rest = path.text();;) {
    const std::size_t comma = rest.find(',');
    keys.add(key_of(run, v, string(rest.substr(0, comma)), case_sensitive));
    if (comma == rest.npos) return list(keys.span());
    rest.remove_prefix(comma + 1);
  }
}

struct Keyed {
  Value key;
  Value value;
};

/// A stable merge sort: the comparison may throw, and no memory comes from outside the arena.
std::span<Keyed> sorted(Run& run, std::span<Keyed> items, bool reverse) {
  Keyed* from = items.data();
  Keyed* to = run.arena.array<Keyed>(items.size());
  const std::size_t n = items.size();
  for (std::size_t width = 1; width < n; width *= 2) {
    for (std::size_t start = 0; start < n; start += 2 * width) {
      const std::size_t middle = std::min(start + width, n);
      const std::size_t end = std::min(start + 2 * width, n);
      std::size_t a = start;
      std::size_t b = middle;
      for (std::size_t i = start; i < end; ++i) {
        run.charge();
        bool right = a == middle;
        if (!right && b < end) {
          right = reverse ? less(run, from[a].key, from[b].key) : less(run, from[b].key, from[a].key);
        }
        new (to + i) Keyed(from[right ? b++ : a++]);
      }
    }
    std::swap(from, to);
  }
  return {from, n};
}

Value list_of(Run& run, std::span<const Keyed> items) {
  Items out(run);
  for (const Keyed& k : items) out.add(k.value);
  return list(out.span());
}

Value sort(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "sort", args, {"reverse", "case_sensitive", "attribute"});
  const auto items = iterate(run, v);
  Keyed* keyed = run.arena.array<Keyed>(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    new (keyed + i) Keyed{sort_key(run, items[i], b.get(2, none()), b.flag(1, false)), items[i]};
  }
  return list_of(run, sorted(run, {keyed, items.size()}, b.flag(0, false)));
}

Value dictsort(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "dictsort", args, {"case_sensitive", "by", "reverse"});
  const std::string_view by = b.text(run, 1, "key");
  if (by != "key" && by != "value") run.fail({"You can only sort by either \"key\" or \"value\""});
  if (v.is_undefined()) fail_undefined(run, v);
  if (!v.is(Kind::dict)) run.fail({"dictsort needs a mapping, not '", type_name(v), "'"});
  const Dict& dict = *v.dict;
  Keyed* keyed = run.arena.array<Keyed>(dict.size);
  for (std::uint32_t i = 0; i < dict.size; ++i) {
    const Entry& entry = dict.entries[i];
    const Value pair[] = {entry.key, entry.value};
    new (keyed + i) Keyed{key_of(run, by == "key" ? entry.key : entry.value, none(), b.flag(0, false)),
                          run.keep(std::span<const Value>(pair), Kind::tuple)};
  }
  return list_of(run, sorted(run, {keyed, dict.size}, b.flag(2, false)));
}

Value unique(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "unique", args, {"case_sensitive", "attribute"});
  if (!iterable(v)) return run.broken_generator(v);
  Items keys(run);
  Items out(run);
  for (const Value& item : iterate(run, v)) {
    const Value key = key_of(run, item, b.get(1, none()), b.flag(0, false));
    check_hashable(run, key);
    const auto seen = keys.span();
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& k) { return equal(run, k, key); })) continue;
    keys.add(key);
    out.add(item);
  }
  return run.generator(out.span());
}

Value extreme(Run& run, const Value& v, const Args& args, bool most) {
  const Bound b(run, most ? "max" : "min", args, {"case_sensitive", "attribute"});
  const auto items = iterate(run, v);
  if (items.empty()) {
    Value nothing;
    nothing.missing = run.arena.make<Missing>(std::string_view("No aggregated item, sequence was empty."),
                                              std::string_view(), nullptr);
    return nothing;
  }
  std::size_t best = 0;
  Value best_key = key_of(run, items[0], b.get(1, none()), b.flag(0, false));
  for (std::size_t i = 1; i < items.size(); ++i) {
    const Value key = key_of(run, items[i], b.get(1, none()), b.flag(0, false));
    if (most ? less(run, best_key, key, ">") : less(run, key, best_key)) {
      best = i;
      best_key = key;
    }
  }
  return items[best];
}

Value min(Run& run, const Value& v, const Args& args) { return extreme(run, v, args, false); }
Value max(Run& run, const Value& v, const Args& args) { return extreme(run, v, args, true); }

Value no_item(Run& run, std::string_view message) {
  Value v;
  v.missing = run.arena.make<Missing>(message, std::string_view(), nullptr);
  return v;
}

Value first(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "first", args, {});
  if (v.is_string() && v.size != 0) return string(v.text().substr(0, character_size(v.text())));
  const auto items = iterate(run, v);
  return items.empty() ? no_item(run, "No first item, sequence was empty.") : items.front();
}

Value last(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "last", args, {});
  if (v.is(Kind::generator)) run.fail({"'generator' object is not reversible"});
  const auto items = iterate(run, v);
  return items.empty() ? no_item(run, "No last item, sequence was empty.") : items.back();
}

Value list_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "list", args, {});
  return list(iterate(run, v));
}

Value reverse(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "reverse", args, {});
  if (v.is_string()) return slice(run, v, none(), none(), integer(-1));
  if (v.is_undefined()) return run.generator({});
  const auto items = iterate(run, v);
  run.charge_items(items.size());
  Value* out = run.arena.array<Value>(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) new (out + i) Value(items[items.size() - 1 - i]);
  if (v.is(Kind::generator)) return list({out, items.size()});
  return run.generator({out, items.size()});
}

Value length_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "length", args, {});
  return integer(static_cast<std::int64_t>(length(run, v)));
}

Value items_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "items", args, {});
  if (v.is_undefined()) return run.generator({});
  if (!v.is(Kind::dict)) return run.broken_generator(v);
  return run.generator(find_method(v, "items")->body(run, v, {}).list());
}

Value batch(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "batch", args, {"linecount", "fill_with"}, 1);
  if (!iterable(v)) return run.broken_generator(v);
  const std::int64_t size = b.whole(run, 0, 1);
  if (size <= 0) run.fail({"batch needs a positive number"});
  const auto items = iterate(run, v);
  Items out(run);
  for (std::size_t i = 0; i < items.size();) {
    const std::size_t n = std::min(items.size() - i, static_cast<std::size_t>(size));
    Items row(run);
    for (std::size_t k = 0; k < n; ++k) row.add(items[i + k]);
    const bool fills = b.has(1) && !b[1].is(Kind::none);
    for (std::size_t k = n; fills && k < static_cast<std::size_t>(size); ++k) {
      run.charge();
      row.add(b[1]);
    }
    out.add(list(row.span()));
    i += n;
  }
  return run.generator(out.span());
}

Value slice_filter(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "slice", args, {"slices", "fill_with"}, 1);
  if (!iterable(v)) return run.broken_generator(v);
  const std::int64_t count = b.whole(run, 0, 1);
  if (count <= 0) run.fail({"slice needs a positive number"});
  const auto items = iterate(run, v);
  const auto slices = static_cast<std::size_t>(count);
  const std::size_t each = items.size() / slices;
  const std::size_t extra = items.size() % slices;
  Items out(run);
  for (std::size_t i = 0; i < slices; ++i) {
    run.charge();
    const std::size_t start = i * each + std::min(i, extra);
    Items row(run);
    for (std::size_t k = start; k < start + each + (i < extra ? 1 : 0); ++k) row.add(items[k]);
    if (b.has(1) && !b[1].is(Kind::none) && i >= extra) row.add(b[1]);
    out.add(list(row.span()));
  }
  return run.generator(out.span());
}

constexpr Filter table[] = {
    {"batch", batch},
    {"count", length_filter},
    {"dictsort", dictsort},
    {"first", first},
    {"items", items_filter},
    {"last", last},
    {"length", length_filter},
    {"list", list_filter},
    {"max", max},
    {"min", min},
    {"reverse", reverse},
    {"slice", slice_filter},
    {"sort", sort},
    {"unique", unique},
};

}  // namespace

std::span<const Filter> sequence_filters() noexcept { return table; }

}  // namespace kinglet::text::chat

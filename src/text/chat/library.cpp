// text/chat/library.cpp: by which names are filters, tests, methods and functions found?
#include "text/chat/library.hpp"

#include <algorithm>

namespace kinglet::text::chat {
namespace {

template <class Entry>
const Entry* find_in(std::span<const Entry> table, std::string_view name) noexcept {
  for (const Entry& entry : table) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

Value pairs(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "items", args, {});
  Items out(run);
  run.charge_items(self.dict->size);
  for (std::uint32_t i = 0; i < self.dict->size; ++i) {
    const Value pair[] = {self.dict->entries[i].key, self.dict->entries[i].value};
    out.add(run.keep(std::span<const Value>(pair), Kind::tuple));
  }
  return list(out.span(), Kind::dict_items);
}

Value keys(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "keys", args, {});
  return list(iterate(run, self), Kind::dict_keys);
}

Value values(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "values", args, {});
  Items out(run);
  run.charge_items(self.dict->size);
  for (std::uint32_t i = 0; i < self.dict->size; ++i) out.add(self.dict->entries[i].value);
  return list(out.span(), Kind::dict_values);
}

Value get(Run& run, const Value& self, const Args& args) {
  if (!args.named.empty()) run.fail({"dict.get() takes no keyword arguments"});
  const Bound b(run, "get", args, {"key", "default"}, 1);
  check_hashable(run, b[0]);
  const Value* v = find(run, *self.dict, b[0]);
  return v != nullptr ? *v : b.get(1, none());
}

/// Values do not change, so that a copy is the value itself.
Value copy(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "copy", args, {});
  return self;
}

Value index(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "index", args, {"value"}, 1);
  for (std::uint32_t i = 0; i < self.size; ++i) {
    if (equal(run, self.items[i], b[0])) return integer(i);
  }
  run.fail({repr(run, b[0]), " is not in ", type_name(self)});
}

Value count(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "count", args, {"value"}, 1);
  return integer(
      std::count_if(self.items, self.items + self.size, [&](const Value& v) { return equal(run, v, b[0]); }));
}

Value cycle(Run& run, const Value& self, const Args& args) {
  if (args.positional.empty() || !args.named.empty()) run.fail({"no items for cycling given"});
  return args.positional[self.loop->index % args.positional.size()];
}

Value changed(Run& run, const Value& self, const Args& args) {
  Loop& loop = *self.loop;
  const auto now = args.positional;
  bool same = loop.has_changed && loop.changed.size() == now.size();
  for (std::size_t i = 0; same && i < now.size(); ++i) same = equal(run, loop.changed[i], now[i]);
  loop.has_changed = true;
  loop.changed = now;
  return boolean(!same);
}

Value next(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "next", args, {});
  Cycler& cycler = *self.cycler;
  const Value v = cycler.items[cycler.next];
  cycler.next = (cycler.next + 1) % cycler.items.size();
  return v;
}

Value reset(Run& run, const Value& self, const Args& args) {
  const Bound b(run, "reset", args, {});
  self.cycler->next = 0;
  return none();
}

constexpr MethodEntry dict_methods[] = {
    {"copy", copy}, {"get", get}, {"items", pairs}, {"keys", keys}, {"values", values}};
constexpr MethodEntry list_methods[] = {{"copy", copy}, {"count", count}, {"index", index}};
constexpr MethodEntry tuple_methods[] = {{"count", count}, {"index", index}};
constexpr MethodEntry loop_methods[] = {{"changed", changed}, {"cycle", cycle}};
constexpr MethodEntry cycler_methods[] = {{"next", next}, {"reset", reset}};

// Global functions.

Value range(Run& run, const Args& args) {
  if (!args.named.empty() || args.positional.empty() || args.positional.size() > 3) {
    run.fail({"range() takes 1 to 3 positional arguments"});
  }
  const Bound b(run, "range", args, {"start", "stop", "step"});
  const bool one = args.positional.size() == 1;
  const std::int64_t start = one ? 0 : b.whole(run, 0, 0);
  const std::int64_t stop = one ? b.whole(run, 0, 0) : b.whole(run, 1, 0);
  const std::int64_t step = b.whole(run, 2, 1);
  if (step == 0) run.fail({"range() arg 3 must not be zero"});
  std::uint64_t n = 0;
  if (step > 0 && start < stop) {
    n = (static_cast<std::uint64_t>(stop) - static_cast<std::uint64_t>(start) - 1) / static_cast<std::uint64_t>(step) +
        1;
  } else if (step < 0 && stop < start) {
    n = (static_cast<std::uint64_t>(start) - static_cast<std::uint64_t>(stop) - 1) /
            (0 - static_cast<std::uint64_t>(step)) +
        1;
  }
  if (n > 100000) {
    run.fail({"Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)."});
  }
  Value v;
  v.kind = Kind::range;
  v.range = run.arena.make<Range>(start, stop, step, static_cast<std::uint32_t>(n));
  return v;
}

/// dict(mapping or pairs, **more).
Value dict(Run& run, const Args& args) {
  if (args.positional.size() > 1) run.fail({"dict expected at most 1 argument"});
  const Value v = make_dict(run);
  if (!args.positional.empty() && args.positional[0].is(Kind::dict)) {
    const Dict& from = *args.positional[0].dict;
    for (std::uint32_t i = 0; i < from.size; ++i) insert(run, *v.dict, from.entries[i].key, from.entries[i].value);
  } else if (!args.positional.empty()) {
    for (const Value& pair : iterate(run, args.positional[0])) {
      const auto parts = iterate(run, pair);
      if (parts.size() != 2) run.fail({"dictionary update sequence element does not have length 2"});
      check_hashable(run, parts[0]);
      insert(run, *v.dict, parts[0], parts[1]);
    }
  }
  for (const Named& named : args.named) insert(run, *v.dict, string(named.name), named.value);
  return v;
}

Value make_namespace(Run& run, const Args& args) {
  Value v = dict(run, args);
  for (std::uint32_t i = 0; i < v.dict->size; ++i) {
    const Value& key = v.dict->entries[i].key;
    if (key.is_string() && key.text().starts_with('_')) {
      run.fail({"chat templates cannot store underscore-prefixed attributes on a namespace: '", key.text(), "'"});
    }
  }
  v.kind = Kind::space;
  return v;
}

/// The template's own error: its text alone.
Value raise_exception(Run& run, const Args& args) {
  const Bound b(run, "raise_exception", args, {"message"}, 1);
  throw Failure{worded(Errc::template_error, 0, {to_text(run, b[0])})};
}

Value strftime_now(Run& run, const Args& args) {
  const Bound b(run, "strftime_now", args, {"format"}, 1);
  return strftime(run, b.text(run, 0, {}), run.now);
}

Value cycler(Run& run, const Args& args) {
  if (args.positional.empty() || !args.named.empty()) run.fail({"at least one item has to be provided"});
  Value v;
  v.kind = Kind::cycler;
  v.cycler = run.arena.make<Cycler>(args.positional, std::size_t{0}, std::string_view());
  return v;
}

Value joiner(Run& run, const Args& args) {
  const Bound b(run, "joiner", args, {"sep"});
  Value v;
  v.kind = Kind::joiner;
  v.cycler = run.arena.make<Cycler>(std::span<const Value>(), std::size_t{0}, b.text(run, 0, ", "));
  return v;
}

constexpr Global global_table[] = {
    {"cycler", cycler},
    {"dict", dict},
    {"joiner", joiner},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"range", range},
    {"strftime_now", strftime_now},
};

}  // namespace

const Filter* find_filter(std::string_view name) noexcept {
  for (const auto table : {text_filters(), sequence_filters(), select_filters(), value_filters()}) {
    if (const Filter* filter = find_in(table, name); filter != nullptr) return filter;
  }
  return nullptr;
}

const MethodEntry* find_method(const Value& self, std::string_view name) noexcept {
  using Table = std::span<const MethodEntry>;
  switch (self.kind) {
    case Kind::string: {
      const MethodEntry* entry = find_in(text_methods(), name);
      return entry != nullptr ? entry : find_in(text_split_methods(), name);
    }
    case Kind::dict: return find_in(Table(dict_methods), name);
    case Kind::list: return find_in(Table(list_methods), name);
    case Kind::tuple: return find_in(Table(tuple_methods), name);
    case Kind::loop: return find_in(Table(loop_methods), name);
    case Kind::cycler: return find_in(Table(cycler_methods), name);
    default: return nullptr;
  }
}

std::span<const Global> globals() noexcept { return global_table; }

}  // namespace kinglet::text::chat

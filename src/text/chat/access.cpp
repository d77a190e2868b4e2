// text/chat/access.cpp: what do attributes, items and slices of a value give?
#include <algorithm>
#include <limits>

#include "text/chat/ast.hpp"
#include "text/chat/characters.hpp"
#include "text/chat/library.hpp"
#include "text/chat/run.hpp"

namespace kinglet::text::chat {
namespace {

/// The type as Jinja's messages name it.
std::string_view object_name(const Value& v) noexcept {
  switch (v.kind) {
    case Kind::none: return "None";
    case Kind::string: return v.markup ? "markupsafe.Markup object" : "str object";
    case Kind::boolean: return "bool object";
    case Kind::integer: return "int object";
    case Kind::real: return "float object";
    case Kind::list: return "list object";
    case Kind::tuple: return "tuple object";
    case Kind::dict: return "dict object";
    case Kind::space: return "Namespace object";
    case Kind::loop: return "jinja2.runtime.LoopContext object";
    default: return type_name(v);
  }
}

Value missing(Run& run, const Value& owner, const Value& name) {
  Value v;
  v.missing = run.arena.make<Missing>(std::string_view(), object_name(owner), run.arena.make<Value>(name));
  return v;
}

Value missing(Run& run, std::string_view message) {
  Value v;
  v.missing = run.arena.make<Missing>(message, std::string_view(), nullptr);
  return v;
}

/// Methods that change their object, which the sandbox does not give out.
bool is_unsafe(const Value& object, std::string_view name) noexcept {
  const auto any = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.is(Kind::dict)) return any({"clear", "pop", "popitem", "setdefault", "update"});
  if (!object.is(Kind::list)) return false;
  return any({"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"});
}

Value loop_attribute(Run& run, const Loop& loop, std::string_view name, bool& found) {
  const auto size = static_cast<std::int64_t>(loop.items.size());
  const auto index = static_cast<std::int64_t>(loop.index);
  found = true;
  if (name == "index") return integer(index + 1);
  if (name == "index0") return integer(index);
  if (name == "first") return boolean(index == 0);
  if (name == "last") return boolean(index + 1 == size);
  if (name == "length") return integer(size);
  if (name == "revindex") return integer(size - index);
  if (name == "revindex0") return integer(size - index - 1);
  if (name == "depth") return integer(loop.depth + 1);
  if (name == "depth0") return integer(loop.depth);
  if (name == "previtem") {
    return index > 0 ? loop.items[loop.index - 1] : missing(run, "there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < size ? loop.items[loop.index + 1] : missing(run, "there is no next item");
  }
  found = false;
  return {};
}

/// An attribute as Python's getattr finds it (methods and the like); found says whether there is one.
Value own_attribute(Run& run, const Value& object, std::string_view name, bool& found) {
  found = true;
  if (object.is(Kind::space)) {
    const Value* v = find(run, *object.dict, string(name));
    if (v != nullptr) return *v;
  } else if (object.is(Kind::loop)) {
    const Value v = loop_attribute(run, *object.loop, name, found);
    if (found) return v;
  } else if (object.is(Kind::macro) && name == "name") {
    return string(object.macro->name);
  } else if (object.is(Kind::cycler) && name == "current") {
    return object.cycler->items[object.cycler->next];
  }
  found = true;
  if (const MethodEntry* entry = find_method(object, name); entry != nullptr) {
    Value v;
    v.kind = Kind::method;
    v.method = run.arena.make<Method>(object, entry->name, entry->body);
    return v;
  }
  if (is_unsafe(object, name)) {
    return missing(
        run, run.arena.concat(run.arena.concat("access to attribute '", name),
                              run.arena.concat(run.arena.concat("' of '", type_name(object)), "' object is unsafe.")));
  }
  found = false;
  return {};
}

bool hashable(const Value& v) noexcept {
  switch (v.kind) {
    case Kind::list:
    case Kind::dict:
    case Kind::dict_keys:
    case Kind::dict_items: return false;
    default: return true;
  }
}

Value range_item(const Range& range, std::int64_t i) noexcept { return integer(range.start + i * range.step); }

/// obj[key] as Python finds it.
Value own_item(Run& run, const Value& object, const Value& key, bool& found) {
  found = true;
  if (object.is(Kind::dict)) {
    const Value* v = hashable(key) ? find(run, *object.dict, key) : nullptr;
    if (v != nullptr) return *v;
  } else if (key.is_whole() &&
             (object.is_string() || object.is(Kind::list) || object.is(Kind::tuple) || object.is(Kind::range))) {
    const auto size = static_cast<std::int64_t>(length(run, object));
    std::int64_t i = key.whole();
    if (i < 0) i += size;
    if (i >= 0 && i < size) {
      if (object.is(Kind::range)) return range_item(*object.range, i);
      if (!object.is_string()) return object.items[i];
      run.charge_bytes(object.size);
      const std::string_view rest = object.text().substr(character_offset(object.text(), static_cast<std::size_t>(i)));
      return string(rest.substr(0, character_size(rest)), object.markup);
    }
  }
  found = false;
  return {};
}

}  // namespace

void fail_undefined(Run& run, const Value& v) {
  const Missing* m = v.missing;
  if (m == nullptr) run.fail({"a value is undefined"});
  if (!m->message.empty()) run.fail({m->message});
  if (m->owner.empty()) run.fail({"'", m->name->text(), "' is undefined"});
  if (m->name->is_string()) run.fail({"'", m->owner, "' has no attribute ", repr(run, *m->name)});
  run.fail({m->owner, " has no element ", repr(run, *m->name)});
}

void check_hashable(Run& run, const Value& key) {
  if (!hashable(key)) run.fail({"unhashable type: '", type_name(key), "'"});
  if (!key.is(Kind::tuple)) return;
  const Deeper deeper(run);
  for (const Value& part : key.list()) check_hashable(run, part);
}

const Value* find(Run& run, const Dict& dict, const Value& key) {
  run.charge_items(dict.size);
  for (std::uint32_t i = 0; i < dict.size; ++i) {
    const Value& k = dict.entries[i].key;
    if (k.is_string() && key.is_string()) {
      if (k.size == key.size && k.text() == key.text()) return &dict.entries[i].value;
    } else if (equal(run, k, key)) {
      return &dict.entries[i].value;
    }
  }
  return nullptr;
}

void insert(Run& run, Dict& dict, const Value& key, const Value& value) {
  if (const Value* old = find(run, dict, key); old != nullptr) {
    *const_cast<Value*>(old) = value;  // `dict` is ours to change
    return;
  }
  if (dict.size == dict.capacity) {
    const std::uint32_t capacity = dict.capacity == 0 ? 4 : dict.capacity * 2;
    Entry* entries = run.arena.array<Entry>(capacity);
    for (std::uint32_t i = 0; i < dict.size; ++i) new (entries + i) Entry(dict.entries[i]);
    dict.entries = entries;
    dict.capacity = capacity;
  }
  new (dict.entries + dict.size++) Entry{key, value};
}

Value make_dict(Run& run) {
  Value v;
  v.kind = Kind::dict;
  v.dict = run.arena.make<Dict>();
  return v;
}

std::span<const Value> iterate(Run& run, const Value& v) {
  if (v.has_items()) return v.list();
  Items out(run);
  const auto fill = [&](std::uint32_t n, const auto& make) -> std::span<const Value> {
    Value* items = run.arena.array<Value>(n);
    for (std::uint32_t i = 0; i < n; ++i) new (items + i) Value(make(i));
    return {items, n};
  };
  switch (v.kind) {
    case Kind::undefined: return {};
    case Kind::string:
      run.charge_bytes(v.size);
      for (std::size_t i = 0; i < v.size;) {
        const std::size_t n = character_size(v.text().substr(i));
        out.add(string(v.text().substr(i, n)));
        i += n;
      }
      return out.span();
    case Kind::range:
      run.charge_items(v.range->size);
      return fill(v.range->size, [&](std::uint32_t i) { return range_item(*v.range, i); });
    case Kind::dict:
      run.charge_items(v.dict->size);
      return fill(v.dict->size, [&](std::uint32_t i) { return v.dict->entries[i].key; });
    case Kind::generator: {
      if (!v.generator->over.empty()) run.fail({"'", v.generator->over, "' object is not iterable"});
      const bool used = v.generator->used;
      v.generator->used = true;
      return used ? std::span<const Value>() : v.generator->items;
    }
    default: run.fail({"'", type_name(v), "' object is not iterable"});
  }
}

std::size_t length(Run& run, const Value& v) {
  switch (v.kind) {
    case Kind::undefined: return 0;
    case Kind::string: run.charge_bytes(v.size); return count_characters(v.text());
    case Kind::range: return v.range->size;
    case Kind::dict: return v.dict->size;
    case Kind::loop: return v.loop->items.size();
    default:
      if (v.has_items()) return v.size;
      run.fail({"object of type '", type_name(v), "' has no len()"});
  }
}

Value attribute(Run& run, const Value& object, std::string_view name) {
  if (object.is_undefined()) fail_undefined(run, object);
  bool found = false;
  Value v = own_attribute(run, object, name, found);
  if (!found) v = own_item(run, object, string(name), found);
  return found ? v : missing(run, object, string(name));
}

Value item(Run& run, const Value& object, const Value& key) {
  if (object.is_undefined()) fail_undefined(run, object);
  bool found = false;
  Value v = own_item(run, object, key, found);
  if (!found && key.is_string()) v = own_attribute(run, object, key.text(), found);
  return found ? v : missing(run, object, key);
}

Value slice(Run& run, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (object.is_undefined()) fail_undefined(run, object);
  const bool in_range = object.is(Kind::range);
  if (!object.is_string() && !object.is(Kind::list) && !object.is(Kind::tuple) && !in_range) {
    run.fail({"'", type_name(object), "' object cannot be sliced"});
  }
  for (const Value* part : {&start, &stop, &step}) {
    if (!part->is_whole() && !part->is(Kind::none)) {
      run.fail({"slice indices must be integers or None, not '", type_name(*part), "'"});
    }
  }
  const auto size = static_cast<std::int64_t>(length(run, object));
  const std::int64_t by = step.is(Kind::none) ? 1 : step.whole();
  if (by == 0) run.fail({"slice step cannot be zero"});
  const std::int64_t low = by < 0 ? -1 : 0;
  const std::int64_t high = by < 0 ? size - 1 : size;
  const auto clip = [&](const Value& v, std::int64_t otherwise) {
    if (v.is(Kind::none)) return otherwise;
    const std::int64_t i = v.whole();
    return std::clamp(i < 0 ? std::max(i, -size - 1) + size : i, low, high);
  };
  const std::int64_t first = clip(start, by < 0 ? high : low);
  const std::int64_t last = clip(stop, by < 0 ? low : high);
  std::int64_t count = 0;  // (distance + |by| - 1) / |by| without overflow
  if (by > 0 && first < last) count = (last - first - 1) / by + 1;
  if (by < 0 && last < first) count = by < -size ? 1 : (first - last - 1) / -by + 1;
  const auto n = static_cast<std::size_t>(count);

  if (in_range) {
    const std::int64_t stride = count > 1 ? object.range->step * by : object.range->step;
    const std::int64_t from = object.range->start + first * object.range->step;
    Value v;
    v.kind = Kind::range;
    v.range = run.arena.make<Range>(from, from + count * stride, stride, static_cast<std::uint32_t>(n));
    return v;
  }
  if (!object.is_string()) {
    if (by == 1 || n == 0)
      return list(object.list().subspan(n == 0 ? 0 : static_cast<std::size_t>(first), n), object.kind);
    run.charge_items(n);
    Value* out = run.arena.array<Value>(n);
    for (std::size_t i = 0; i < n; ++i) new (out + i) Value(object.items[first + static_cast<std::int64_t>(i) * by]);
    return list({out, n}, object.kind);
  }
  const std::string_view text = object.text();
  if (n == 0) return string("", object.markup);
  if (by == 1) {
    const std::size_t from = character_offset(text, static_cast<std::size_t>(first));
    return string(text.substr(from, character_offset(text.substr(from), n)), object.markup);
  }
  Buffer out(run.arena);
  const auto characters = iterate(run, string(text));
  for (std::size_t i = 0; i < n; ++i) {
    out.append(characters[static_cast<std::size_t>(first + static_cast<std::int64_t>(i) * by)].text());
  }
  return string(out.text(), object.markup);
}

Value follow(Run& run, Value object, const Value& path) {
  if (path.is(Kind::none)) return object;
  if (!path.is_string()) return item(run, object, path);
  for (std::string_view rest = path.text();;) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    run.charge();
    std::int64_t index = 0;
    const bool number = !part.empty() && part.size() < 18 && std::all_of(part.begin(), part.end(), [&](char c) {
      if (c < '0' || c > '9') return false;
      index = index * 10 + (c - '0');
      return true;
    });
    object = item(run, object, number ? integer(index) : string(part));
    if (dot == rest.npos) return object;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace kinglet::text::chat

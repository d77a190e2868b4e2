// text/chat/value.hpp: what is a value of the template language?
//
// The values follow Python's, because templates were written against Jinja there. They are immutable (as in
// transformers' sandbox) but for namespaces, loops and cyclers, and small enough to be passed by value: what they point
// to lives in the render's arena, in the program, or with the caller.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace kinglet::text::chat {

struct Run;
struct Node;
struct Scope;
struct Value;
struct Args;

enum class Kind : std::uint8_t {
  undefined,
  none,
  boolean,
  integer,
  real,
  string,
  list,
  tuple,
  range,
  generator,  // what a lazy filter gives: can be iterated once
  dict_keys,  // views of a mapping: can be iterated, have a length, no index
  dict_values,
  dict_items,
  dict,
  space,     // a namespace
  function,  // a global function
  method,    // a method bound to its object
  macro,
  loop,
  cycler,
  joiner,
};

struct Entry;

/// A mapping in the order of insertion; also the attributes of a namespace.
struct Dict {
  Entry* entries = nullptr;
  std::uint32_t size = 0;
  std::uint32_t capacity = 0;
};

struct Range {
  std::int64_t start, stop, step;
  std::uint32_t size;
};

/// Why a value is undefined. With `owner`: its type has no attribute or element `name`.
struct Missing {
  std::string_view message;  // if not empty, the whole message
  std::string_view owner;    // the type, as Jinja names it ("dict object")
  const Value* name;
};

struct Generator;
struct Method;
struct Macro;
struct Loop;
struct Cycler;
using Function = Value (*)(Run&, const Args&);

struct Value {
  Kind kind = Kind::undefined;
  bool markup = false;     // a string that is marked as safe HTML
  std::uint32_t size = 0;  // bytes of a string, items of a list, tuple or view
  union {
    const void* nothing = nullptr;
    bool boolean;
    std::int64_t integer;
    double real;
    const char* bytes;
    const Value* items;
    const Range* range;
    const Missing* missing;
    Generator* generator;
    Dict* dict;
    const Method* method;
    const Macro* macro;
    Loop* loop;
    Cycler* cycler;
    Function function;
  };

  std::string_view text() const noexcept { return {bytes, size}; }
  std::span<const Value> list() const noexcept { return {items, size}; }
  bool is(Kind k) const noexcept { return kind == k; }
  bool is_string() const noexcept { return kind == Kind::string; }
  bool is_undefined() const noexcept { return kind == Kind::undefined; }
  /// list, tuple, or a view of a mapping: `items` holds them.
  bool has_items() const noexcept {
    return kind == Kind::list || kind == Kind::tuple || kind == Kind::dict_keys || kind == Kind::dict_values ||
           kind == Kind::dict_items;
  }
  bool is_number() const noexcept { return kind == Kind::boolean || kind == Kind::integer || kind == Kind::real; }
  bool is_whole() const noexcept { return kind == Kind::boolean || kind == Kind::integer; }
  /// The integer of a boolean or integer.
  std::int64_t whole() const noexcept { return kind == Kind::boolean ? (boolean ? 1 : 0) : integer; }
  /// The number of a boolean, integer or real.
  double number() const noexcept { return kind == Kind::real ? real : static_cast<double>(whole()); }
};

struct Entry {
  Value key;
  Value value;
};

struct Generator {
  std::span<const Value> items;
  bool used;
  std::string_view over;  // not empty: the type over which it cannot iterate, which is an error once it is used
};

struct Cycler {
  std::span<const Value> items;
  std::size_t next;
  std::string_view separator;  // of a joiner
};

struct Named {
  std::string_view name;
  Value value;
};

/// The arguments of a call.
struct Args {
  std::span<const Value> positional;
  std::span<const Named> named;
};

struct Method {
  Value self;
  std::string_view name;
  Value (*body)(Run&, const Value& self, const Args&);
};

struct Macro {
  std::string_view name;
  const Node* node;  // its signature and body
  Scope* scope;      // where it was defined
};

struct Loop {
  std::span<const Value> items;
  std::size_t index;
  std::uint32_t depth;
  const Node* recursive;           // the `for` node of a recursive loop, else null
  Scope* scope;                    // in which a recursive loop starts
  std::span<const Value> changed;  // what `loop.changed` saw last
  bool has_changed;
};

inline Value none() noexcept {
  Value v;
  v.kind = Kind::none;
  return v;
}
inline Value boolean(bool b) noexcept {
  Value v;
  v.kind = Kind::boolean;
  v.boolean = b;
  return v;
}
inline Value integer(std::int64_t i) noexcept {
  Value v;
  v.kind = Kind::integer;
  v.integer = i;
  return v;
}
inline Value real(double d) noexcept {
  Value v;
  v.kind = Kind::real;
  v.real = d;
  return v;
}
inline Value function(Function f) noexcept {
  Value v;
  v.kind = Kind::function;
  v.function = f;
  return v;
}

/// A string that points to `text`. Throws where it is 4 GiB or more.
Value string(std::string_view text, bool markup = false);
/// A list (or tuple, or view) that points to `items`.
Value list(std::span<const Value> items, Kind kind = Kind::list);

/// Python's name of the type: "str", "NoneType".
std::string_view type_name(const Value& v) noexcept;
bool truth(const Value& v) noexcept;
/// Has iter() in Python.
bool iterable(const Value& v) noexcept;
bool callable(const Value& v) noexcept;

}  // namespace kinglet::text::chat

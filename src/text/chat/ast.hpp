// text/chat/ast.hpp: what does a parsed template look like?
#pragma once
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <unordered_set>

#include <kinglet/text/chat_template.hpp>

#include "text/chat/arena.hpp"
#include "text/chat/value.hpp"

namespace kinglet::text::chat {

enum class Op : std::uint8_t {
  // Expressions: what their fields hold
  constant,   // value
  name,       // text
  list,       // nodes
  tuple,      // nodes
  dict,       // nodes: key, value, key, value
  attribute,  // a . text
  item,       // a [ b ]
  slice,      // a [ b : c : d ], each of b, c, d may be null
  call,       // a ( arguments )
  filter,     // a | text ( arguments ); filter, or null where its name is unknown
  test,       // a is text ( arguments ); test, or null; flag: "is not"
  choose,     // a if b else c; c may be null
  chain,      // a, then nodes: operands whose op is an operator below and whose a is the right side
  compare,    // likewise
  concat,     // nodes, joined as text
  all,        // nodes, joined by `and`
  any,        // nodes, joined by `or`
  negate,     // not a
  minus,      // - a
  plus,       // + a
  captured,   // the text that a block filter works on
  // Operators
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  equals,
  differs,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
  // Statements
  data,          // text, written
  print,         // a, written
  if_,           // nodes: condition (null for else), body, condition, body, ...
  for_,          // a: target; b: iterable; c: filter or null; nodes: body; more: else; flag: recursive
  set,           // a: target; b: expression
  set_block,     // a: target; b: filters over `captured` or null; nodes: body
  macro,         // text; parameters; nodes: body; uses
  call_block,    // a: the call; parameters; nodes: the body that `caller()` runs; uses
  filter_block,  // b: filters over `captured`; nodes: body
  with,          // more: target, value, target, value; nodes: body
  block,         // nodes, in a scope of their own
  body,          // nodes, in the scope around them
  break_,
  continue_,
};

struct Filter;
struct Test;

struct Argument {
  enum class Form : std::uint8_t { positional, named, spread, spread_named };
  Form form;
  std::string_view name;
  const Node* value;
};

struct Parameter {
  std::string_view name;
  const Node* otherwise;  // the default, or null
};

/// Which of the special names a macro's body mentions.
enum Uses : std::uint8_t { uses_caller = 1, uses_kwargs = 2, uses_varargs = 4 };

struct Node {
  Op op;
  bool flag = false;
  std::uint8_t uses = 0;
  std::uint16_t depth = 1;  // of the tree below
  std::uint32_t line = 0;
  std::string_view text{};  // a name is interned: equal names have equal data()
  const Node* a = nullptr;
  const Node* b = nullptr;
  const Node* c = nullptr;
  const Node* d = nullptr;
  std::span<const Node* const> nodes{};
  std::span<const Node* const> more{};
  std::span<const Argument> arguments{};
  std::span<const Parameter> parameters{};
  Value value{};
  const Filter* filter = nullptr;
  const Test* test = nullptr;
};

/// A parsed template with all that it points to.
struct Program {
  Program(std::pmr::memory_resource* resource, const ChatLimits& bounds)
      : memory(resource), limits(bounds), arena(resource, bounds.memory), names(resource) {}

  std::string_view intern(std::string_view name);
  /// The interned name, or an empty view where the template never mentions it.
  std::string_view known(std::string_view name) const;

  std::pmr::memory_resource* memory;
  ChatLimits limits;
  Arena arena;
  std::pmr::unordered_set<std::string_view> names;
  std::span<const Node* const> body{};
};

/// Throws Failure.
void parse(Program& program, std::string_view source);

}  // namespace kinglet::text::chat

// text/chat/value.cpp: which type, truth and length has a value?
#include "text/chat/value.hpp"

#include <limits>

#include "text/chat/arena.hpp"

namespace kinglet::text::chat {

Value string(std::string_view text, bool markup) {
  if (text.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw Failure{Error(Errc::template_error, "a text of 4 GiB or more in a chat template")};
  }
  Value v;
  v.kind = Kind::string;
  v.markup = markup;
  v.size = static_cast<std::uint32_t>(text.size());
  v.bytes = text.empty() ? "" : text.data();
  return v;
}

Value list(std::span<const Value> items, Kind kind) {
  if (items.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw Failure{Error(Errc::template_error, "a list of 2^32 or more items in a chat template")};
  }
  Value v;
  v.kind = kind;
  v.size = static_cast<std::uint32_t>(items.size());
  v.items = items.data();
  return v;
}

std::string_view type_name(const Value& v) noexcept {
  switch (v.kind) {
    case Kind::undefined: return "Undefined";
    case Kind::none: return "NoneType";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int";
    case Kind::real: return "float";
    case Kind::string: return v.markup ? "Markup" : "str";
    case Kind::list: return "list";
    case Kind::tuple: return "tuple";
    case Kind::range: return "range";
    case Kind::generator: return "generator";
    case Kind::dict_keys: return "dict_keys";
    case Kind::dict_values: return "dict_values";
    case Kind::dict_items: return "dict_items";
    case Kind::dict: return "dict";
    case Kind::space: return "Namespace";
    case Kind::function: return "function";
    case Kind::method: return "builtin_function_or_method";
    case Kind::macro: return "Macro";
    case Kind::loop: return "LoopContext";
    case Kind::cycler: return "Cycler";
    case Kind::joiner: return "Joiner";
  }
  return "object";
}

bool truth(const Value& v) noexcept {
  switch (v.kind) {
    case Kind::undefined:
    case Kind::none: return false;
    case Kind::boolean: return v.boolean;
    case Kind::integer: return v.integer != 0;
    case Kind::real: return v.real != 0.0;
    case Kind::range: return v.range->size != 0;
    case Kind::dict: return v.dict->size != 0;
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict_keys:
    case Kind::dict_values:
    case Kind::dict_items: return v.size != 0;
    case Kind::loop: return !v.loop->items.empty();
    default: return true;
  }
}

bool iterable(const Value& v) noexcept {
  switch (v.kind) {
    case Kind::undefined:
    case Kind::string:
    case Kind::range:
    case Kind::generator:
    case Kind::dict:
    case Kind::loop: return true;
    default: return v.has_items();
  }
}

bool callable(const Value& v) noexcept {
  switch (v.kind) {
    case Kind::undefined:  // it has __call__, which fails
    case Kind::function:
    case Kind::method:
    case Kind::macro:
    case Kind::loop:
    case Kind::joiner: return true;
    default: return false;
  }
}

}  // namespace kinglet::text::chat

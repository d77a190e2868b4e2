// text/chat/tests.cpp: what does each test after `is` say of a value?
#include "text/chat/ast.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

bool none_given(Run& run, std::string_view name, const Args& args) {
  const Bound b(run, name, args, {});
  return true;
}

/// A test that looks at the value alone.
template <bool (*f)(const Value&)>
bool plain(Run& run, const Value& v, const Args& args) {
  return none_given(run, "the test", args) && f(v);
}

bool defined(const Value& v) { return !v.is_undefined(); }
bool undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is(Kind::none); }
bool is_boolean(const Value& v) { return v.is(Kind::boolean); }
bool is_true(const Value& v) { return v.is(Kind::boolean) && v.boolean; }
bool is_false(const Value& v) { return v.is(Kind::boolean) && !v.boolean; }
bool is_integer(const Value& v) { return v.is(Kind::integer); }
bool is_float(const Value& v) { return v.is(Kind::real); }
bool number(const Value& v) { return v.is_number(); }
bool is_text(const Value& v) { return v.is_string(); }
bool mapping(const Value& v) { return v.is(Kind::dict); }
bool is_iterable(const Value& v) { return iterable(v); }
bool is_callable(const Value& v) { return callable(v); }
bool escaped(const Value& v) { return v.is_string() && v.markup; }
/// Has a length and an index in Python.
bool sequence(const Value& v) {
  return v.is_undefined() || v.is_string() || v.is(Kind::list) || v.is(Kind::tuple) || v.is(Kind::dict) ||
         v.is(Kind::range);
}

template <std::int64_t remainder>
bool modulo_two(Run& run, const Value& v, const Args& args) {
  none_given(run, "the test", args);
  return equal(run, binary(run, Op::modulo, v, integer(2)), integer(remainder));
}

bool divisibleby(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "divisibleby", args, {"num"}, 1);
  return equal(run, binary(run, Op::modulo, v, b[0]), integer(0));
}

bool lower(Run& run, const Value& v, const Args& args) {
  const Value text = string(to_text(run, v));
  return truth(find_method(text, "islower")->body(run, text, args));
}
bool upper(Run& run, const Value& v, const Args& args) {
  const Value text = string(to_text(run, v));
  return truth(find_method(text, "isupper")->body(run, text, args));
}

bool sameas(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "sameas", args, {"other"}, 1);
  if (v.kind != b[0].kind) return false;
  if (v.is_number() || v.is_string() || v.is(Kind::none)) return equal(run, v, b[0]);
  return v.nothing == b[0].nothing && v.size == b[0].size;
}

bool in(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "in", args, {"seq"}, 1);
  return contains(run, b[0], v);
}

bool is_filter(Run& run, const Value& v, const Args& args) {
  return none_given(run, "filter", args) && v.is_string() && find_filter(v.text()) != nullptr;
}
bool is_test(Run& run, const Value& v, const Args& args) {
  return none_given(run, "test", args) && v.is_string() && find_test(v.text()) != nullptr;
}

const Value& other(const Bound& b) { return b[0]; }

bool eq(Run& run, const Value& v, const Args& args) {
  return equal(run, v, other(Bound(run, "eq", args, {"other"}, 1)));
}
bool ne(Run& run, const Value& v, const Args& args) { return !eq(run, v, args); }
bool lt(Run& run, const Value& v, const Args& args) {
  return less(run, v, other(Bound(run, "lt", args, {"other"}, 1)));
}
bool gt(Run& run, const Value& v, const Args& args) {
  return less(run, other(Bound(run, "gt", args, {"other"}, 1)), v, ">");
}
bool le(Run& run, const Value& v, const Args& args) { return lt(run, v, args) || eq(run, v, args); }
bool ge(Run& run, const Value& v, const Args& args) { return gt(run, v, args) || eq(run, v, args); }

constexpr Test table[] = {
    {"!=", ne},
    {"<", lt},
    {"<=", le},
    {"==", eq},
    {">", gt},
    {">=", ge},
    {"boolean", plain<is_boolean>},
    {"callable", plain<is_callable>},
    {"defined", plain<defined>},
    {"divisibleby", divisibleby},
    {"eq", eq},
    {"equalto", eq},
    {"escaped", plain<escaped>},
    {"even", modulo_two<0>},
    {"false", plain<is_false>},
    {"filter", is_filter},
    {"float", plain<is_float>},
    {"ge", ge},
    {"greaterthan", gt},
    {"gt", gt},
    {"in", in},
    {"integer", plain<is_integer>},
    {"iterable", plain<is_iterable>},
    {"le", le},
    {"lessthan", lt},
    {"lower", lower},
    {"lt", lt},
    {"mapping", plain<mapping>},
    {"ne", ne},
    {"none", plain<is_none>},
    {"number", plain<number>},
    {"odd", modulo_two<1>},
    {"sameas", sameas},
    {"sequence", plain<sequence>},
    {"string", plain<is_text>},
    {"test", is_test},
    {"true", plain<is_true>},
    {"undefined", plain<undefined>},
    {"upper", upper},
};

}  // namespace

const Test* find_test(std::string_view name) noexcept {
  for (const Test& test : table) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

}  // namespace kinglet::text::chat

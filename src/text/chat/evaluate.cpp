// text/chat/evaluate.cpp: what is the value of an expression?
#include "text/chat/evaluate.hpp"

#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

Value evaluate_name(Run& run, Scope* scope, const Node* node) {
  if (const Value* v = look_up(run, scope, node->text); v != nullptr) return *v;
  Value v;
  v.missing =
      run.arena.make<Missing>(std::string_view(), std::string_view(), run.arena.make<Value>(string(node->text)));
  return v;
}

Value evaluate_items(Run& run, Scope* scope, const Node* node) {
  Value* out = run.arena.array<Value>(node->nodes.size());
  for (std::size_t i = 0; i < node->nodes.size(); ++i) new (out + i) Value(evaluate(run, scope, node->nodes[i]));
  return list({out, node->nodes.size()}, node->op == Op::list ? Kind::list : Kind::tuple);
}

Value evaluate_dict(Run& run, Scope* scope, const Node* node) {
  const Value v = make_dict(run);
  for (std::size_t i = 0; i + 1 < node->nodes.size(); i += 2) {
    const Value key = evaluate(run, scope, node->nodes[i]);
    const Value value = evaluate(run, scope, node->nodes[i + 1]);
    check_hashable(run, key);
    insert(run, *v.dict, key, value);
  }
  return v;
}

bool at_most(Run& run, const Value& a, const Value& b, std::string_view sign) {
  if (a.is_number() && b.is_number()) return less(run, a, b) || equal(run, a, b);
  return !less(run, b, a, sign);
}

bool compare_one(Run& run, Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::equals: return equal(run, a, b);
    case Op::differs: return !equal(run, a, b);
    case Op::less: return less(run, a, b);
    case Op::less_equal: return at_most(run, a, b, "<=");
    case Op::greater: return less(run, b, a, ">");
    case Op::greater_equal: return at_most(run, b, a, ">=");
    case Op::in: return contains(run, b, a);
    default: return !contains(run, b, a);
  }
}

Value evaluate_compare(Run& run, Scope* scope, const Node* node) {
  Value left = evaluate(run, scope, node->a);
  for (const Node* operand : node->nodes) {
    const Value right = evaluate(run, scope, operand->a);
    run.line = operand->line;
    if (!compare_one(run, operand->op, left, right)) return boolean(false);
    left = right;
  }
  return boolean(true);
}

Value evaluate_chain(Run& run, Scope* scope, const Node* node) {
  Value v = evaluate(run, scope, node->a);
  for (const Node* operand : node->nodes) {
    const Value right = evaluate(run, scope, operand->a);
    run.line = operand->line;
    v = binary(run, operand->op, v, right);
  }
  return v;
}

Value evaluate_concat(Run& run, Scope* scope, const Node* node) {
  std::string_view text;
  for (const Node* part : node->nodes) {
    const std::string_view piece = to_text(run, evaluate(run, scope, part));
    run.charge_bytes(piece.size());
    text = run.arena.concat(text, piece);
  }
  return string(text);
}

Value evaluate_logic(Run& run, Scope* scope, const Node* node) {
  Value v;
  for (const Node* part : node->nodes) {
    v = evaluate(run, scope, part);
    if (truth(v) == (node->op == Op::any)) break;
  }
  return v;
}

Value evaluate_choose(Run& run, Scope* scope, const Node* node) {
  if (truth(evaluate(run, scope, node->b))) return evaluate(run, scope, node->a);
  if (node->c != nullptr) return evaluate(run, scope, node->c);
  Value v;
  v.missing = run.arena.make<Missing>(
      std::string_view("the inline if-expression evaluated to false and no else section was defined."),
      std::string_view(), nullptr);
  return v;
}

Value evaluate_filter(Run& run, Scope* scope, const Node* node) {
  if (node->filter == nullptr) run.fail({"no filter named '", node->text, "'"});
  const Value v = evaluate(run, scope, node->a);
  const Args args = evaluate_arguments(run, scope, node->arguments);
  run.line = node->line;
  return node->filter->apply(run, v, args);
}

Value evaluate_test(Run& run, Scope* scope, const Node* node) {
  if (node->test == nullptr) run.fail({"no test named '", node->text, "'"});
  const Value v = evaluate(run, scope, node->a);
  const Args args = evaluate_arguments(run, scope, node->arguments);
  run.line = node->line;
  return boolean(node->test->holds(run, v, args) != node->flag);
}

Value evaluate_slice(Run& run, Scope* scope, const Node* node) {
  const Value object = evaluate(run, scope, node->a);
  const Value start = node->b != nullptr ? evaluate(run, scope, node->b) : none();
  const Value stop = node->c != nullptr ? evaluate(run, scope, node->c) : none();
  const Value step = node->d != nullptr ? evaluate(run, scope, node->d) : none();
  run.line = node->line;
  return slice(run, object, start, stop, step);
}

Value evaluate_plus(Run& run, const Value& v) {
  if (v.is(Kind::boolean)) return integer(v.whole());
  if (v.is_number()) return v;
  if (v.is_undefined()) fail_undefined(run, v);
  run.fail({"bad operand type for unary +: '", type_name(v), "'"});
}

Value evaluate_call(Run& run, Scope* scope, const Node* node) {
  const Value callee = evaluate(run, scope, node->a);
  const Args args = evaluate_arguments(run, scope, node->arguments);
  run.line = node->line;
  return call(run, callee, args);
}

}  // namespace

Args evaluate_arguments(Run& run, Scope* scope, std::span<const Argument> arguments) {
  if (arguments.empty()) return {};
  Items positional(run);
  Named* named = nullptr;
  std::size_t names = 0;
  std::size_t room = 0;
  const auto add = [&](std::string_view name, const Value& v) {
    for (std::size_t i = 0; i < names; ++i) {
      if (named[i].name == name) run.fail({"got multiple values for keyword argument '", name, "'"});
    }
    run.charge_items(names);
    if (names == room) {
      room = room == 0 ? 4 : room * 2;
      Named* grown = run.arena.array<Named>(room);
      for (std::size_t i = 0; i < names; ++i) new (grown + i) Named(named[i]);
      named = grown;
    }
    new (named + names++) Named{name, v};
  };
  for (const Argument& argument : arguments) {
    const Value v = evaluate(run, scope, argument.value);
    switch (argument.form) {
      case Argument::Form::positional: positional.add(v); break;
      case Argument::Form::named: add(argument.name, v); break;
      case Argument::Form::spread:
        for (const Value& part : iterate(run, v)) {
          run.charge();
          positional.add(part);
        }
        break;
      case Argument::Form::spread_named:
        if (!v.is(Kind::dict)) run.fail({"argument after ** must be a mapping, not ", type_name(v)});
        for (std::uint32_t i = 0; i < v.dict->size; ++i) {
          const Value& key = v.dict->entries[i].key;
          if (!key.is_string()) run.fail({"keywords must be strings"});
          add(key.text(), v.dict->entries[i].value);
        }
    }
  }
  return {positional.span(), {named, names}};
}

Value evaluate(Run& run, Scope* scope, const Node* node) {
  if (node->op == Op::constant) return node->value;
  const Deeper deeper(run);
  run.line = node->line;
  run.charge();
  switch (node->op) {
    case Op::name: return evaluate_name(run, scope, node);
    case Op::list:
    case Op::tuple: return evaluate_items(run, scope, node);
    case Op::dict: return evaluate_dict(run, scope, node);
    case Op::attribute: {
      const Value object = evaluate(run, scope, node->a);
      run.line = node->line;
      return attribute(run, object, node->text);
    }
    case Op::item: {
      const Value object = evaluate(run, scope, node->a);
      const Value key = evaluate(run, scope, node->b);
      run.line = node->line;
      return item(run, object, key);
    }
    case Op::slice: return evaluate_slice(run, scope, node);
    case Op::call: return evaluate_call(run, scope, node);
    case Op::filter: return evaluate_filter(run, scope, node);
    case Op::test: return evaluate_test(run, scope, node);
    case Op::choose: return evaluate_choose(run, scope, node);
    case Op::chain: return evaluate_chain(run, scope, node);
    case Op::compare: return evaluate_compare(run, scope, node);
    case Op::concat: return evaluate_concat(run, scope, node);
    case Op::all:
    case Op::any: return evaluate_logic(run, scope, node);
    case Op::negate: return boolean(!truth(evaluate(run, scope, node->a)));
    case Op::minus: return negative(run, evaluate(run, scope, node->a));
    case Op::plus: return evaluate_plus(run, evaluate(run, scope, node->a));
    case Op::captured: return run.captured;
    default: run.fail({"not an expression"});
  }
}

}  // namespace kinglet::text::chat

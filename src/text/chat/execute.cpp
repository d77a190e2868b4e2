// text/chat/execute.cpp: what does a statement write and assign?
#include <algorithm>

#include "text/chat/evaluate.hpp"
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

/// Puts a value back when it goes out of scope, whatever happens in between.
template <class T>
class Restore {
 public:
  explicit Restore(T& at) : at_(at), old_(at) {}
  ~Restore() { at_ = old_; }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  T& at_;
  T old_;
};

Scope* inner(Run& run, Scope* scope) { return run.arena.make<Scope>(scope, nullptr); }

void assign(Run& run, Scope* scope, const Node* target, const Value& v) {
  if (target->op == Op::name) return define(run, *scope, target->text, v);
  if (target->op == Op::attribute) {
    const Value* space = look_up(run, scope, target->a->text);
    if (space == nullptr || !space->is(Kind::space)) {
      run.fail({"cannot assign attribute on non-namespace object"});
    }
    if (target->text.starts_with('_')) {
      run.fail({"chat templates cannot store underscore-prefixed attributes on a namespace: '", target->text, "'"});
    }
    return insert(run, *space->dict, string(target->text), v);
  }
  const auto parts = iterate(run, v);
  if (parts.size() != target->nodes.size()) {
    run.fail({parts.size() > target->nodes.size() ? "too many" : "not enough", " values to unpack"});
  }
  const Deeper deeper(run);
  for (std::size_t i = 0; i < parts.size(); ++i) assign(run, scope, target->nodes[i], parts[i]);
}

Value filtered(Run& run, Scope* scope, const Node* filters, const Value& text) {
  if (filters == nullptr) return text;
  const Restore restore(run.captured);
  run.captured = text;
  return evaluate(run, scope, filters);
}

/// The items of a loop that pass its `if`.
std::span<const Value> passing(Run& run, Scope* scope, const Node* node, std::span<const Value> items) {
  Items out(run);
  for (const Value& v : items) {
    Scope* test = inner(run, scope);
    assign(run, test, node->a, v);
    if (truth(evaluate(run, test, node->c))) out.add(v);
  }
  return out.span();
}

Flow run_loop(Run& run, Scope* scope, const Node* node, const Value& over, std::uint32_t depth) {
  std::span<const Value> items = iterate(run, over);
  if (node->c != nullptr) items = passing(run, scope, node, items);
  Value loop;
  loop.kind = Kind::loop;
  loop.loop = run.arena.make<Loop>();
  loop.loop->items = items;
  loop.loop->depth = depth;
  loop.loop->recursive = node->flag ? node : nullptr;
  loop.loop->scope = scope;
  for (std::size_t i = 0; i < items.size(); ++i) {
    run.charge();
    Scope* each = inner(run, scope);
    loop.loop->index = i;
    run.line = node->line;
    define(run, *each, run.loop_name, loop);
    assign(run, each, node->a, items[i]);
    if (execute(run, each, node->nodes) == Flow::break_) return Flow::on;
  }
  if (items.empty()) return execute(run, inner(run, scope), node->more);
  return Flow::on;
}

void execute_call_block(Run& run, Scope* scope, const Node* node) {
  Value caller;
  caller.kind = Kind::macro;
  caller.macro = run.arena.make<Macro>(std::string_view("caller"), node, scope);
  const Value callee = evaluate(run, scope, node->a->a);
  const Args args = evaluate_arguments(run, scope, node->a->arguments);
  Named* named = run.arena.array<Named>(args.named.size() + 1);
  for (std::size_t i = 0; i < args.named.size(); ++i) new (named + i) Named(args.named[i]);
  new (named + args.named.size()) Named{"caller", caller};
  run.line = node->line;
  write_text(run, *run.out, call(run, callee, {args.positional, {named, args.named.size() + 1}}));
}

Flow execute_if(Run& run, Scope* scope, const Node* node) {
  for (std::size_t i = 0; i + 1 < node->nodes.size(); i += 2) {
    if (node->nodes[i] != nullptr && !truth(evaluate(run, scope, node->nodes[i]))) continue;
    return execute(run, scope, node->nodes[i + 1]->nodes);
  }
  return Flow::on;
}

Flow execute_with(Run& run, Scope* scope, const Node* node) {
  Scope* with = inner(run, scope);
  for (std::size_t i = 0; i + 1 < node->more.size(); i += 2) {
    assign(run, with, node->more[i], evaluate(run, scope, node->more[i + 1]));
  }
  return execute(run, with, node->nodes);
}

Flow execute_one(Run& run, Scope* scope, const Node* node) {
  switch (node->op) {
    case Op::data:
      run.charge_bytes(node->text.size());
      run.out->append(node->text);
      break;
    case Op::print: write_text(run, *run.out, evaluate(run, scope, node->a)); break;
    case Op::if_: return execute_if(run, scope, node);
    case Op::for_: return run_loop(run, scope, node, evaluate(run, scope, node->b), 0);
    case Op::set: assign(run, scope, node->a, evaluate(run, scope, node->b)); break;
    case Op::set_block:
      assign(run, scope, node->a, filtered(run, scope, node->b, capture(run, scope, node->nodes)));
      break;
    case Op::filter_block:
      write_text(run, *run.out, filtered(run, scope, node->b, capture(run, scope, node->nodes)));
      break;
    case Op::macro: {
      Value macro;
      macro.kind = Kind::macro;
      macro.macro = run.arena.make<Macro>(node->text, node, scope);
      define(run, *scope, node->text, macro);
      break;
    }
    case Op::call_block: execute_call_block(run, scope, node); break;
    case Op::with: return execute_with(run, scope, node);
    case Op::block: return execute(run, inner(run, scope), node->nodes);
    case Op::break_: return Flow::break_;
    case Op::continue_: return Flow::continue_;
    default: run.fail({"not a statement"});
  }
  return Flow::on;
}

}  // namespace

void define(Run& run, Scope& scope, std::string_view name, const Value& v) {
  if (name.empty()) return;
  std::size_t seen = 0;
  for (Variable* at = scope.variables; at != nullptr; at = at->next, ++seen) {
    if (at->name.data() != name.data()) continue;
    at->value = v;
    return;
  }
  run.charge_items(seen);
  scope.variables = run.arena.make<Variable>(name, v, scope.variables);
}

const Value* look_up(Run& run, const Scope* scope, std::string_view name) {
  std::size_t seen = 0;
  for (; scope != nullptr; scope = scope->parent) {
    for (const Variable* at = scope->variables; at != nullptr; at = at->next, ++seen) {
      if (at->name.data() != name.data()) continue;
      run.charge_items(seen);
      return &at->value;
    }
  }
  run.charge_items(seen);
  return nullptr;
}

Flow execute(Run& run, Scope* scope, std::span<const Node* const> nodes) {
  const Deeper deeper(run);
  for (const Node* node : nodes) {
    run.line = node->line;
    run.charge();
    const Flow flow = execute_one(run, scope, node);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Value capture(Run& run, Scope* scope, std::span<const Node* const> nodes) {
  Buffer buffer(run.arena);
  const Restore restore(run.out);
  run.out = &buffer;
  execute(run, inner(run, scope), nodes);
  return string(buffer.text());
}

Value call_loop(Run& run, const Loop& loop, const Args& args) {
  if (loop.recursive == nullptr) {
    run.fail({"the loop must have the 'recursive' marker to be called recursively."});
  }
  const Bound bound(run, "loop", args, {"iterable"}, 1);
  Buffer buffer(run.arena);
  const Restore restore(run.out);
  run.out = &buffer;
  run_loop(run, loop.scope, loop.recursive, bound[0], loop.depth + 1);
  return string(buffer.text());
}

Value call_macro(Run& run, const Macro& macro, const Args& args) {
  const Node* node = macro.node;
  Scope* scope = inner(run, macro.scope);
  const std::size_t parameters = node->parameters.size();
  bool* used = run.arena.array<bool>(args.named.size());
  std::fill(used, used + args.named.size(), false);
  for (std::size_t i = 0; i < parameters; ++i) {
    const Parameter& parameter = node->parameters[i];
    const Value* given = i < args.positional.size() ? &args.positional[i] : nullptr;
    for (std::size_t k = 0; given == nullptr && k < args.named.size(); ++k) {
      if (used[k] || args.named[k].name != parameter.name) continue;
      used[k] = true;
      given = &args.named[k].value;
    }
    run.charge_items(args.named.size());
    Value v;
    if (given != nullptr) {
      v = *given;
    } else if (parameter.otherwise != nullptr) {
      v = evaluate(run, scope, parameter.otherwise);
    } else {
      const std::string_view message =
          run.arena.concat(run.arena.concat("parameter '", parameter.name), "' was not provided");
      v.missing = run.arena.make<Missing>(message, std::string_view(), nullptr);
    }
    define(run, *scope, parameter.name, v);
  }
  const Value rest = make_dict(run);
  Value caller;
  caller.missing = run.arena.make<Missing>(std::string_view("No caller defined"), std::string_view(), nullptr);
  for (std::size_t k = 0; k < args.named.size(); ++k) {
    if (used[k]) continue;
    if (args.named[k].name == "caller" && (node->uses & uses_caller) != 0) {
      caller = args.named[k].value;
    } else if ((node->uses & uses_kwargs) != 0) {
      insert(run, *rest.dict, string(args.named[k].name), args.named[k].value);
    } else {
      run.fail({"macro '", macro.name, "' takes no keyword argument '", args.named[k].name, "'"});
    }
  }
  const bool more = args.positional.size() > parameters;
  if (more && (node->uses & uses_varargs) == 0) {
    run.fail({"macro '", macro.name, "' was given too many arguments"});
  }
  if ((node->uses & uses_caller) != 0) define(run, *scope, run.caller_name, caller);
  if ((node->uses & uses_kwargs) != 0) define(run, *scope, run.kwargs_name, rest);
  if ((node->uses & uses_varargs) != 0) {
    define(run, *scope, run.varargs_name,
           list(more ? args.positional.subspan(parameters) : std::span<const Value>(), Kind::tuple));
  }
  return capture(run, scope, node->nodes);
}

Value call(Run& run, const Value& callee, const Args& args) {
  const Deeper deeper(run);
  run.charge();
  switch (callee.kind) {
    case Kind::function: return callee.function(run, args);
    case Kind::method: return callee.method->body(run, callee.method->self, args);
    case Kind::macro: return call_macro(run, *callee.macro, args);
    case Kind::loop: return call_loop(run, *callee.loop, args);
    case Kind::joiner: {
      const Bound bound(run, "joiner", args, {});
      const bool first = callee.cycler->next == 0;
      callee.cycler->next = 1;
      return string(first ? std::string_view() : callee.cycler->separator);
    }
    case Kind::undefined: fail_undefined(run, callee);
    default: run.fail({"'", type_name(callee), "' object is not callable"});
  }
}

}  // namespace kinglet::text::chat

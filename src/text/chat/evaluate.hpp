// text/chat/evaluate.hpp: what does a node of the tree do?
#pragma once
#include <span>

#include "text/chat/ast.hpp"
#include "text/chat/run.hpp"

namespace kinglet::text::chat {

enum class Flow : std::uint8_t { on, break_, continue_ };

/// Runs statements; writes to run.out.
Flow execute(Run& run, Scope* scope, std::span<const Node* const> nodes);
/// What statements write, in a scope of their own below `scope`.
Value capture(Run& run, Scope* scope, std::span<const Node* const> nodes);
/// Does nothing for an empty name.
void define(Run& run, Scope& scope, std::string_view name, const Value& v);
/// Null where no scope has it.
const Value* look_up(Run& run, const Scope* scope, std::string_view name);
/// `loop(items)` inside a recursive loop.
Value call_loop(Run& run, const Loop& loop, const Args& args);
Value call_macro(Run& run, const Macro& macro, const Args& args);
Args evaluate_arguments(Run& run, Scope* scope, std::span<const Argument> arguments);

}  // namespace kinglet::text::chat

// examples/cli/evaluation.hpp: which logits does a model give along a list of tokens?
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>

#include <kinglet/engine.hpp>

#include "failure.hpp"
#include "interrupt.hpp"

namespace kinglet::cli {

/// Rows whose logits are made at a time: after each Ctrl-C is looked at.
inline constexpr std::uint32_t rows_at_once = 64;

/// An engine that gives the logits of every row.
inline EngineOptions evaluating(EngineOptions options) {
  options.max_rows = rows_at_once;
  options.max_logits = rows_at_once;
  return options;
}

/// Runs tokens from an empty session and hands out every position's logits.
/// @param on_logits  void(std::size_t index, std::span<const float> [vocab])
/// @return false where Ctrl-C ended it
template <class OnLogits>
bool evaluate(Session& session, std::span<const std::int32_t> tokens, const std::string& where, OnLogits&& on_logits) {
  check(session.reset(), where);
  for (std::size_t at = 0; at < tokens.size(); at += rows_at_once) {
    if (interrupted()) return false;
    const auto part = tokens.subspan(at, std::min<std::size_t>(rows_at_once, tokens.size() - at));
    check(session.evaluate(part, [&](std::uint32_t i, std::span<const float> logits) { on_logits(at + i, logits); }),
          where);
  }
  return true;
}

}  // namespace kinglet::cli

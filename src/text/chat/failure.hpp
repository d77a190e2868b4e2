// text/chat/failure.hpp: how does a template fail?
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include <kinglet/core/result.hpp>

namespace kinglet::text::chat {

/// What is thrown inside and becomes a Status at the public edge.
struct Failure {
  Error error;
};

/// An error whose message is "chat template, line N: " (for a line other than 0) and the pieces, cut at a whole
/// character.
Error worded(Errc code, std::uint32_t line, std::initializer_list<std::string_view> pieces) noexcept;

}  // namespace kinglet::text::chat

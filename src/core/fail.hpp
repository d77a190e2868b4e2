// core/fail.hpp: how does the compiled part of the library word an error? (only this and fail.cpp include fmt)
#pragma once
#include <cstddef>
#include <utility>

#include <kinglet/core/result.hpp>

#define FMT_ASSERT(condition, message) ((void)0)
#define FMT_STATIC_THOUSANDS_SEPARATOR ','  // or fmt keeps a locale facet, a global made before main
#if __has_include(<fmt/base.h>)             // fmt 11 has no part that declares alone
#define FMT_HEADER_ONLY
#include <fmt/format.h>
#else
#include <fmt/core.h>  // declarations; fail.cpp compiles what they need, once
#endif

namespace kinglet::core {

/// Messages quote what files say, and a file must not speak to somebody's terminal: control characters become spaces,
/// what is not UTF-8 question marks.
/// @param size  bytes of the message, [0, Error::capacity - 1]; a zero follows them
void make_printable(Error& error, std::size_t size) noexcept;

/// An Error with a formatted message, made printable and cut at Error::capacity - 1 bytes. Allocates nothing.
template <class... Args>
Error fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  Error error;
  error.code = code;
  const auto end = fmt::format_to_n(error.message, Error::capacity - 1, format, std::forward<Args>(args)...);
  *end.out = '\0';
  make_printable(error, static_cast<std::size_t>(end.out - error.message));
  return error;
}

}  // namespace kinglet::core

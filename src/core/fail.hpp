// core/fail.hpp: how does the compiled part of the library word an error? (only this and fail.cpp include fmt)
#pragma once
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

/// An Error with a formatted message, cut at Error::capacity - 1 bytes. Allocates nothing.
template <class... Args>
Error fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  Error error;
  error.code = code;
  const auto end = fmt::format_to_n(error.message, Error::capacity - 1, format, std::forward<Args>(args)...);
  *end.out = '\0';
  return error;
}

}  // namespace kinglet::core

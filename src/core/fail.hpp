// core/fail.hpp: how does the compiled part of the library word an error? (the only file that includes fmt)
#pragma once
#include <utility>

#ifndef FMT_HEADER_ONLY
#define FMT_HEADER_ONLY
#endif
#define FMT_ASSERT(condition, message) ((void)0)
#define FMT_STATIC_THOUSANDS_SEPARATOR ','  // or fmt keeps a locale facet, a global made before main
#include <fmt/format.h>

#include <kinglet/core/result.hpp>

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

// tests/bench/need.hpp: what does a program that times do where a call fails?
#pragma once
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <kinglet/core/result.hpp>

namespace kinglet::test {

template <class T>
T need(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", static_cast<const char*>(result.error().message));
  std::exit(1);
}
inline void need(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", static_cast<const char*>(status.error().message));
  std::exit(1);
}

}  // namespace kinglet::test

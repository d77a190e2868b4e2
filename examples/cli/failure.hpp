// examples/cli/failure.hpp: how does a command end when it cannot go on?
#pragma once
#include <string>
#include <utility>

#include <fmt/format.h>
#include <kinglet/core/result.hpp>

namespace kinglet::cli {

inline constexpr int exit_bad_input = 1;
inline constexpr int exit_bad_usage = 2;
inline constexpr int exit_interrupted = 130;

/// Thrown by commands, caught by main(), which prints the one line (where there is one) and exits with the code.
struct Failure {
  int code;
  std::string line;
};

/// A file, a text or the machine is not what the command needs.
template <class... T>
[[noreturn]] void bad_input(fmt::format_string<T...> format, T&&... args) {
  throw Failure{exit_bad_input, fmt::format(format, std::forward<T>(args)...)};
}

/// The command line makes no sense.
template <class... T>
[[noreturn]] void bad_usage(fmt::format_string<T...> format, T&&... args) {
  throw Failure{exit_bad_usage, fmt::format(format, std::forward<T>(args)...)};
}

/// Ctrl-C was pressed, and there is nothing yet to end with.
[[noreturn]] inline void end_interrupted() { throw Failure{exit_interrupted, ""}; }

/// An error of the library in the words of the command line, with `where` before it if it does not begin so itself.
std::string in_words(const Error& error, const std::string& where);

/// The value of a library call, or its error as a failure.
template <class T>
T take(Result<T> result, const std::string& where) {
  if (!result) bad_input("{}", in_words(result.error(), where));
  return std::move(result).value();
}

inline void check(const Status& status, const std::string& where) {
  if (!status) bad_input("{}", in_words(status.error(), where));
}

}  // namespace kinglet::cli

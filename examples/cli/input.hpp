// examples/cli/input.hpp: how is stdin read, so that Ctrl-C ends the wait at any moment?
#pragma once
#include <cstddef>
#include <string>

namespace kinglet::cli {

/// The next bytes of stdin, as many as there are. 0 at its end and where Ctrl-C came (see interrupted()).
std::size_t read_stdin(char* data, std::size_t bytes);

/// stdin line by line.
class Lines {
 public:
  /// Without the line's end. False where no line is left, or Ctrl-C came.
  bool next(std::string& line);

 private:
  std::string read_;  ///< and not yet handed out
};

}  // namespace kinglet::cli

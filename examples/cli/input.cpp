#include "input.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "failure.hpp"
#include "interrupt.hpp"

namespace kinglet::cli {

std::size_t read_stdin(char* data, std::size_t bytes) {
  while (wait_for_stdin()) {
    const ssize_t n = read(STDIN_FILENO, data, bytes);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) bad_input("cannot read stdin: {}", std::strerror(errno));
  }
  return 0;
}

bool Lines::next(std::string& line) {
  std::array<char, 4096> buffer;
  std::size_t looked = 0;
  for (;;) {
    const std::size_t end = read_.find('\n', looked);
    if (end != std::string::npos) {
      line = read_.substr(0, end);
      read_.erase(0, end + 1);
      return true;
    }
    looked = read_.size();
    const std::size_t n = read_stdin(buffer.data(), buffer.size());
    if (n == 0) break;
    read_.append(buffer.data(), n);
  }
  if (interrupted() || read_.empty()) return false;
  line = std::move(read_);
  read_.clear();
  return true;
}

}  // namespace kinglet::cli

// tests/cli/terminal.hpp: what does the command show at a terminal, and what do keys do there?
#pragma once
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include "tests/cli/command.hpp"

namespace kinglet::cli_test {

/// Keys that are pressed once a text stands on the terminal, behind where the one before stood.
struct Press {
  std::string once;
  std::string keys;
};

inline constexpr const char* ctrl_c = "\x03";
inline constexpr const char* ctrl_d = "\x04";

/// Runs the command with stdin and stderr at a terminal, unless the arguments redirect them; stdout is a file. What
/// takes over three minutes is killed.
/// @return `err` is what the terminal showed
inline Ran at_terminal(const Folder& folder, const std::string& arguments, const std::vector<Press>& presses) {
  const std::string out = folder / "stdout";
  const std::string line = "exec '" KINGLET_COMMAND "' " + arguments + " >" + out;
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  REQUIRE(child >= 0);
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  Ran ran;
  std::size_t pressed = 0;
  std::size_t behind = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(3);
  for (char buffer[4096]; std::chrono::steady_clock::now() < end;) {
    pollfd poll_for = {terminal, POLLIN, 0};
    if (poll(&poll_for, 1, 1000) == 0) continue;
    const ssize_t n = read(terminal, buffer, sizeof buffer);
    if (n <= 0) break;  // Linux ends a terminal that nobody holds with EIO
    ran.err.append(buffer, static_cast<std::size_t>(n));
    if (pressed == presses.size()) continue;
    const Press& next = presses[pressed];
    const std::size_t at = ran.err.find(next.once, behind);
    if (at == std::string::npos) continue;
    behind = at + next.once.size();
    REQUIRE(::write(terminal, next.keys.data(), next.keys.size()) == static_cast<ssize_t>(next.keys.size()));
    ++pressed;
  }
  if (std::chrono::steady_clock::now() >= end) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  close(terminal);
  CHECK(pressed == presses.size());
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ran.out = slurp(out);
  return ran;
}

}  // namespace kinglet::cli_test

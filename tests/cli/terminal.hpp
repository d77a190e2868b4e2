// tests/cli/terminal.hpp: what does the command show at a terminal, and what does Ctrl-C do there?
#pragma once
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>

#include "tests/cli/command.hpp"

namespace kinglet::cli_test {

/// Runs the command with its stderr at a terminal (stdin too, unless the arguments redirect it; stdout is a file).
/// Presses Ctrl-C when `until` stands on the terminal; "" = never. What takes over three minutes is killed.
/// @return `err` is what the terminal showed
inline Ran at_terminal(const Folder& folder, const std::string& arguments, const std::string& until) {
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
  bool pressed = until.empty();
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(3);
  for (char buffer[4096]; std::chrono::steady_clock::now() < end;) {
    pollfd poll_for = {terminal, POLLIN, 0};
    if (poll(&poll_for, 1, 1000) == 0) continue;
    const ssize_t n = read(terminal, buffer, sizeof buffer);
    if (n <= 0) break;  // Linux ends a terminal that nobody holds with EIO
    ran.err.append(buffer, static_cast<std::size_t>(n));
    if (pressed || !has(ran.err, until)) continue;
    pressed = ::write(terminal, "\x03", 1) == 1;
  }
  if (std::chrono::steady_clock::now() >= end) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  close(terminal);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ran.out = slurp(out);
  return ran;
}

}  // namespace kinglet::cli_test

#include "interrupt.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace kinglet::cli {
namespace {

volatile std::sig_atomic_t flag = 0;
// What the handler writes ends a poll() that began after a look at the flag, whichever thread the signal came to.
int pipe_ends[2] = {-1, -1};

void on_signal(int) {
  const int error = errno;
  flag = 1;
  if (write(pipe_ends[1], "", 1) < 0) errno = error;  // full: then there is a byte already
}

}  // namespace

void catch_interrupts() {
  if (pipe_ends[0] < 0 && pipe2(pipe_ends, O_NONBLOCK | O_CLOEXEC) != 0) return;  // Ctrl-C kills, as it does by default
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

bool interrupted() { return flag != 0; }

void clear_interrupt() {
  char bytes[8];
  while (read(pipe_ends[0], bytes, sizeof bytes) > 0) {
  }
  flag = 0;
  catch_interrupts();
}

bool wait_for_stdin() {
  pollfd waited[2] = {{STDIN_FILENO, POLLIN, 0}, {pipe_ends[0], POLLIN, 0}};
  while (!interrupted() && poll(waited, 2, -1) < 0 && errno == EINTR) {
  }
  return !interrupted();
}

}  // namespace kinglet::cli

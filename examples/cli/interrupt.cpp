#include "interrupt.hpp"

#include <csignal>

namespace kinglet::cli {
namespace {

volatile std::sig_atomic_t flag = 0;

void on_signal(int) { flag = 1; }

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // no SA_RESTART: a read of the terminal ends too
  sigaction(SIGINT, &action, nullptr);
}

bool interrupted() { return flag != 0; }

void clear_interrupt() {
  flag = 0;
  catch_interrupts();
}

}  // namespace kinglet::cli

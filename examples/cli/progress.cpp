#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace kinglet::cli {

Progress::Progress(std::string what)
    : what_(std::move(what)), start_(Clock::now()), shown_(start_), terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() { clear(); }

void Progress::show(double share) {
  if (!terminal_) return;
  const Clock::time_point now = Clock::now();
  const double spent = std::chrono::duration<double>(now - start_).count();
  const double left = share > 0 ? spent / share - spent : 0.0;
  if (!visible_ && (spent < 0.3 || spent + left < 2.0)) return;
  if (visible_ && now - shown_ < std::chrono::milliseconds(100)) return;
  shown_ = now;
  visible_ = true;
  constexpr int width = 30;
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * width);
  std::fprintf(stderr, "\r%s [%.*s%.*s] %3.0f %%", what_.c_str(), full, "##############################", width - full,
               "..............................", 100.0 * share);
  if (share > 0.01) std::fprintf(stderr, ", %.0f s left", left);
  std::fputs("\033[K", stderr);
  std::fflush(stderr);
}

void Progress::clear() {
  if (!visible_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  visible_ = false;
}

}  // namespace kinglet::cli

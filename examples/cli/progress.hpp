// examples/cli/progress.hpp: how far is the work?
#pragma once
#include <chrono>
#include <string>

namespace kinglet::cli {

/// A bar on stderr where that is a terminal and the work will take more than two seconds.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// @param share  done, [0, 1]
  void show(double share);
  /// Takes the bar off the screen.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string what_;
  Clock::time_point start_;
  Clock::time_point shown_;
  bool terminal_;
  bool visible_ = false;
};

}  // namespace kinglet::cli

// examples/cli/limits.hpp: what can this machine give at most, measured now?
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace kinglet::cli {

struct Limits {
  double read_gb_per_s = 0;      ///< 1e9 bytes
  double vnni_gops = 0;          ///< dot products of bytes; a multiply-add counts as two
  double vnni_group32_gops = 0;  ///< with the conversion and the fma that every 32 products of an output cost
  double fp32_gflops = 0;
};

/// The higher of each.
Limits best_of(const Limits& a, const Limits& b);

/// Measures with as many threads as the work that is held against it, which run only meanwhile.
class LimitGauge {
 public:
  /// @param backend  whose instructions count
  /// @param bytes    of the buffer that is read: as much as the work reads, so that caches help both alike
  LimitGauge(std::string backend, unsigned threads, std::size_t bytes);
  ~LimitGauge();

  /// The best of five passes of the fastest loop for each limit. The buffer stays. All are 0 for work on a GPU, which
  /// the processor's limits do not bind.
  Limits measure();
  /// One pass of the loop that measure() found fastest, for shares of work that runs right before or after it.
  /// @param times  that the buffer is read
  /// @return GB/s
  double read_now(std::size_t times);
  /// The two integer limits, a few milliseconds each, likewise. The others are 0.
  Limits integers_now();
  std::size_t buffer_bytes() const { return buffer_ == nullptr ? 0 : part_ * threads_; }
  /// The dot product instruction, in words.
  const char* instruction() const;

 private:
  void make_buffer();
  double read_pass(std::size_t loop, std::size_t times);

  std::string backend_;
  unsigned threads_;
  std::size_t part_;  ///< bytes of each thread
  std::size_t fastest_read_ = 0;
  std::size_t fastest_dot_ = 0;
  std::size_t fastest_group32_ = 0;
  struct Unmap {
    std::size_t bytes;
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Unmap> mapping_;
  std::byte* buffer_ = nullptr;  ///< in the mapping, at a large page's start
};

}  // namespace kinglet::cli

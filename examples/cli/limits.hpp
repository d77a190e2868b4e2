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

  /// The best of five passes of the fastest loop for each limit. The buffer stays.
  Limits measure();
  /// The dot product instruction, in words.
  const char* instruction() const;

 private:
  void make_buffer();
  double read_pass(std::size_t loop);

  std::string backend_;
  unsigned threads_;
  std::size_t part_;  ///< bytes of each thread
  struct Unmap {
    std::size_t bytes;
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Unmap> mapping_;
  std::byte* buffer_ = nullptr;  ///< in the mapping, at a large page's start
};

}  // namespace kinglet::cli

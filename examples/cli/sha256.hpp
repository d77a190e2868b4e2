// examples/cli/sha256.hpp: are these the bytes that were meant?
#pragma once
#include <cstddef>
#include <string>

namespace kinglet::cli {

/// Takes bytes in any number of parts.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(const void* data, std::size_t bytes);
  /// 64 hexadecimal digits; "" where the cryptographic library failed. Ends the hash.
  std::string hex();

 private:
  void* context_;
  bool good_;
};

/// "" where the file cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace kinglet::cli

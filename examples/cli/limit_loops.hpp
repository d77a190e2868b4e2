// examples/cli/limit_loops.hpp: which loops show what one core can give at most?
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace kinglet::cli {

/// Arithmetic on registers alone (sums of tiles go through memory, as they must), in chains enough to hide every
/// latency.
struct ComputeLoop {
  /// Does `rounds` rounds and gives something that depends on all of them.
  std::uint32_t (*run)(std::uint64_t rounds) noexcept = nullptr;
  double operations = 0;  ///< of a round; a multiply-add counts as two
};

/// Reads every byte and gives something that depends on all of them.
/// @param bytes  a multiple of read_step
using ReadLoop = std::uint64_t (*)(const std::byte* data, std::size_t bytes) noexcept;
inline constexpr std::size_t read_step = 4096;

/// The limits of one instruction set. Where there are several loops for a limit, the fastest counts.
struct LimitLoops {
  const char* instruction = "";          ///< the dot product's
  std::span<const ComputeLoop> dot;      ///< bytes times bytes into 32-bit sums
  std::span<const ComputeLoop> group32;  ///< and a conversion and an FP32 fma for each 32 products of an output
  std::span<const ComputeLoop> fp32;     ///< fma
  std::span<const ReadLoop> read;        ///< plain, fetched ahead, two streams
};

/// The loops for a backend's instruction set on this machine (AVX-VNNI where `avx2` meets it); another name gives the
/// portable ones.
LimitLoops limit_loops(std::string_view backend) noexcept;
/// The same for this processor's own instructions (limit_loops_x86.cpp, and NEON); empty where there are none.
LimitLoops native_loops(std::string_view backend) noexcept;
/// Those of x86's tiles (limit_loops_amx.cpp), empty where there are none.
LimitLoops tile_loops() noexcept;

}  // namespace kinglet::cli

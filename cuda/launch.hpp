// cuda/launch.hpp: how many blocks, threads and bytes of shared memory does each kernel take?
//
// Pure functions of the shape and the device, for the host alone; tests hold them to every architecture's limits. The
// numbers that a measurement may change are in tuning.hpp; 128 and 256 threads are the lanes and the stretch of
// docs/numbers.md.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tuning.hpp"

namespace kinglet::cuda {

/// Blocks, threads of a block, bytes of dynamic shared memory.
struct Launch {
  std::uint32_t grid[3] = {1, 1, 1};
  std::uint32_t threads = 0;
  std::uint32_t shared = 0;
};

/// What a chip allows. Source: CUDA C++ Programming Guide, table "Technical Specifications per Compute Capability".
struct ChipLimits {
  std::uint32_t compute;          ///< 10 * major + minor
  std::uint32_t shared_of_block;  ///< bytes, with the opt-in above 48 KB
  std::uint32_t threads_of_block = 1024;
  std::uint32_t grid[3] = {2147483647u, 65535u, 65535u};
};
inline constexpr std::uint32_t shared_without_opt_in = 48 << 10;
inline constexpr ChipLimits chips[] = {{75, 64 << 10},   {80, 163 << 10},  {86, 99 << 10},
                                       {87, 163 << 10},  {89, 99 << 10},   {90, 227 << 10},
                                       {100, 227 << 10}, {110, 227 << 10}, {120, 99 << 10}};

/// What a shape may have at most, so that every grid below is one that chips take: two of its dimensions end at 65,535.
inline constexpr std::uint32_t most_rows = 65535, most_heads = 65535 / 3;

constexpr std::uint32_t parts(std::uint64_t n, std::uint32_t size) noexcept {
  return static_cast<std::uint32_t>((n + size - 1) / size);
}

constexpr Launch launch_rows(std::uint32_t n, std::uint32_t shared) noexcept { return {{n, 1, 1}, 128, shared}; }

constexpr Launch launch_gate(std::uint32_t n, std::uint32_t shared) noexcept {
  return {{n, 1, 1}, gate_threads, shared};
}

constexpr Launch launch_sample(std::uint32_t choices, std::uint32_t shared) noexcept {
  return {{choices, 1, 1}, sample_threads, shared};
}

constexpr Launch launch_product_few(std::uint32_t outputs, std::uint32_t n, std::uint32_t shared) noexcept {
  return {{parts(outputs, few_outputs), parts(n, few_rows), 1}, few_outputs * few_rows, shared};
}

constexpr Launch launch_product_many(std::uint32_t outputs, std::uint32_t n) noexcept {
  return {{parts(outputs, many_outputs), parts(n, many_rows), 1}, many_warps * 32, 0};
}

constexpr Launch launch_rotate(std::uint32_t rows, std::uint32_t all_heads, std::uint32_t shared) noexcept {
  return {{rows, all_heads, 1}, 128, shared};
}

constexpr Launch launch_attend(std::uint32_t rows, std::uint32_t kv_heads, std::uint32_t stretches,
                               std::uint32_t shared) noexcept {
  return {{rows, kv_heads, stretches}, 256, shared};
}

constexpr Launch launch_merge(std::uint32_t rows, std::uint32_t heads) noexcept {
  return {{rows * heads, 1, 1}, 128, 0};
}

/// Partial results of attention that the plan keeps room for, in (row, head, stretch).
constexpr std::uint64_t partial_slots(std::uint32_t max_rows, std::uint32_t heads) noexcept {
  return std::max<std::uint64_t>(std::uint64_t{max_rows} * heads, std::uint64_t{heads} * 64);
}
/// Stretches that one pass of attention takes, so that they fit the room.
constexpr std::uint32_t stretches_of_pass(std::uint64_t slots, std::uint32_t rows, std::uint32_t heads,
                                          std::uint32_t stretches) noexcept {
  const std::uint64_t fit = std::max<std::uint64_t>(1, slots / (std::uint64_t{rows} * heads));
  return static_cast<std::uint32_t>(std::min<std::uint64_t>({fit, stretches, 65535}));
}

/// Does a chip take this launch?
constexpr bool fits(const Launch& l, const ChipLimits& chip) noexcept {
  return l.threads > 0 && l.threads <= chip.threads_of_block && l.threads % 32 == 0 &&
         l.shared <= chip.shared_of_block && l.grid[0] > 0 && l.grid[1] > 0 && l.grid[2] > 0 &&
         l.grid[0] <= chip.grid[0] && l.grid[1] <= chip.grid[1] && l.grid[2] <= chip.grid[2];
}

}  // namespace kinglet::cuda

// ops/crossing.hpp: is this as many numbers as the rows of a step have, where they cross from backend to backend?
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/fail.hpp"

namespace kinglet::ops {

inline Status check_crossing(std::size_t numbers, std::uint32_t rows, std::uint32_t dim) noexcept {
  if (numbers == std::size_t{rows} * dim) return {};
  return core::fail(Errc::internal, "{} numbers for a step of {} rows by {}", numbers, rows, dim);
}

}  // namespace kinglet::ops

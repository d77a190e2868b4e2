// ops/kernels/constants.cpp: see the header
#include "ops/kernels/constants.hpp"

namespace kinglet::ops {
namespace {

constexpr Bytes32 every(std::size_t step, std::uint8_t value) {
  Bytes32 all{};
  for (std::size_t i = 0; i < sizeof all.v; i += step) all.v[i] = value;  // little endian
  return all;
}

}  // namespace

const Bytes32 bytes_0f = every(1, 0x0f);
const Bytes32 bytes_10 = every(1, 0x10);
const Bytes32 bytes_30 = every(1, 0x30);
const Bytes32 bytes_80 = every(1, 0x80);
const Bytes32 words_1 = every(2, 1);
const Bytes32 longs_3 = every(4, 3);
const Bytes32 longs_12 = every(4, 12);
const Bytes32 longs_15 = every(4, 15);

}  // namespace kinglet::ops

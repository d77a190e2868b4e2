// ops/kernels/constants.hpp: which constants do loops with few registers read from memory?
//
// Defined in a source of their own: a constant that the compiler sees it makes anew in a register, and puts that on the
// stack where registers run out; one from memory it reads again there.
#pragma once
#include <cstddef>
#include <cstdint>

namespace kinglet::ops {

struct Bytes32 {
  alignas(32) std::uint8_t v[32];
};

/// Every byte, word or double word = the number. Hidden by word: the compiler's option leaves out declarations, and a
/// table of addresses in a shared object would take the place of the memory operand.
[[gnu::visibility("hidden")]] extern const Bytes32 bytes_0f, bytes_10, bytes_30, bytes_80, words_1, longs_3, longs_12,
    longs_15;

}  // namespace kinglet::ops

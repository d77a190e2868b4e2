#include <kinglet/sample/philox.hpp>

#include "tests/catch.hpp"

using kinglet::sample::Philox;
using kinglet::sample::philox4x32;
using kinglet::sample::random_bits;

TEST_CASE("a random number belongs to a seed and a position", "[sample][philox]") {
  CHECK(random_bits(1, 5) == random_bits(1, 5));
  CHECK(random_bits(1, 5) != random_bits(1, 6));
  CHECK(random_bits(1, 5) != random_bits(2, 5));
  CHECK(random_bits(0, std::uint64_t{1} << 32) != random_bits(0, 0));
  CHECK(random_bits(std::uint64_t{1} << 32, 0) != random_bits(0, 0));
  static_assert(random_bits(0, 0) == 0xe169c58d6627e8d5u);
}

// The known answers that come with the paper's library.
TEST_CASE("Philox4x32-10 gives the published answers", "[sample][philox]") {
  const auto same = [](Philox a, Philox b) {
    for (int i = 0; i < 4; ++i) {
      if (a.word[i] != b.word[i]) return false;
    }
    return true;
  };
  constexpr std::uint32_t ones = 0xffffffffu;
  CHECK(same(philox4x32({{0, 0, 0, 0}}, 0, 0), {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
  CHECK(same(philox4x32({{ones, ones, ones, ones}}, ones, ones), {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
  CHECK(same(philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
             {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
}

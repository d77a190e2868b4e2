// kinglet/sample/philox.hpp: which random number belongs to this seed and this position?
//
// Counter-based: the number is a pure function of (counter, key), so a token's draw depends on no draw before it, and
// host and device get the same one. Integer operations only.
#pragma once
#include <cstdint>

#include <kinglet/core/config.hpp>

namespace kinglet::sample {

struct Philox {
  std::uint32_t word[4];
};

/// Philox4x32 with ten rounds.
/// @param counter  which number of the key's sequence
/// @param key      the seed, low word first
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
KINGLET_HD constexpr Philox philox4x32(Philox counter, std::uint32_t key_low, std::uint32_t key_high) noexcept {
  Philox c = counter;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c.word[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c.word[2];
    c = {{static_cast<std::uint32_t>(b >> 32) ^ c.word[1] ^ key_low, static_cast<std::uint32_t>(b),
          static_cast<std::uint32_t>(a >> 32) ^ c.word[3] ^ key_high, static_cast<std::uint32_t>(a)}};
    key_low += 0x9E3779B9u;
    key_high += 0xBB67AE85u;
  }
  return c;
}

/// 64 random bits for the token at `position` of a session with this `seed`.
KINGLET_HD constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t position) noexcept {
  const Philox counter{{static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32), 0, 0}};
  const Philox r = philox4x32(counter, static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  return (std::uint64_t{r.word[1]} << 32) | r.word[0];
}

}  // namespace kinglet::sample

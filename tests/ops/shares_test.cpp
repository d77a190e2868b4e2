#include "ops/shares.hpp"

#include <thread>
#include <vector>

#include "tests/catch.hpp"

using namespace kinglet;

TEST_CASE("every tile is taken once, in neighbouring stretches, whichever threads come") {
  for (const std::uint32_t threads : {1u, 2u, 3u, 7u}) {
    for (const std::uint32_t tiles : {0u, 1u, 2u, 6u, 31u, 64u, 1000u}) {
      for (std::uint32_t come = 1; come <= threads; ++come) {
        std::vector<ops::Share> memory(threads);
        const ops::Shares shares(memory.data(), threads, 5, 5 + tiles);
        std::vector<std::vector<std::uint32_t>> taken(come);
        std::vector<std::thread> running;
        for (std::uint32_t t = 0; t < come; ++t) {
          running.emplace_back([&, t] {
            shares.take(t, [&](std::uint32_t from, std::uint32_t to) {
              for (; from < to; ++from) taken[t].push_back(from);
            });
          });
        }
        for (std::thread& thread : running) thread.join();
        std::vector<int> count(5 + tiles);
        for (const auto& list : taken) {
          for (const std::uint32_t tile : list) ++count.at(tile);
        }
        for (std::uint32_t tile = 0; tile < 5 + tiles; ++tile) CHECK(count[tile] == (tile < 5 ? 0 : 1));
        if (come == 1) {  // alone: its own stretch first, then the others' in order
          for (std::uint32_t i = 0; i < tiles; ++i) CHECK(taken[0][i] == 5 + i);
        }
      }
    }
  }
}

#include <array>
#include <kinglet/kv/page_table.hpp>
#include <kinglet/ops/backend.hpp>
#include <vector>

#include "tests/catch.hpp"
#include "tests/random.hpp"

using kinglet::Errc;
using kinglet::kv::PageCopy;
using kinglet::kv::PagePool;
using kinglet::kv::PageTable;
using kinglet::test::Random;

static_assert(kinglet::kv::page_size == kinglet::ops::page_tokens);

TEST_CASE("a session grows page by page, forks, and copies only the page that it writes", "[kv][table]") {
  auto memory = std::pmr::get_default_resource();
  auto pool = PagePool::create(8, memory);
  auto smith = PageTable::create(64, memory);
  REQUIRE(smith->append(*pool, 20));
  CHECK(smith->pages().size() == 2);

  auto fork = PageTable::create(64, memory);
  REQUIRE(smith->fork(*pool, 20, *fork));
  CHECK(pool->free() == 6);  // nothing was copied yet

  const auto copy = fork->append(*pool, 1);
  REQUIRE(copy);
  CHECK(copy->tokens == 4);
  CHECK(copy->from == smith->pages()[1]);
  CHECK(copy->to == fork->pages()[1]);
  CHECK(fork->pages()[0] == smith->pages()[0]);
  CHECK(smith->append(*pool, 1)->tokens == 0);  // its page is its own again

  smith->clear(*pool);
  fork->clear(*pool);
  CHECK(pool->free() == 8);
}

TEST_CASE("a promise makes appends certain, also past a fork", "[kv][table]") {
  auto memory = std::pmr::get_default_resource();
  auto pool = PagePool::create(4, memory);
  auto a = PageTable::create(100, memory);
  auto b = PageTable::create(100, memory);
  auto c = PageTable::create(100, memory);
  REQUIRE(a->append(*pool, 10));
  REQUIRE(a->promise(*pool, 30));  // 40 positions: two pages more
  CHECK(pool->available() == 1);
  REQUIRE(a->fork(*pool, 10, *b));  // the fork shares a's half page, so a's promise needs the last page for its copy
  CHECK(pool->available() == 0);
  CHECK(b->append(*pool, 1).error().code == Errc::context_full);
  for (int i = 0; i < 30; ++i) REQUIRE(a->append(*pool, 1));
  CHECK(a->reserved() == 0);
  CHECK(b->append(*pool, 6).ok());  // alone on its page by now

  REQUIRE(c->append(*pool, 0));
  CHECK(c->append(*pool, 1).error().code == Errc::context_full);
  CHECK(a->promise(*pool, 61).error().code == Errc::context_full);
  CHECK(a->append(*pool, 61).error().code == Errc::context_full);
  CHECK(a->truncate(*pool, 41).error().code == Errc::invalid_argument);
  CHECK(a->fork(*pool, 41, *c).error().code == Errc::invalid_argument);
  CHECK(a->fork(*pool, 40, *b).error().code == Errc::invalid_argument);  // not empty
}

TEST_CASE("a fork whose promise cannot be kept is refused and changes nothing", "[kv][table]") {
  auto memory = std::pmr::get_default_resource();
  auto pool = PagePool::create(2, memory);
  auto a = PageTable::create(32, memory);
  auto b = PageTable::create(32, memory);
  REQUIRE(a->append(*pool, 10));
  REQUIRE(a->promise(*pool, 20));
  CHECK(a->fork(*pool, 10, *b).error().code == Errc::context_full);
  CHECK(b->length() == 0);
  CHECK_FALSE(pool->shared(a->pages()[0]));
  REQUIRE(a->append(*pool, 20));
}

// Every table's content is written out token by token into "memory" [pages][16], and must read back whatever the others
// do.
TEST_CASE("random scripts of sessions keep every session's own tokens", "[kv][table]") {
  constexpr std::uint32_t pages = 23, limit = 90;
  constexpr std::size_t tables = 5;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    Random random{seed};
    kinglet::core::Memory memory;
    auto pool = PagePool::create(pages, &memory);
    std::array<PageTable, tables> table;
    for (auto& t : table) t = std::move(*PageTable::create(limit, &memory));
    CHECK(memory.used() == PagePool::bytes(pages) + tables * PageTable::bytes(limit));
    std::array<std::vector<int>, tables> expected;
    std::array<std::uint32_t, tables> promised{};
    std::vector<std::array<int, 16>> bytes(pages);
    int next = 0;
    for (int step = 0; step < 4000; ++step) {
      const std::size_t i = random.below(tables), j = random.below(tables);
      const std::uint32_t n = random.below(25);
      switch (random.below(8)) {
        case 0:
          if (table[i].promise(*pool, n)) promised[i] = n;
          break;
        case 1: {
          const std::uint32_t length = table[i].length() == 0 ? 0 : random.below(table[i].length() + 1);
          REQUIRE(table[i].truncate(*pool, length));
          expected[i].resize(length);
          promised[i] = 0;
          break;
        }
        case 2:
          if (i != j && table[j].length() == 0 && table[j].reserved() == 0) {
            const auto length =
                static_cast<std::uint32_t>(table[i].length() - table[i].length() % (1 + random.below(5)));
            if (table[i].fork(*pool, length, table[j])) {
              expected[j].assign(expected[i].begin(), expected[i].begin() + length);
              promised[j] = 0;
            }
          }
          break;
        case 3:
          if (random.below(4) == 0) {
            table[i].clear(*pool);
            expected[i].clear();
            promised[i] = 0;
          }
          break;
        default: {
          const auto copy = table[i].append(*pool, n);
          if (!copy) {
            REQUIRE(copy.error().code == Errc::context_full);
            REQUIRE((n > promised[i] || table[i].length() + n > limit));
            break;
          }
          for (std::uint32_t t = 0; t < copy->tokens; ++t) bytes[copy->to][t] = bytes[copy->from][t];
          promised[i] -= std::min(promised[i], n);
          for (std::uint32_t t = 0; t < n; ++t) {
            const auto position = static_cast<std::uint32_t>(expected[i].size());
            REQUIRE_FALSE(pool->shared(table[i].pages()[position / 16]));
            bytes[table[i].pages()[position / 16]][position % 16] = next;
            expected[i].push_back(next++);
          }
        }
      }
      std::uint32_t reserved = 0;
      std::vector<std::uint32_t> owners(pages, 0);
      for (std::size_t t = 0; t < tables; ++t) {
        REQUIRE(table[t].length() == expected[t].size());
        REQUIRE(table[t].pages().size() == PageTable::count(table[t].length()));
        for (std::uint32_t page : table[t].pages()) ++owners[page];
        for (std::size_t p = 0; p < expected[t].size(); ++p) {
          if (bytes[table[t].pages()[p / 16]][p % 16] != expected[t][p]) FAIL("a token was lost");
        }
        reserved += table[t].reserved();
      }
      REQUIRE(pool->reserved() == reserved);
      for (std::uint32_t page = 0; page < pages; ++page) REQUIRE(pool->owners(page) == owners[page]);
    }
    for (auto& t : table) t.clear(*pool);
    CHECK(pool->free() == pages);
    CHECK(pool->reserved() == 0);
    CHECK(memory.peak() == memory.used());
  }
}

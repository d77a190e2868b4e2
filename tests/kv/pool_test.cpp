#include <algorithm>
#include <kinglet/kv/pool.hpp>
#include <vector>

#include "tests/catch.hpp"
#include "tests/random.hpp"

using kinglet::Errc;
using kinglet::kv::PagePool;
using kinglet::test::Random;

TEST_CASE("a pool lends its pages and gets them back", "[kv][pool]") {
  kinglet::core::Memory memory;
  auto pool = PagePool::create(3, &memory);
  REQUIRE(pool);
  CHECK(memory.used() == PagePool::bytes(3));
  CHECK(*pool->take() == 0);
  CHECK(*pool->take() == 1);
  REQUIRE(pool->share(1));  // a forked session
  CHECK(pool->shared(1));
  CHECK(*pool->take() == 2);
  CHECK(pool->take().error().code == Errc::context_full);
  REQUIRE(pool->release(1));
  CHECK(pool->free() == 0);  // the other owner still holds it
  REQUIRE(pool->release(1));
  CHECK(pool->free() == 1);
  CHECK(*pool->take() == 1);
}

TEST_CASE("sessions that grow side by side get runs of neighbouring pages", "[kv][pool]") {
  constexpr std::uint32_t sessions = 3, blocks = 7;
  auto pool = PagePool::create(blocks * PagePool::block_pages + 5, std::pmr::get_default_resource());
  std::vector<std::uint32_t> last(sessions, PagePool::nowhere);
  for (std::uint32_t i = 0; i < 2 * PagePool::block_pages; ++i) {
    for (std::uint32_t& page : last) {
      const std::uint32_t next = *pool->take(page);
      CHECK((i % PagePool::block_pages == 0 ? next % PagePool::block_pages == 0 : next == page + 1));
      page = next;
    }
  }
  // One block is left, and the short one: whoever comes then shares them.
  const std::uint32_t page = *pool->take(last[0]);
  CHECK(page % PagePool::block_pages == 0);
  std::uint32_t left = 0;
  while (pool->take()) ++left;
  CHECK(left == PagePool::block_pages - 1 + 5);
  CHECK(pool->free() == 0);
}

TEST_CASE("who finds no unused block takes where nobody has grown for longest", "[kv][pool]") {
  auto pool = PagePool::create(3 * PagePool::block_pages, std::pmr::get_default_resource());
  std::uint32_t last[3];
  for (std::uint32_t& page : last) page = *pool->take();
  for (int i = 0; i < 4; ++i) last[0] = *pool->take(last[0]);
  last[2] = *pool->take(last[2]);
  const std::uint32_t other = *pool->take();
  CHECK(other == last[1] + 1);
  CHECK(*pool->take(last[0]) == last[0] + 1);
  CHECK(*pool->take(last[2]) == last[2] + 1);
}

TEST_CASE("a block that was used comes before one that never was", "[kv][pool]") {
  auto pool = PagePool::create(4 * PagePool::block_pages, std::pmr::get_default_resource());
  const std::uint32_t first = *pool->take(), second = *pool->take(first);
  REQUIRE(pool->release(second));
  CHECK(*pool->take(first) == second);
  REQUIRE(pool->release(second));
  REQUIRE(pool->release(first));
  CHECK(*pool->take() == first);
}

TEST_CASE("a reservation holds pages back from everyone else", "[kv][pool]") {
  auto pool = PagePool::create(4, std::pmr::get_default_resource());
  REQUIRE(pool->reserve(3));
  CHECK(pool->available() == 1);
  REQUIRE(pool->take());
  CHECK(pool->take().error().code == Errc::context_full);
  CHECK(pool->reserve(1).error().code == Errc::context_full);
  for (int i = 0; i < 3; ++i) CHECK(pool->take_reserved());
  CHECK(pool->take_reserved().error().code == Errc::internal);
  CHECK(pool->unreserve(1).error().code == Errc::invalid_argument);
  CHECK(pool->free() == 0);
}

TEST_CASE("a page that nobody holds is neither released nor shared", "[kv][pool]") {
  auto pool = PagePool::create(2, std::pmr::get_default_resource());
  const std::uint32_t page = *pool->take();
  REQUIRE(pool->release(page));
  CHECK(pool->release(page).error().code == Errc::invalid_argument);
  CHECK(pool->share(page).error().code == Errc::invalid_argument);
  CHECK(pool->release(2).error().code == Errc::invalid_argument);
  CHECK(pool->share(UINT32_MAX).error().code == Errc::invalid_argument);
  CHECK(pool->free() == 2);
}

TEST_CASE("pools without pages, moved pools and refused memory are errors, not crashes", "[kv][pool]") {
  PagePool none;
  CHECK(none.take().error().code == Errc::context_full);
  CHECK(none.reserve(0));
  CHECK(PagePool::create(0, std::pmr::get_default_resource())->take().error().code == Errc::context_full);

  kinglet::core::Memory memory({}, 1000);
  CHECK(PagePool::create(1000, &memory).error().code == Errc::out_of_memory);
  CHECK(memory.used() == 0);
  {
    auto created = PagePool::create(7, &memory);
    none = std::move(*created);
    CHECK(memory.used() == PagePool::bytes(7));
    CHECK(none.available() == 7);
    CHECK(created->take().error().code == Errc::context_full);
    none = PagePool();
  }
  CHECK(memory.used() == 0);
}

// A reference that stores the owners of every page as they come.
TEST_CASE("random calls agree with a naive pool", "[kv][pool]") {
  for (std::uint32_t pages : {1u, 7u, 31u, 33u}) {
    Random random{pages};
    kinglet::core::Memory memory;
    auto pool = PagePool::create(pages, &memory);
    const std::size_t used = memory.used();
    std::vector<std::uint32_t> owners(pages, 0);
    std::uint32_t reserved = 0;
    const auto free = [&] { return static_cast<std::uint32_t>(std::count(owners.begin(), owners.end(), 0u)); };
    for (int step = 0; step < 20000; ++step) {
      const std::uint32_t page = random.below(pages + 1);
      const bool held = page < pages && owners[page] > 0;
      switch (random.below(6)) {
        case 0: {
          const std::uint32_t after = random.below(2) == 0 ? PagePool::nowhere : page;
          const auto taken = pool->take(after);
          REQUIRE(taken.ok() == (free() > reserved));
          if (!taken) break;
          if (after < pages - 1 && owners[after + 1] == 0) REQUIRE(*taken == after + 1);
          REQUIRE(owners[*taken]++ == 0);
          break;
        }
        case 1: {
          const auto taken = pool->take_reserved(page);
          REQUIRE(taken.ok() == (reserved > 0));
          if (taken) {
            if (page + 1 < pages && owners[page + 1] == 0) REQUIRE(*taken == page + 1);
            REQUIRE(owners[*taken]++ == 0);
            --reserved;
          }
          break;
        }
        case 2:
          REQUIRE(pool->share(page).ok() == held);
          if (held) ++owners[page];
          break;
        case 3:
          REQUIRE(pool->release(page).ok() == held);
          if (held) --owners[page];
          break;
        case 4: {
          const std::uint32_t n = random.below(4);
          const bool fits = n <= free() - reserved;
          REQUIRE(pool->reserve(n).ok() == fits);
          if (fits) reserved += n;
          break;
        }
        default: {
          const std::uint32_t n = random.below(4);
          const bool fits = n <= reserved;
          REQUIRE(pool->unreserve(n).ok() == fits);
          if (fits) reserved -= n;
        }
      }
      REQUIRE(pool->free() == free());
      REQUIRE(pool->reserved() == reserved);
      REQUIRE(pool->available() == free() - reserved);
      if (page < pages) REQUIRE(pool->owners(page) == owners[page]);
      REQUIRE(memory.used() == used);
    }
    CHECK(memory.peak() == used);
  }
}

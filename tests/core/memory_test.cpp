#include <kinglet/core/memory.hpp>

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tests/catch.hpp"

using namespace kinglet;

namespace {

/// A host that counts, and refuses the n-th allocation.
struct Host {
  std::map<void*, std::size_t> live;
  int refuse_at = -1;
  bool mismatch = false;

  Hooks hooks() {
    Hooks h;
    h.user = this;
    h.allocate = [](void* user, std::size_t bytes, std::size_t alignment) -> void* {
      Host& self = *static_cast<Host*>(user);
      if (self.refuse_at-- == 0) return nullptr;
      void* memory = ::operator new(bytes, std::align_val_t(alignment), std::nothrow);
      self.live[memory] = bytes;
      return memory;
    };
    h.deallocate = [](void* user, void* memory, std::size_t bytes, std::size_t alignment) {
      Host& self = *static_cast<Host*>(user);
      self.mismatch |= self.live.count(memory) == 0 || self.live[memory] != bytes;
      self.live.erase(memory);
      ::operator delete(memory, std::align_val_t(alignment));
    };
    return h;
  }
};

}  // namespace

TEST_CASE("memory comes from the host's hooks and is counted") {
  Host host;
  core::Memory memory(host.hooks());
  {
    std::pmr::vector<float> v(1000, &memory);
    CHECK(memory.used() == 4000);
    CHECK(host.live.size() == 1);
    std::pmr::vector<char> w(10, &memory);
    CHECK(memory.used() == 4010);
  }
  CHECK(memory.used() == 0);
  CHECK(memory.peak() == 4010);
  CHECK(host.live.empty());
  CHECK_FALSE(host.mismatch);
}

TEST_CASE("a limit is a limit: nothing goes past it, and what fits still fits") {
  core::Memory memory({}, 1000);
  void* half = memory.allocate(600, 64);
  CHECK_THROWS_AS(memory.allocate(401, 8), std::bad_alloc);
  void* rest = memory.allocate(400, 8);
  CHECK(memory.used() == 1000);
  CHECK_THROWS_AS(memory.allocate(1, 1), std::bad_alloc);
  CHECK_THROWS_AS(memory.allocate(std::numeric_limits<std::size_t>::max() - 5, 1), std::bad_alloc);
  memory.deallocate(half, 600, 64);
  memory.deallocate(rest, 400, 8);
  CHECK(memory.used() == 0);
}

TEST_CASE("bytes that lie elsewhere count against the limit") {
  core::Memory memory({}, 1000);
  CHECK(memory.reserve(900));
  CHECK_FALSE(memory.reserve(101));
  CHECK_FALSE(memory.reserve(std::numeric_limits<std::size_t>::max()));
  CHECK_THROWS_AS(memory.allocate(101, 8), std::bad_alloc);
  CHECK(memory.used() == 900);
  memory.release(900);
  CHECK(memory.used() == 0);
}

TEST_CASE("a refusal of the host loses nothing and becomes out_of_memory at the edge") {
  for (int refuse = 0; refuse < 3; ++refuse) {
    Host host;
    host.refuse_at = refuse;
    core::Memory memory(host.hooks());
    const Status status = core::guarded([&]() -> Status {
      std::pmr::vector<int> a(10, &memory), b(20, &memory), c(30, &memory);
      return {};
    });
    CHECK(status.error().code == Errc::out_of_memory);
    CHECK(memory.used() == 0);
    CHECK(host.live.empty());
  }
}

TEST_CASE("whatever is thrown becomes an error code") {
  CHECK(core::guarded([]() -> Status { throw std::length_error("x"); }).error().code == Errc::out_of_memory);
  CHECK(core::guarded([]() -> Status { throw 7; }).error().code == Errc::internal);
  const Status said = core::guarded([]() -> Status { throw std::runtime_error("the reason"); });
  CHECK(said.error().code == Errc::internal);
  CHECK(std::string(said.error().message) == "the reason");
  CHECK(core::guarded([]() -> Result<int> { return 5; }).value() == 5);
}

#include "core/file.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/sanitized.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;

namespace {

constexpr std::size_t page = 4096;

[[maybe_unused]] long faults_of_reading(std::span<const std::byte> bytes) {
  rusage before{}, after{};
  REQUIRE(getrusage(RUSAGE_SELF, &before) == 0);
  unsigned sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += page) sum += std::to_integer<unsigned>(bytes[i]);
  REQUIRE(getrusage(RUSAGE_SELF, &after) == 0);
  CHECK(sum == bytes.size() / page * 'x');
  return after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
}

}  // namespace

TEST_CASE("what is prefaulted of a mapped file is read without a fault, though its middle was given back") {
#if defined(KINGLET_TEST_SANITIZED) || !defined(MADV_POPULATE_READ)
  test::skip("page faults of a mapped file", "a build without sanitizers, and headers of Linux 5.14");
#else
  constexpr std::size_t pages = 4096, half = pages / 2;
  const test::TemporaryFile file(std::string(pages * page, 'x'));
  core::Memory memory;
  auto mapped = core::FileBytes::open(file.path().c_str(), memory, false);
  REQUIRE(mapped.ok());
  const std::span<const std::byte> first = mapped->bytes().first(half * page),
                                   second = mapped->bytes().subspan(half * page);
  mapped->prefault(first.data() + 1, first.size() - 2);
  const long lazy = faults_of_reading(second), ready = faults_of_reading(first);
  if (lazy < 2 || ::madvise(const_cast<std::byte*>(first.data()), page, MADV_POPULATE_READ) != 0) {
    return test::skip("page faults of a mapped file", "Linux 5.14, and a file of several pages");
  }
  CHECK(ready <= 1);

  // A tensor whose whole pages were given back still has its ends, beside its neighbours.
  auto other = core::FileBytes::open(file.path().c_str(), memory, false);
  REQUIRE(other.ok());
  other->discard(other->bytes().data() + 100, half * page);
  CHECK(other->mapped() == (pages - half + 1) * page);
  other->prefault(other->bytes().data() + 100, half * page);
  CHECK(faults_of_reading(other->bytes().first(page)) + faults_of_reading(other->bytes().subspan(half * page, page)) <=
        1);
#endif
}

TEST_CASE("prefaulting a copy, a file that has been cut, or nothing does nothing") {
  const test::TemporaryFile file(std::string(8 * page, 'x'));
  core::Memory memory;
  core::FileBytes().prefault(nullptr, 1);
  auto copy = core::FileBytes::open(file.path().c_str(), memory, true);
  REQUIRE(copy.ok());
  copy->prefault(copy->bytes().data(), copy->bytes().size());
  auto cut = core::FileBytes::open(file.path().c_str(), memory, false);
  REQUIRE(cut.ok());
  cut->prefault(cut->bytes().data(), 0);
  REQUIRE(::truncate(file.path().c_str(), page) == 0);
  cut->prefault(cut->bytes().data(), cut->bytes().size());
  CHECK_FALSE(cut->unchanged());
}

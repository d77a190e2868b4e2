#include "core/file.hpp"

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

TEST_CASE("a mapped file that is prefaulted is read without a fault, but for what was given back") {
#ifdef KINGLET_TEST_SANITIZED
  test::skip("page faults of a mapped file", "a build without sanitizers, whose own memory is touched too");
#else
  constexpr std::size_t pages = 4096, gone = 2049;  // an odd place, in the middle of what is asked for at once
  const test::TemporaryFile file(std::string(pages * page, 'x'));
  core::Memory memory;
  auto lazy = core::FileBytes::open(file.path().c_str(), memory, false);
  REQUIRE(lazy.ok());
  CHECK(faults_of_reading(lazy->bytes()) >= static_cast<long>(pages / 512));

  auto ready = core::FileBytes::open(file.path().c_str(), memory, false);
  REQUIRE(ready.ok());
  ready->discard(ready->bytes().data() + gone * page, 3 * page);
  CHECK(ready->mapped() == (pages - 3) * page);
  ready->prefault();
  const long faults = faults_of_reading(ready->bytes().first(gone * page)) +
                      faults_of_reading(ready->bytes().subspan((gone + 3) * page));
  CHECK(faults < 4);
#endif
}

TEST_CASE("prefaulting a copy, a file that has been cut, or nothing does nothing") {
  const test::TemporaryFile file(std::string(8 * page, 'x'));
  core::Memory memory;
  core::FileBytes().prefault();
  auto copy = core::FileBytes::open(file.path().c_str(), memory, true);
  REQUIRE(copy.ok());
  copy->prefault();
  auto cut = core::FileBytes::open(file.path().c_str(), memory, false);
  REQUIRE(cut.ok());
  REQUIRE(::truncate(file.path().c_str(), page) == 0);
  cut->prefault();
  CHECK_FALSE(cut->unchanged());
}

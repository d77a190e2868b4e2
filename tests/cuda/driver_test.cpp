// The emulator's driver finds what the backend might do wrong with its calls.
#include "tests/catch.hpp"
#include "tests/cuda/emulated.hpp"

using namespace kinglet;
using emulator::Machine;

TEST_CASE("work that is enqueued runs when somebody waits for it, so that what comes too early shows") {
  Machine machine;
  emulator::EmulatedDriver driver;
  REQUIRE(driver.open(0, nullptr) == 0);
  REQUIRE(driver.enter() == 0);
  void *device = nullptr, *pinned = nullptr;
  REQUIRE(driver.allocate(device, 8) == 0);
  REQUIRE(driver.allocate_pinned(pinned, 8) == 0);
  auto* const words = static_cast<std::uint32_t*>(pinned);
  const auto report = [&] {
    const std::string text = machine.device.reports.text();
    machine.device.reports.clear();
    return text;
  };

  words[0] = 1;
  REQUIRE(driver.upload(device, words, 4) == 0);
  words[0] = 2;  // too early: the copy takes this one
  REQUIRE(driver.download(words + 1, device, 4) == 0);
  REQUIRE(driver.set(0) == 0);
  CHECK(words[1] != 2);  // too early, too
  REQUIRE(driver.wait(0) == 0);
  CHECK(words[1] == 2);

  REQUIRE(driver.fill(device, 7, 4) == 0);
  REQUIRE(driver.download(words + 1, device, 4) == 0);
  REQUIRE(driver.wait(0) == 0);  // a mark that stands before them
  CHECK(words[1] == 2);
  bool reached = false;
  machine.slowness = 1;
  REQUIRE(driver.set(1) == 0);
  REQUIRE(driver.query(1, reached) == 0);
  CHECK_FALSE(reached);
  CHECK(words[1] == 2);
  REQUIRE(driver.query(1, reached) == 0);
  CHECK(reached);
  CHECK(words[1] == 0x07070707u);
  CHECK(report() == "");

  REQUIRE(driver.fill(device, 0, 4) == 0);
  driver.release(device);
  CHECK(report().find("cudaFree while work is enqueued") != std::string::npos);
  driver.release_pinned(pinned);
  CHECK(report().find("cudaFreeHost while work is enqueued") != std::string::npos);
  driver.leave();
  driver.close();
  CHECK(report().find("close() while work is enqueued") != std::string::npos);
}

TEST_CASE("a kernel that was not loaded, and a call without the device, are reported") {
  Machine machine;
  emulator::EmulatedDriver driver;
  REQUIRE(driver.open(0, nullptr) == 0);
  (void)driver.set(0);
  CHECK(machine.device.reports.mention("outside of enter() and leave()"));
  machine.device.reports.clear();
  REQUIRE(driver.enter() == 0);
  const cuda::MergeArgs args{};
  REQUIRE(driver.launch({cuda::KernelKind::merge, {}}, cuda::launch_merge(1, 1), &args) == 0);
  CHECK(machine.device.reports.mention("merge: a kernel that is not loaded"));
  machine.device.reports.clear();
  REQUIRE(driver.load({cuda::KernelKind::merge, {}}) == 0);
  REQUIRE(driver.launch({cuda::KernelKind::merge, {}}, cuda::launch_merge(1, 1), &args) == 0);
  CHECK(machine.device.reports.text() == "");
  machine.lost = true;  // the two launches are not to run
  driver.leave();
  driver.close();
  CHECK(machine.entered == 0);
}

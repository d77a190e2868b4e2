// With prefault a load touches what steps need: the system says so of memory that a host's allocator maps anew, and of
// the file.
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "tests/engine/tiny_engine.hpp"

using namespace kinglet;

namespace {

constexpr std::size_t page = 4096;

/// A host's allocator whose memory nobody has touched.
struct FreshMemory {
  std::map<void*, std::size_t> live;
  std::size_t used = 0, peak = 0;

  Hooks hooks() {
    Hooks h;
    h.user = this;
    h.allocate = [](void* user, std::size_t bytes, std::size_t alignment) -> void* {
      if (alignment > page) return nullptr;
      FreshMemory& self = *static_cast<FreshMemory*>(user);
      void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) return nullptr;
      (void)::madvise(memory, bytes, MADV_NOHUGEPAGE);  // one touch is one page
      self.live[memory] = bytes;
      self.used += bytes;
      self.peak = std::max(self.peak, self.used);
      return memory;
    };
    h.deallocate = [](void* user, void* memory, std::size_t bytes, std::size_t) {
      FreshMemory& self = *static_cast<FreshMemory*>(user);
      self.live.erase(memory);
      self.used -= bytes;
      ::munmap(memory, bytes);
    };
    return h;
  }

  /// Of the largest block whose size is none of `others`: its bytes, and how many of them are in memory.
  std::pair<std::size_t, std::size_t> largest(const std::set<std::size_t>& others = {}) const {
    const auto rank = [&](const auto& block) { return others.contains(block.second) ? 0 : block.second; };
    const auto block =
        std::max_element(live.begin(), live.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    REQUIRE(rank(*block) != 0);
    std::vector<unsigned char> pages((block->second + page - 1) / page);
    REQUIRE(::mincore(block->first, block->second, pages.data()) == 0);
    const auto there = std::count_if(pages.begin(), pages.end(), [](unsigned char c) { return (c & 1) != 0; });
    return {block->second, std::min(block->second, static_cast<std::size_t>(there) * page)};
  }
  std::set<std::size_t> sizes() const {
    std::set<std::size_t> all;
    for (const auto& [memory, bytes] : live) all.insert(bytes);
    return all;
  }
};

/// Bytes of a mapped file that this process has mapped pages for.
std::size_t mapped_bytes(const std::string& path) {
  std::ifstream maps("/proc/self/smaps");
  std::size_t kilobytes = 0;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ') && line.find(':') > line.find(' ')) ours = line.find(path) != std::string::npos;
    if (ours && line.rfind("Rss:", 0) == 0) kilobytes += std::stoul(line.substr(4));
  }
  return kilobytes * 1024;
}

}  // namespace

TEST_CASE("with prefault tensors that stay mapped are in memory when the load is done") {
  test::TinyShape shape;
  shape.ffn = 16384;
  const std::string bytes = test::tiny_model(shape).bytes();
  const test::TemporaryFile file(bytes);
  EngineOptions options = test::small_options();
  options.activations = Activations::fp32;
  for (const bool prefault : {false, true}) {
    CAPTURE(prefault, bytes.size());
    options.backend = "scalar";
    options.prefault = prefault;
    struct Calls {
      int made = 0, most = 1000;
    } calls;
    options.progress = [](void* user, float done) {
      Calls& c = *static_cast<Calls*>(user);
      return ++c.made < c.most && done <= 1.0f;
    };
    options.progress_user = &calls;
    auto engine = Engine::load(file.path(), options);
    INFO(engine.error().message);
    REQUIRE(engine.ok());
    if (prefault)
      CHECK(mapped_bytes(file.path()) >= bytes.size() / 10 * 9);
    else
      CHECK(mapped_bytes(file.path()) < bytes.size() / 2);
    calls = {0, calls.made};  // the last tensor is one too many
    CHECK(Engine::load(file.path(), options).error().code == Errc::cancelled);
  }
}

TEST_CASE("with prefault all of the backend's memory is there when the load is done, and no more than planned") {
  test::TinyShape shape;  // with 4,096 bytes of keys and values for each token
  shape.kv_heads = 4;
  shape.head_dim = 64;
  const test::TemporaryFile file(test::tiny_model(shape).bytes());
  EngineOptions options;
  options.backend = "scalar";
  options.max_sessions = 1;
  options.kv = KvFormat::fp32;
  const std::size_t cache = std::size_t{options.context} * 4096;

  std::vector<std::int32_t> ids[2];
  for (const bool prefault : {false, true}) {
    CAPTURE(prefault);
    FreshMemory host;
    options.prefault = prefault;
    options.hooks = host.hooks();
    options.memory_limit = 0;
    const auto plan = Engine::plan(file.path(), options);
    REQUIRE(plan.ok());
    options.memory_limit = plan->total;
    {
      auto engine = Engine::load(file.path(), options);
      INFO(engine.error().message);
      REQUIRE(engine.ok());
      CHECK(host.peak <= plan->total);
      const auto [bytes, there] = host.largest();
      CHECK(bytes > cache);
      if (prefault)
        CHECK(there == bytes);
      else
        CHECK(there < cache / 2);
      auto session = engine->open_session();
      REQUIRE(session.ok());
      ids[prefault] = test::say(*session, "a", test::answer_of(20));
    }
    CHECK(host.used == 0);
  }
  CHECK(ids[0] == ids[1]);
}

TEST_CASE("with prefault the memory of urgent sessions' plans is there when the load is done") {
  const test::TemporaryFile file(test::tiny_model().bytes());
  EngineOptions options = test::small_options();
  options.backend = "scalar";
  options.max_rows = 256;
  std::set<std::size_t> without;
  for (const bool urgent : {false, true}) {
    for (const bool prefault : {false, true}) {
      CAPTURE(urgent, prefault);
      FreshMemory host;
      options.urgent_rows = urgent ? 256 : 0;
      options.prefault = prefault;
      options.hooks = host.hooks();
      auto engine = Engine::load(file.path(), options);
      INFO(engine.error().message);
      REQUIRE(engine.ok());
      if (!urgent) {
        without = host.sizes();
        continue;
      }
      const auto [bytes, there] = host.largest(without);
      CHECK(bytes > 256 * 128 * sizeof(float));  // x, its norm, q, k and v of 256 rows
      if (prefault)
        CHECK(there == bytes);
      else
        CHECK(there < bytes / 2);
    }
  }
}

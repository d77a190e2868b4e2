// Does the library take memory behind the host's back, and does plan() say how much it takes?
//
// What does not come through Hooks::allocate comes through malloc (operator new calls it). Here malloc counts.
#include <kinglet/kinglet.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/engine/model_files.hpp"
#include "tests/sanitized.hpp"

#if defined(__GLIBC__) && !defined(KINGLET_TEST_SANITIZED)
#define KINGLET_TEST_COUNTS
#endif

namespace {

thread_local bool counting = false;
thread_local std::size_t elsewhere = 0;  // bytes that were asked for, whether or not they were given back

[[maybe_unused]] void count(std::size_t bytes) noexcept {
  if (counting) elsewhere += bytes;
}

}  // namespace

#ifdef KINGLET_TEST_COUNTS
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) noexcept {
  count(bytes);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t n, std::size_t bytes) noexcept {
  count(n * bytes);
  return __libc_calloc(n, bytes);
}
void* realloc(void* memory, std::size_t bytes) noexcept {
  count(bytes);
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  count(bytes);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) noexcept {
  count(bytes);
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
}
#endif

using namespace kinglet;

namespace {

/// Bytes of a file that are mapped, as the system says; without an allocation.
std::size_t mapped_bytes(const char* path) {
  const int maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return 0;
  static char text[1 << 20];
  std::size_t size = 0;
  for (::ssize_t n; size < sizeof text - 1 && (n = ::read(maps, text + size, sizeof text - 1 - size)) > 0;)
    size += static_cast<std::size_t>(n);
  ::close(maps);
  text[size] = '\0';
  std::size_t sum = 0;
  for (char* line = text; *line != '\0';) {
    char* const end = std::strchr(line, '\n');
    if (end == nullptr) break;
    *end = '\0';
    if (std::strstr(line, path) != nullptr) {
      char* dash = nullptr;
      const unsigned long long first = std::strtoull(line, &dash, 16);
      sum += static_cast<std::size_t>(std::strtoull(dash + 1, nullptr, 16) - first);
    }
    line = end + 1;
  }
  return sum;
}

/// A host's allocator: what is in use, and the most that ever was.
struct Host {
  const char* path = "";
  std::size_t used = 0;
  std::size_t peak = 0;
  std::size_t most = 0;  ///< of both what is in use and what is mapped, at once

  Hooks hooks() {
    Hooks hooks;
    hooks.user = this;
    hooks.allocate = [](void* user, std::size_t bytes, std::size_t alignment) -> void* {
      const bool was = counting;
      counting = false;
      void* memory = nullptr;
      if (posix_memalign(&memory, std::max(alignment, sizeof(void*)), bytes) != 0) memory = nullptr;
      counting = was;
      auto& host = *static_cast<Host*>(user);
      if (memory != nullptr) host.peak = std::max(host.peak, host.used += bytes);
      if (bytes >= 65536) host.most = std::max(host.most, host.used + mapped_bytes(host.path));
      return memory;
    };
    hooks.deallocate = [](void* user, void* memory, std::size_t bytes, std::size_t) {
      static_cast<Host*>(user)->used -= bytes;
      std::free(memory);
    };
    return hooks;
  }
};

/// Loads, opens all sessions, generates, and looks at what that took.
void check_model(const std::string& path, std::uint32_t context, FileAccess access, EngineOptions options = {}) {
  Host host;
  options.hooks = host.hooks();
  options.context = context;
  options.max_sessions = 2;
  options.file_access = access;
  const auto plan = Engine::plan(path, options);
  REQUIRE(plan.ok());
  CHECK(host.used == 0);
  host.peak = host.most = 0;
  host.path = path.c_str();

  elsewhere = 0;
  counting = true;
  std::size_t mapped = 0, after_sessions = 0;
  bool good = false;
  {
    auto engine = Engine::load(path, options);
    auto first = engine->open_session({.format = PromptFormat::text});
    auto second = engine->open_session({.format = PromptFormat::text});
    mapped = engine->memory().mapped;
    after_sessions = host.used;
    const std::vector<std::int32_t> prompt{1, 2, 3};
    GenerateOptions generate;
    generate.max_new_tokens = 5;
    generate.ignore_end = true;
    good = first->submit_tokens(prompt, generate).ok() && second->submit_tokens(prompt, generate).ok();
    while (good && first->state() == SessionState::running) good = engine->step(std::chrono::seconds(1)).ok();
  }
  counting = false;
  CHECK(good);
  CHECK(host.used == 0);

  host.most = std::max(host.most, mapped + host.peak);
  CAPTURE(path, plan->total, mapped, after_sessions, host.peak, host.most, elsewhere);
  // Never below what is in use; within 1 % of the most that was.
  CHECK(plan->total >= mapped + after_sessions);
  CHECK(plan->total >= mapped + host.peak);
  CHECK(static_cast<double>(plan->total) <= 1.01 * static_cast<double>(host.most));
#ifdef KINGLET_TEST_COUNTS
  CHECK(elsewhere <= 64 * 1024);
#else
  test::skip("bytes past the host's allocator", "glibc's malloc without a sanitizer");
#endif
}

}  // namespace

TEST_CASE("all memory comes from the host's allocator, and plan() foretells it") {
  check_model(test::fixture("model/fixtures/llama-gqa-tied.gguf"), 256, FileAccess::map);
  check_model(test::fixture("model/fixtures/qwen3.gguf"), 64, FileAccess::copy);
  check_model(test::fixture("golden/models/q4.gguf"), 512, FileAccess::map);
}

TEST_CASE("all memory of quantized and packed models comes from the host's allocator") {
  for (const test::Variant& variant : test::variants()) {
    const test::TemporaryFile file(variant.bytes);
    check_model(file.path(), 256, FileAccess::map, variant.options);
    check_model(file.path(), 64, FileAccess::copy, variant.options);
  }
}

TEST_CASE("all memory of a real model comes from the host's allocator, and plan() foretells it", "[slow]") {
  const std::string path = test::model_cache(test::smollm2);
  if (path.empty()) return test::skip("the memory of a real model", test::smollm2);
  check_model(path, 2048, FileAccess::map);
  check_model(path, 512, FileAccess::copy);
  EngineOptions options;
  options.threads = 2;
  options.output_weights = quant::Format::q4_0;
  check_model(path, 512, FileAccess::map, options);
}

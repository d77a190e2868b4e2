// tests/data.hpp: where is the data that is not in the repository?
//
// Both functions give "" where the file is missing; the test then calls skip() and returns, so that what was not
// tested is visible in its output and can be counted.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace kinglet::test {

/// The path of a file under $KINGLET_TEST_DATA (default: ../shared beside the source folder), or "".
inline std::string data(const std::string& relative) {
  const char* root = std::getenv("KINGLET_TEST_DATA");
  const std::filesystem::path path =
      (root != nullptr ? std::filesystem::path(root) : std::filesystem::path(KINGLET_SOURCE_DIR) / ".." / "shared") /
      relative;
  return std::filesystem::exists(path) ? path.string() : std::string();
}

/// The path of a model in $KINGLET_CACHE (default: ~/.cache/kinglet), or "".
inline std::string model_cache(const std::string& name) {
  const char* root = std::getenv("KINGLET_CACHE");
  const char* home = std::getenv("HOME");
  const std::filesystem::path path =
      (root != nullptr ? std::filesystem::path(root)
                       : std::filesystem::path(home != nullptr ? home : "/root") / ".cache" / "kinglet") /
      name;
  return std::filesystem::exists(path) ? path.string() : std::string();
}

inline constexpr const char* smollm2 = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// A fixture that is committed with the tests.
inline std::string fixture(const std::string& relative) {
  return (std::filesystem::path(KINGLET_SOURCE_DIR) / "tests" / relative).string();
}

/// Says on stdout that a test was skipped, and for want of what: the name of a file as data() or model_cache() takes it
/// (and of no file that is there, which .ci/skipped calls a failure), or in words.
inline void skip(const char* what, const char* needs) { std::printf("SKIPPED: %s (needs %s)\n", what, needs); }

}  // namespace kinglet::test

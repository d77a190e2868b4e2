// tests/cli/command.hpp: how does a test run the command, and look at what it said?
#pragma once
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/catch.hpp"
#include "tests/data.hpp"

namespace kinglet::cli_test {

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

inline std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// A folder that goes with the test.
struct Folder {
  std::string path;
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kinglet-test-XXXXXX").string();
    path = mkdtemp(pattern.data()) != nullptr ? pattern : ".";
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

/// Runs a shell line; `kinglet` in it is the command.
inline Ran shell(const Folder& folder, const std::string& line) {
  const std::string out = folder / "stdout";
  const std::string err = folder / "stderr";
  const std::string whole = "kinglet() { '" KINGLET_COMMAND "' \"$@\"; }; { " + line + "; } >" + out + " 2>" + err;
  Ran ran;
  const int status = std::system(whole.c_str());
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ran.out = slurp(out);
  ran.err = slurp(err);
  return ran;
}

/// Runs kinglet with no input.
inline Ran kinglet_command(const Folder& folder, const std::string& arguments) {
  return shell(folder, "kinglet " + arguments + " </dev/null");
}

inline void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The number after "key": in flat JSON, or NaN.
inline double number(const std::string& json, const std::string& key) {
  const std::size_t at = json.find('"' + key + "\":");
  return at == std::string::npos ? std::nan("") : std::strtod(json.c_str() + at + key.size() + 3, nullptr);
}

/// One line on stderr that starts with the command's name and holds `part`; nothing on stdout.
inline void check_error(const Ran& ran, int code, const std::string& part) {
  INFO(ran.err);
  CHECK(ran.code == code);
  CHECK(has(ran.err, part));
  CHECK(ran.err.substr(0, 9) == "kinglet: ");
  CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') == 1);
  CHECK(ran.out.empty());
}

/// `bench` came to its end. On a busy machine it may say, behind its results, that a limit was measured too low.
inline bool measured(const Ran& ran) {
  return ran.code == 0 || (ran.code == 1 && has(ran.err, "run it again on a quiet machine"));
}

inline std::string quoted(const std::string& path) { return "'" + path + "'"; }

inline std::string small_model() { return quoted(test::fixture("model/fixtures/llama-gqa-tied.gguf")); }

}  // namespace kinglet::cli_test

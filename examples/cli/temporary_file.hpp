// examples/cli/temporary_file.hpp: where is a model that is made for one command?
#pragma once
#include <unistd.h>

#include <filesystem>
#include <string>

#include <fmt/format.h>

namespace kinglet::cli {

/// A name in the system's folder for such files; what stands there goes with it.
struct TemporaryFile {
  std::string path = (std::filesystem::temp_directory_path() / fmt::format("kinglet-{}.gguf", getpid())).string();

  TemporaryFile() = default;
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

}  // namespace kinglet::cli

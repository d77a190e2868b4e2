// examples/cli/temporary_file.hpp: where is a model that is made for one command?
#pragma once
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "failure.hpp"

namespace kinglet::cli {

/// A name in a folder of its own, where nobody else can put a file; what stands there goes with it.
struct TemporaryFile {
  std::string folder = (std::filesystem::temp_directory_path() / "kinglet-XXXXXX").string();
  std::string path;

  TemporaryFile() {
    if (mkdtemp(folder.data()) == nullptr)
      bad_input("'{}' cannot be made: {}; let TMPDIR name another place", folder, std::strerror(errno));
    path = folder + "/model.gguf";
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
};

}  // namespace kinglet::cli

#include "output_file.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "json_line.hpp"

namespace kinglet::cli {

OutputFile::OutputFile(const std::string& path)
    : path_(path), part_(path + ".part"), file_(nullptr, [](std::FILE* f) { return std::fclose(f); }) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) bad_input("'{}' is a directory; name a file", path);
  file_.reset(std::fopen(part_.c_str(), "wb"));
  if (!file_) bad_input("cannot write '{}': {}; name another place", path, std::strerror(errno));
}

OutputFile::~OutputFile() {
  if (!file_) return;
  file_.reset();
  std::error_code ignored;
  std::filesystem::remove(part_, ignored);
}

model::ByteSink OutputFile::sink() noexcept {
  return {file_.get(), [](void* user, const std::byte* data, std::size_t bytes) {
            return std::fwrite(data, 1, bytes, static_cast<std::FILE*>(user)) == bytes;
          }};
}

void OutputFile::done() {
  const bool closed = std::fclose(file_.release()) == 0;
  std::error_code error;
  if (closed) std::filesystem::rename(part_, path_, error);
  if (closed && !error) return;
  std::error_code ignored;
  std::filesystem::remove(part_, ignored);
  bad_input("'{}' could not be written; is the disk full?", path_);
}

void report_interrupted(const std::string& path, bool json) {
  if (json) print_line({{"path", path}, {"bytes", 0}, {"interrupted", true}});
}

}  // namespace kinglet::cli

// examples/cli/output_file.hpp: how is a large file written, so that a half-written one is never taken for a model?
#pragma once
#include <cstdio>
#include <memory>
#include <string>

#include <kinglet/model/gguf_writer.hpp>

namespace kinglet::cli {

/// Writes PATH.part, and renames it to PATH in done(); removes it where done() was not reached.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  model::ByteSink sink() noexcept;
  void done();

 private:
  std::string path_;
  std::string part_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

/// What there is where Ctrl-C ended the writing: with `json` the path, 0 bytes and "interrupted".
void report_interrupted(const std::string& path, bool json);

}  // namespace kinglet::cli

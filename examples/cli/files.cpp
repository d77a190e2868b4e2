#include "files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include <kinglet/core/memory.hpp>
#include <kinglet/model/config.hpp>
#include <kinglet/model/gguf.hpp>

#include "failure.hpp"
#include "input.hpp"
#include "interrupt.hpp"
#include "progress.hpp"
#include "sha256.hpp"

namespace kinglet::cli {
namespace {

constexpr const char* default_model = "SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr const char* default_sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) bad_input("'{}' is a directory; name a file", path);
  File file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) bad_input("cannot open '{}': {}; check the path", path, std::strerror(errno));
  return file;
}

std::filesystem::path cache() {
  if (const char* cache = std::getenv("KINGLET_CACHE"); cache != nullptr && *cache != '\0') return cache;
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr ? home : ".") / ".cache" / "kinglet";
}

/// Bytes of a UTF-8 character that starts at `at`, or 0.
std::size_t character(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const unsigned first = byte(0);
  if (first < 0x80) return first != 0 ? 1 : 0;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const unsigned second = byte(1);
  const bool wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                     (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return wrong ? 0 : length;
}

/// Why a load failed, as far as the command line can help it.
[[noreturn]] void cannot_load(const std::string& path, EngineOptions options, const Error& error) {
  if (error.code == Errc::cancelled) end_interrupted();
  if (error.code == Errc::invalid_argument) bad_usage("{}", in_words(error, path));
  if (error.code != Errc::out_of_memory) bad_input("{}", in_words(error, path));
  options.progress = nullptr;
  const Result<MemoryPlan> plan = Engine::plan(path, options);
  if (!plan) bad_input("{}", in_words(error, path));
  check_limit(path, plan->total, options.memory_limit);
  bad_input(
      "{}: with these options it takes {} bytes, more than the system gives; lower --ctx, or take a smaller model",
      path, plan->total);
}

}  // namespace

std::string model_path(const std::string& given) {
  if (!given.empty()) return given;
  const std::string path = (cache() / default_model).string();
  if (!std::filesystem::exists(path))
    bad_input("no model: {} is not there; run 'bash examples/run.sh' to fetch it, or name one with -m MODEL", path);
  const std::string hash = sha256_of_file(path);
  if (interrupted()) end_interrupted();
  if (hash.empty()) bad_input("{}: cannot be read; check its permissions", path);
  if (hash != default_sha256)
    bad_input("{}: SHA-256 is {} and should be {}; delete the file and run 'bash examples/run.sh'", path, hash,
              default_sha256);
  return path;
}

std::uint32_t fitting_context(const std::string& path, const ModelFlags& flags) {
  if (flags.context_given) return flags.context;
  core::Memory memory;
  const model::Gguf file = take(model::Gguf::open(path, memory), path);
  const Result<model::ModelConfig> config = model::read_config(file);
  const std::uint32_t trained = config ? config->trained_context : 0;  // what else is wrong, load() says
  return trained != 0 ? std::min(flags.context, trained) : flags.context;
}

Engine load_engine(const std::string& path, EngineOptions options) {
  Progress bar("loading");
  options.progress = [](void* user, float done) {
    static_cast<Progress*>(user)->show(static_cast<double>(done));
    return !interrupted();
  };
  options.progress_user = &bar;
  Result<Engine> engine = Engine::load(path, options);
  bar.clear();
  if (!engine) cannot_load(path, options, engine.error());
  return std::move(engine).value();
}

void check_limit(const std::string& path, std::uint64_t bytes, std::uint64_t limit) {
  if (limit != 0 && bytes > limit)
    bad_input("{}: with these options it takes {} bytes, above --memory-limit {}; raise that, or lower --ctx", path,
              bytes, limit);
}

std::string read_all(const std::string& path) {
  std::string text;
  std::array<char, 1 << 16> buffer;
  if (path == "-") {
    while (const std::size_t n = read_stdin(buffer.data(), buffer.size())) text.append(buffer.data(), n);
    if (interrupted()) end_interrupted();
    return text;
  }
  const File file = open_file(path);
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), file.get())) text.append(buffer.data(), n);
  if (interrupted()) end_interrupted();
  if (std::ferror(file.get()) != 0) bad_input("cannot read '{}': {}", path, std::strerror(errno));
  return text;
}

std::string read_text(const std::string& path) {
  std::string text = read_all(path);
  if (const std::size_t at = not_text(text); at != std::string::npos)
    bad_input("{}: not UTF-8 text (byte {:#04x} at offset {}); convert it to UTF-8 first", path == "-" ? "stdin" : path,
              static_cast<unsigned char>(text[at]), at);
  return text;
}

void check_system(const std::string& system) {
  if (const std::size_t at = not_text(system); at != std::string::npos)
    bad_input("--system: not UTF-8 text (at byte {}); convert it to UTF-8 first", at);
}

std::size_t not_text(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = character(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

}  // namespace kinglet::cli

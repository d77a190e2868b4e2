// examples/cli/files.hpp: where is the model, and is this text a text?
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <kinglet/engine.hpp>

#include "options.hpp"

namespace kinglet::cli {

/// The model's path: the one given, or SmolLM2 in the cache ($KINGLET_CACHE, else ~/.cache/kinglet), whose SHA-256 is
/// checked.
std::string model_path(const std::string& given);

/// `context`, or the length the model was trained for where that is less and the user gave none.
std::uint32_t fitting_context(const std::string& path, const ModelFlags& flags);

/// Loads with a progress bar; Ctrl-C ends it.
Engine load_engine(const std::string& path, EngineOptions options);

/// Fails where a model takes more than --memory-limit (0 = none) allows.
/// @param bytes  that it takes
void check_limit(const std::string& path, std::uint64_t bytes, std::uint64_t limit);

/// A whole file, or stdin for "-".
std::string read_all(const std::string& path);
/// The same; fails where it is not UTF-8 text.
std::string read_text(const std::string& path);
/// Fails where a system message is not UTF-8 text.
void check_system(const std::string& system);
/// The first byte that is not UTF-8 text (a NUL counts as none), or npos.
std::size_t not_text(std::string_view text);

}  // namespace kinglet::cli

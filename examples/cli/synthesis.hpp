// examples/cli/synthesis.hpp: how does a model with random weights come to be?
#pragma once
#include <cstdint>
#include <string>

#include <kinglet/quant/format.hpp>

namespace kinglet::cli {

/// Writes a GGUF file of a shape, a row at a time. Fails on an unknown shape, on types that do not fit it, and where
/// the file cannot be written. Ctrl-C removes the unfinished file.
/// @param output  type of the output layer, or "" for output_format()
void synthesize(const std::string& shape, const std::string& path, quant::Format weights, const std::string& output,
                std::uint64_t seed);

/// The same file with a hole (zeros that take no room on the disk) where its weights would be.
void synthesize_hollow(const std::string& shape, const std::string& path, quant::Format weights,
                       const std::string& output, std::uint64_t seed);

}  // namespace kinglet::cli

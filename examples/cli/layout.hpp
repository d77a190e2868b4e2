// examples/cli/layout.hpp: which tensors does a model of some shape have, and in which formats?
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <kinglet/quant/format.hpp>

#include "shapes.hpp"

namespace kinglet::cli {

/// A tensor that is to be made.
struct TensorPlan {
  std::string name;
  std::uint64_t rows = 0;  ///< 0: a vector of `cols`
  std::uint64_t cols = 0;
  quant::Format format = quant::Format::f32;
  float mean = 0.0f;
  float deviation = 0.0f;  ///< keeps activations near 1 and the residual stream bounded

  std::uint64_t elements() const { return rows == 0 ? cols : rows * cols; }
  std::uint64_t bytes() const { return quant::format_bytes(format, elements()); }
};

/// "f32", "f16" or "fp16", "bf16", "q8_0" or "int8", "q4_0" or "int4", "q6_k". Fails (bad usage) on another name.
/// @param option  named in the message
quant::Format parse_type(const std::string& name, const char* option);

/// The format of an output layer of `cols` inputs beside weights in `weights`, as llama.cpp's quantizer chooses: Q6_K
/// (or Q8_0 where cols % 256 is not 0) beside Q4_0, else the same.
quant::Format output_format(quant::Format weights, std::uint64_t cols);

/// GGUF's number for a file whose weights are mostly in this format (general.file_type).
std::uint32_t file_type(quant::Format weights);

/// In the order of the file.
std::vector<TensorPlan> tensors_of(const Shape& shape, quant::Format weights, quant::Format output);

}  // namespace kinglet::cli

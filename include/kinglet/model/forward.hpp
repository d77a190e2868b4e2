// kinglet/model/forward.hpp: which operations make a forward pass of a model?
//
// embed, then per layer attention_input, attention, project, gate_up, down, then output (docs/numbers.md, "A layer").
#pragma once
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <vector>

#include <kinglet/core/config.hpp>
#include <kinglet/core/memory.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/model/config.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/model/weights.hpp>
#include <kinglet/ops/backend.hpp>

namespace kinglet::model {

/// The turn of each pair of channels from one position to the next.
/// @param out  [rotary_dim / 2]
/// bad_format: the factors' tensor is malformed; out_of_memory.
KINGLET_API Status read_rotary_steps(Gguf& file, const ModelConfig& config,
                                     std::pmr::vector<std::uint64_t>& out) noexcept;

/// A model's operations. They point into the file, into the vectors beside them and into what the backend placed.
struct Forward {
  explicit Forward(std::pmr::memory_resource* memory) : ops(memory), importance(memory), output_strips(memory) {}
  std::pmr::vector<ops::Op> ops;
  std::pmr::vector<float> importance;         ///< of all products' channels, for the gate; empty without one
  std::pmr::vector<StripLine> output_strips;  ///< of a re-quantized output layer that the backend reads here
};

struct ForwardOptions {
  float gate = 0.0f;                            ///< > 0: the channels' importance is computed, which reads all weights
  std::optional<quant::Format> output_weights;  ///< re-quantizes the output layer; Q4_0 or Q8_0
  bool (*progress)(void* user, float done) = nullptr;  ///< as in EngineOptions
  void* progress_user = nullptr;
};

/// The tensor that is the output layer: that of the embedding where the file has no other. Null: it has none.
KINGLET_API const TensorInfo* output_tensor(const Gguf& file) noexcept;
/// Is the output layer re-quantized, because it is in another format than is asked for?
KINGLET_API bool requantizes_output(const Gguf& file, std::optional<quant::Format> asked) noexcept;

/// Finds, checks and places all weights. Without a backend in `placement` everything is checked and allocated, but
/// nothing computed. bad_format, unsupported: a tensor (the message names it); cancelled: by `progress`; out_of_memory;
/// backend.
KINGLET_API Status build_forward(Gguf& file, const ModelConfig& config, const ForwardOptions& options,
                                 Placement& placement, Forward& out) noexcept;

}  // namespace kinglet::model

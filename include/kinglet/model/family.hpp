// kinglet/model/family.hpp: what does one family of models do differently from the others?
//
// All families here are decoders of the same plan (model/forward.hpp). A family is a short file,
// src/model/family_*.cpp, that says where it departs from it; a new one is such a file and a line in families().
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/model/config.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/model/weights.hpp>
#include <kinglet/ops/backend.hpp>
#include <kinglet/ops/rope.hpp>

namespace kinglet::model {

struct Family {
  const char* name;  ///< general.architecture
  ops::RotaryPairs rotary_pairs;
  /// The tensor [rotary_dim / 2] that divides each pair's frequency, if the file has it; null = the family has none.
  const char* rotary_factors;
  /// What a layer's attention_input has beyond the shared norm and matrices; null = nothing.
  Status (*attention_input)(const Weights& weights, const ModelConfig& config, std::uint32_t layer,
                            ops::Op& op) noexcept;
};

/// Those this build knows.
std::span<const Family* const> families() noexcept;
/// null: no such family.
const Family* find_family(std::string_view name) noexcept;

extern const Family llama_family;
extern const Family qwen2_family;
extern const Family qwen3_family;

}  // namespace kinglet::model

// engine/shape.cpp: which numbers of the model and the options make up a backend's shape?
#include "engine/shape.hpp"

#include <algorithm>

namespace kinglet::engine {

ops::ContextShape shape_of(const EngineState& state) noexcept {
  const model::ModelConfig& config = state.config;
  const EngineOptions& options = state.options;
  ops::ContextShape shape;
  shape.dim = config.dim;
  shape.layers = config.layers;
  shape.heads = config.heads;
  shape.kv_heads = config.kv_heads;
  shape.head_dim = config.head_dim;
  shape.ffn = config.ffn;
  shape.vocab = config.vocab;
  shape.norm_eps = config.norm_eps;
  shape.rotary_pairs = config.rotary_pairs;
  shape.rotary_steps = state.rotary_steps;
  shape.activations = options.activations;
  shape.kv = options.kv;
  shape.scores = options.scores;
  shape.bits = options.bits;
  shape.window = options.window;
  shape.globals = options.globals;
  shape.gate = options.gate;
  shape.max_rows = options.max_rows;
  shape.max_logits = options.max_logits;
  shape.max_sequences = std::min({options.max_sessions, options.max_rows, batch::most_sequences});
  shape.pages = static_cast<std::uint32_t>((options.kv_tokens + kv::page_size - 1) / kv::page_size);
  shape.threads = options.threads;
  shape.prefault = options.prefault;
  shape.stream = options.stream;
  shape.device = options.device < 0 ? 0 : static_cast<std::uint32_t>(options.device);
  return shape;
}

ops::ContextShape urgent_shape_of(const EngineState& state) noexcept {
  ops::ContextShape shape = shape_of(state);
  shape.max_rows = state.options.urgent_rows;
  shape.max_sequences = std::min(shape.max_sequences, shape.max_rows);
  shape.max_logits = std::min(shape.max_logits, shape.max_rows);
  return shape;
}

}  // namespace kinglet::engine

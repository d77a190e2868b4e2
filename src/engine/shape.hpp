// engine/shape.hpp: how large is what an engine asks of a backend?
#pragma once
#include "engine/state.hpp"

namespace kinglet::engine {

ops::ContextShape shape_of(const EngineState& state) noexcept;
/// That of the plans of urgent sessions.
ops::ContextShape urgent_shape_of(const EngineState& state) noexcept;

}  // namespace kinglet::engine

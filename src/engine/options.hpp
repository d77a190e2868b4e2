// engine/options.hpp: which options make sense, and which backend do they name?
#pragma once
#include <string_view>

#include <kinglet/options.hpp>

namespace kinglet::engine {

/// invalid_argument: an option out of its range, or two that do not go together.
Status check_options(const EngineOptions& options) noexcept;

/// The backend of that name; for "" the one that KINGLET_BACKEND names, else the best. Errors as ops::find_backend().
Result<const ops::BackendInfo*> choose_backend(std::string_view name) noexcept;

}  // namespace kinglet::engine

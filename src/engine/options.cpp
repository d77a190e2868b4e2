// engine/options.cpp: which options make sense, and which backend do they name?
#include "engine/options.hpp"

#include <cstdlib>

#include <kinglet/kv/page_table.hpp>

#include "core/fail.hpp"

namespace kinglet::engine {
namespace {

constexpr std::uint32_t max_context = 1u << 24, max_sessions = 1024, max_rows = 4096;
constexpr unsigned max_threads = 256;

Status in_range(const char* what, std::uint64_t value, std::uint64_t low, std::uint64_t high) noexcept {
  if (value >= low && value <= high) return {};
  return core::fail(Errc::invalid_argument, "EngineOptions::{} is {}; expected {} to {}", what, value, low, high);
}

}  // namespace

Status check_options(const EngineOptions& o) noexcept {
  if (const Status s = in_range("threads", o.threads, 1, max_threads); !s) return s;
  if (const Status s = in_range("context", o.context, 1, max_context); !s) return s;
  if (const Status s = in_range("max_sessions", o.max_sessions, 1, max_sessions); !s) return s;
  if (const Status s = in_range("max_rows", o.max_rows, 1, max_rows); !s) return s;
  if (o.max_logits != 0) {
    if (const Status s = in_range("max_logits", o.max_logits, 1, o.max_rows); !s) return s;
  }
  if (const Status s = in_range("urgent_rows", o.urgent_rows, 0, o.max_rows); !s) return s;
  if (const Status s = in_range("kv_tokens", o.kv_tokens, 0, (std::uint64_t{1} << 32) * kv::page_size - kv::page_size);
      !s)
    return s;
  if (o.activations > Activations::fp8 || o.kv > KvFormat::fp32 || o.scores > ScoreFormat::fp32 ||
      o.bits > Bits::device || o.file_access > FileAccess::copy) {
    return Error{Errc::invalid_argument,
                 "EngineOptions: activations, kv, scores, bits or file_access is no value of its enumeration"};
  }
  if (o.device < -1 || o.gpu_layers < -1) {
    return core::fail(Errc::invalid_argument, "EngineOptions::{} is {}; expected -1 or more",
                      o.device < -1 ? "device" : "gpu_layers", o.device < -1 ? o.device : o.gpu_layers);
  }
  if (!(o.gate >= 0.0f && o.gate < 1.0f)) {
    return core::fail(Errc::invalid_argument, "EngineOptions::gate is {}; expected 0 or more and below 1", o.gate);
  }
  if (o.output_weights && *o.output_weights != quant::Format::q4_0 && *o.output_weights != quant::Format::q8_0) {
    return Error{Errc::invalid_argument, "EngineOptions::output_weights is neither Q4_0 nor Q8_0"};
  }
  if (o.globals != 0 && o.window == 0) {
    return Error{Errc::invalid_argument, "EngineOptions::globals needs a window"};
  }
  if ((o.hooks.allocate == nullptr) != (o.hooks.deallocate == nullptr)) {
    return Error{Errc::invalid_argument, "Hooks: set both allocate and deallocate, or neither"};
  }
  return {};
}

// The only place that reads the environment: KINGLET_BACKEND, where no name is given.
Result<const ops::BackendInfo*> choose_backend(std::string_view name) noexcept {
  if (name.empty()) {
    const char* const forced = std::getenv("KINGLET_BACKEND");
    return ops::find_backend(forced != nullptr ? forced : "");
  }
  char text[32];
  if (name.size() >= sizeof text) return core::fail(Errc::not_found, "there is no backend \"{:.60}\"", name);
  name.copy(text, name.size());
  text[name.size()] = '\0';
  return ops::find_backend(text);
}

}  // namespace kinglet::engine

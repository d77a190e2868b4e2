// engine/load.cpp: how does an engine come into being, and how much memory is that?
#include <algorithm>
#include <new>

#include <kinglet/core/float_env.hpp>
#include <kinglet/model/vocabulary.hpp>

#include "core/fail.hpp"
#include "engine/gpu_layers.hpp"
#include "engine/options.hpp"
#include "engine/shape.hpp"
#include "engine/state.hpp"

namespace kinglet::engine {
namespace {

/// Bytes for what a submit needs in passing: a rendered prompt and what the template held meanwhile, its tokens.
constexpr std::size_t scratch_base = 256 << 10, scratch_per_token = 64;

/// Loads into a fresh state.
class Loader {
 public:
  /// @param plan  not null: no weights are read and the backend's memory is only counted; filled in
  Loader(EngineState& state, const EngineOptions& options, MemoryPlan* plan) noexcept
      : state_(state), options_(options), plan_(plan) {}

  Status all(std::string_view path, std::span<const std::byte> bytes, const ops::BackendInfo& backend) {
    if (const Status s = progress(0.0f); !s) return s;
    if (const Status s = open_file(path, bytes); !s) return s;
    if (const Status s = open_text(); !s) return s;
    if (const Status s = progress(0.1f); !s) return s;
    if (const Status s = open_backend(backend); !s) return s;
    if (const Status s = progress(0.2f); !s) return s;
    if (const Status s = build(); !s) return s;
    if (const Status s = reserve(); !s) return s;
    if (const Status s = prefault(); !s) return s;
    if (const Status s = count(); !s) return s;
    return state_.file.unchanged();  // what was computed from the file, and copied, is of one file
  }

 private:
  /// Tells the host, in whose callback anything may have happened.
  Status progress(float done) const noexcept {
    if (plan_ == nullptr && options_.progress != nullptr && !options_.progress(options_.progress_user, done)) {
      return Error{Errc::cancelled, "the load was cancelled"};
    }
    return state_.file.unchanged();
  }

  Status open_file(std::string_view path, std::span<const std::byte> bytes) {
    // A plan maps the file in any case; a copy takes the same bytes.
    const FileAccess access = plan_ != nullptr ? FileAccess::map : options_.file_access;
    auto file = bytes.data() != nullptr ? model::Gguf::from_memory(bytes, state_.memory)
                                        : model::Gguf::open(path, state_.memory, access);
    if (!file) return file.error();
    state_.file = std::move(*file);
    if (bytes.data() == nullptr) weights_ = state_.file.bytes();
    if (bytes.data() == nullptr && access == FileAccess::map) state_.mapped = weights_;
    auto config = model::read_config(state_.file);
    if (!config) return config.error();
    state_.config = *config;
    if (options_.context > config->trained_context && plan_ == nullptr) {
      const Error text =
          core::fail(Errc::ok, "a context of {} tokens, but the model was trained for {}: expect worse text beyond",
                     options_.context, config->trained_context);
      state_.log(LogLevel::warning, text.message);
    }
    return {};
  }

  Status open_text() {
    const std::size_t before = state_.memory.used();
    auto tokenizer = model::load_tokenizer(state_.file, options_.pre_tokenizer, &state_.memory);
    if (!tokenizer) return tokenizer.error();
    state_.tokenizer = std::move(*tokenizer);
    if (static_cast<std::uint32_t>(state_.tokenizer.size()) != state_.config.vocab) {
      return core::fail(Errc::bad_format, "{} pieces in the vocabulary, but token_embd.weight has {} rows",
                        state_.tokenizer.size(), state_.config.vocab);
    }
    if (const auto source = state_.file.get_string("tokenizer.chat_template")) {
      auto parsed = text::ChatTemplate::parse(*source, &state_.scratch);
      if (parsed) {
        state_.chat_template = std::move(*parsed);
      } else if (parsed.error().code == Errc::out_of_memory) {
        return parsed.error();
      } else {
        state_.template_error = parsed.error();
        state_.log(LogLevel::warning, parsed.error().message);
      }
      state_.has_template = true;
    }
    vocabulary_ = state_.memory.used() - before;
    state_.file.trim();
    state_.scratch.reserve(scratch_base + scratch_per_token * options_.context);
    return {};
  }

  Status open_backend(const ops::BackendInfo& backend) {
    if (const Status s = model::read_rotary_steps(state_.file, state_.config, state_.rotary_steps); !s) return s;
    ops::ContextShape shape = shape_of(state_);
    std::pmr::vector<std::span<const std::byte>> parts(&state_.memory);
    const Status lends = lends_file(options_, backend, shape, state_.file, parts);
    shape.lent = lends.ok();
    log_copied(lends.error());
    const auto on_gpu = choose_gpu_layers(options_, backend, shape, state_.file);
    if (!on_gpu) return on_gpu.error();
    cut_ = shape.layers - *on_gpu;
    shape.lent = shape.lent && cut_ == 0;  // what the CPU packs is given back to the system, which lent pages are not
    const model::TensorInfo* const unread = last_unread(backend, state_.file);
    if (unread != nullptr && plan_ == nullptr) {
      state_.log(LogLevel::warning,
                 core::fail(Errc::ok,
                            "tensor {:.64} is in an order that backend {} does not read: it stays on the CPU, and so "
                            "does what comes before it; the original file has no such tensors",
                            unread->name, backend.name)
                     .message);
    }
    if (backend.gpu && *on_gpu < shape.layers && plan_ == nullptr) {
      state_.log(
          LogLevel::warning,
          core::fail(Errc::ok, "{} of {} layers on the GPU, the others on the CPU", *on_gpu, shape.layers).message);
    }
    std::size_t bytes = 0;
    if (!backend.gpu || *on_gpu == 0 || cut_ == 0) {
      place_.info = backend.gpu && *on_gpu == 0 ? *ops::find_backend("") : &backend;
      place_.shape = shape;
      cut_ = 0;
      if (const Status s = open_part(place_, state_.parts[0], bytes); !s) return s;
      if (shape.lent && place_.backend != nullptr) {
        const Status lent = place_.backend->lend(parts);
        place_.shape.lent = lent.ok();
        log_copied(lent.error());
      }
    } else {
      place_.info = &backend;
      place_.shape = ops::SplitBackend::last_shape(shape, cut_);
      if (const Status s = open_part(place_, state_.parts[0], bytes); !s) return s;
      place_.first.info = *ops::find_backend("");
      place_.first.shape = ops::SplitBackend::first_shape(shape, cut_);
      place_.first_layers = cut_;
      if (const Status s = open_part(place_.first, state_.parts[1], bytes); !s) return s;
      bytes += ops::SplitBackend::bytes(shape);
      if (plan_ != nullptr) {
        if (!state_.memory.reserve(ops::SplitBackend::bytes(shape))) return core::out_of_memory();
      } else {
        state_.split.emplace(*place_.first.backend, *place_.backend, shape, cut_, &state_.memory);
      }
    }
    state_.backend = state_.split ? &*state_.split : place_.backend;
    cache_ = shape.page_bytes() * shape.pages;
    activations_ = bytes - cache_;
    return options_.urgent_rows != 0 ? open_beside() : Status();
  }

  /// Says why the weights are not read where they lie, where the device might.
  void log_copied(const Error& why) const noexcept {
    if (!why || why.code == Errc::unsupported || plan_ != nullptr) return;
    state_.log(
        LogLevel::warning,
        core::fail(Errc::ok, "the GPU reads copies of the weights, not the mapped file: {}", why.message).message);
  }

  /// Makes the backend of urgent sessions' plans, or counts what it would take.
  Status open_beside() {
    const ops::BackendInfo& info = *place_.info;
    if (info.create_beside == nullptr || place_.first.info != nullptr) {
      return core::fail(
          Errc::unsupported,
          "EngineOptions::urgent_rows: the backend {} enqueues a whole operation and cannot stop its work "
          "for an urgent session; leave it 0, or choose a CPU backend",
          info.name);
    }
    const ops::ContextShape shape = urgent_shape_of(state_);
    const std::size_t bytes = info.bytes_beside(shape);
    if (bytes == 0) return core::out_of_memory();
    activations_ += bytes;
    if (plan_ != nullptr) return state_.memory.reserve(bytes) ? Status() : Status(core::out_of_memory());
    const auto made = info.create_beside(*place_.backend, shape, state_.memory);
    if (!made) return made.error();
    state_.beside = {&info, *made};
    return {};
  }

  /// Makes a backend, or counts what it would take.
  Status open_part(model::Place& place, EngineState::Part& part, std::size_t& total) {
    const std::size_t bytes = place.info->bytes(place.shape);
    if (bytes == 0) return core::out_of_memory();
    total += bytes;
    if (plan_ != nullptr) return state_.memory.reserve(bytes) ? Status() : Status(core::out_of_memory());
    const auto made = place.info->create(place.shape, state_.hooks, state_.memory);
    if (!made) return made.error();
    place.backend = *made;
    part = {place.info, *made};
    return {};
  }

  /// Has the backend take all its memory for weights at once.
  Status reserve_weights(model::Placement placement, const model::ForwardOptions& options) {
    model::ForwardOptions forward;
    forward.output_weights = options.output_weights;
    core::Memory uncounted(options_.hooks);
    model::Forward nowhere(&uncounted);
    placement.backend = placement.first.backend = nullptr;
    placement.memory = &uncounted;
    placement.discard = false;
    const Status counted = model::build_forward(state_.file, state_.config, forward, placement, nowhere);
    if (!counted) return counted;
    if (place_.first.backend != nullptr) {
      if (const Status s = place_.first.backend->reserve(placement.first_bytes); !s) return s;
    }
    return place_.backend->reserve(placement.bytes - placement.first_bytes);
  }

  Status build() {
    struct Part {
      const EngineOptions& options;
      static bool call(void* user, float done) {
        const EngineOptions& o = static_cast<Part*>(user)->options;
        return o.progress(o.progress_user, 0.2f + 0.8f * done);
      }
    } part{options_};
    model::ForwardOptions forward;
    forward.gate = options_.gate;
    forward.output_weights = options_.output_weights;
    if (plan_ == nullptr && options_.progress != nullptr) {
      forward.progress = Part::call;
      forward.progress_user = &part;
    }
    model::Placement& placement = place_;
    placement.memory = &state_.memory;
    placement.discard = state_.file.mapped() && options_.file_access == FileAccess::map && !place_.shape.lent;
    if (state_.backend != nullptr) {
      if (const Status reserved = reserve_weights(placement, forward); !reserved) return reserved;
    }
    const Status built = model::build_forward(state_.file, state_.config, forward, placement, state_.forward);
    if (!built) return built;
    if (placement.discard) weights_ = state_.mapped = state_.file.mapped_bytes();
    weights_ += placement.bytes + placement.requantized_bytes;
    return {};
  }

  /// What steps will read of a mapped file.
  Status prefault() {
    if (!options_.prefault || plan_ != nullptr) return {};
    for (const model::TensorInfo& tensor : state_.file.tensors()) {
      state_.file.prefault(tensor);
      if (const Status s = progress(1.0f); !s) return s;
    }
    return {};
  }

  Status reserve() {
    auto pool = kv::PagePool::create(shape_of(state_).pages, &state_.memory);
    if (!pool) return pool.error();
    state_.pool = std::move(*pool);
    state_.free_pages.store(state_.pool.available());
    state_.slots.reserve(options_.max_sessions);
    reserve(state_.plan, state_.backend, shape_of(state_));
    if (options_.urgent_rows != 0) reserve(state_.urgent, state_.beside.backend, urgent_shape_of(state_));
    state_.costs.threads(options_.threads);
    return {};
  }

  void reserve(OpenPlan& plan, ops::Backend* backend, const ops::ContextShape& shape) {
    plan.backend = backend;
    plan.max_rows = shape.max_rows;
    plan.max_sequences = shape.max_sequences;
    plan.max_logits = shape.max_logits;
    plan.rows.reserve(shape.max_rows);
    plan.sequences.reserve(shape.max_sequences);
    plan.slots.reserve(shape.max_sequences);
    plan.logit_of.reserve(shape.max_sequences);
    plan.pages.reserve(std::size_t{shape.max_sequences} * kv::PageTable::count(options_.context));
    plan.requests.reserve(options_.max_sessions);
    plan.waiting.reserve(options_.max_sessions);
    plan.logits.reserve(shape.max_logits);
    plan.choices.reserve(shape.max_logits);
    plan.hidden.reserve(shape.max_rows);
  }

  /// Opens and closes a session, so that the plan is what really happens.
  Status count() {
    const std::size_t before = state_.memory.used();
    SessionOptions text;
    if (state_.has_template && !state_.template_error)
      text.format = PromptFormat::chat;
    else
      text.format = PromptFormat::text;
    const auto slot = open_slot(state_, text);
    if (!slot) return slot.error();
    const std::size_t sessions = (state_.memory.used() - before) * options_.max_sessions;
    close_slot(**slot);
    reap(state_);
    state_.owners.store(1);
    const std::size_t total = std::max(state_.memory.peak(), before + sessions);
    if (plan_ != nullptr) {
      *plan_ = {weights_, vocabulary_, cache_, activations_, sessions, 0, total};
      plan_->engine = total - weights_ - vocabulary_ - cache_ - activations_ - sessions;
    } else if (state_.memory.limit() != 0 && total > state_.memory.limit()) {
      return core::fail(Errc::out_of_memory, "a memory_limit of {} bytes, but {} are needed; see Engine::plan()",
                        state_.memory.limit(), total);
    }
    return {};
  }

  EngineState& state_;
  const EngineOptions& options_;
  MemoryPlan* plan_;
  model::Placement place_;
  std::uint32_t cut_ = 0;  // layers that are not on the GPU
  std::size_t weights_ = 0, vocabulary_ = 0, cache_ = 0, activations_ = 0;
};

EngineState* make_state(const EngineOptions& options, std::size_t limit) {
  core::Memory own(options.hooks, limit);
  void* const block = own.allocate(sizeof(EngineState), alignof(EngineState));
  return new (block) EngineState(options, limit);
}

void destroy(EngineState* state) noexcept {
  const Hooks hooks = state->hooks;
  state->~EngineState();
  core::Memory own(hooks);
  (void)own.reserve(sizeof(EngineState));
  static_cast<std::pmr::memory_resource&>(own).deallocate(state, sizeof(EngineState), alignof(EngineState));
}

/// @param plan  see Loader
Result<EngineState*> make(std::string_view path, std::span<const std::byte> bytes, EngineOptions options,
                          const ops::BackendInfo* backend, MemoryPlan* plan) noexcept {
  if (const Status status = check_options(options); !status) return status.error();
  if (backend == nullptr) {
    const auto chosen = choose_backend(options.backend);
    if (!chosen) return chosen.error();
    backend = *chosen;
  }
  if (options.kv_tokens == 0) {
    options.kv_tokens = std::uint64_t{kv::PageTable::count(options.context)} * kv::page_size * options.max_sessions;
  }
  if (options.max_logits == 0)
    options.max_logits = std::min({options.max_sessions, batch::most_sequences, options.max_rows});
  const core::FloatEnvironment environment;  // the rotary steps and the gate's sums are arithmetic too
  return core::guarded([&]() -> Result<EngineState*> {
    EngineState* const state = make_state(options, plan != nullptr ? 0 : options.memory_limit);
    struct Guard {
      EngineState* state;
      ~Guard() {
        if (state != nullptr) destroy(state);
      }
    } guard{state};
    if (const Status status = Loader(*state, options, plan).all(path, bytes, *backend); !status) return status.error();
    guard.state = nullptr;
    return state;
  });
}

}  // namespace

EngineState::EngineState(const EngineOptions& given, std::size_t limit)
    : memory(given.hooks, limit),
      hooks(given.hooks),
      options(given),
      scratch(&memory),
      rotary_steps(&memory),
      forward(&memory),
      slots(&memory),
      plan(&memory),
      urgent(&memory) {
  if (!memory.reserve(sizeof(EngineState))) throw std::bad_alloc();
  options.backend = {};
  options.pre_tokenizer = {};
}

EngineState::~EngineState() {
  for (SessionSlot* const slot : slots) slot->closed = true;
  reap(*this);
  split.reset();
  if (beside.backend != nullptr) beside.info->destroy(beside.backend, memory);
  for (const Part& part : parts) {
    if (part.backend != nullptr) part.info->destroy(part.backend, memory);
  }
}

Result<EngineState*> load(std::string_view path, std::span<const std::byte> bytes, const EngineOptions& options,
                          const ops::BackendInfo* backend) noexcept {
  return make(path, bytes, options, backend, nullptr);
}

Result<MemoryPlan> plan(std::string_view path, const EngineOptions& options, const ops::BackendInfo* backend) noexcept {
  MemoryPlan plan;
  const auto state = make(path, {}, options, backend, &plan);
  if (!state) return state.error();
  destroy(*state);
  return plan;
}

void drop(EngineState* state) noexcept {
  if (state->owners.fetch_sub(1) == 1) destroy(state);
}

}  // namespace kinglet::engine

// sample/sampler.cpp: which options make sense, and in which order do the stages run?
#include <kinglet/sample/sampler.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <vector>

#include <kinglet/core/float_env.hpp>
#include <kinglet/core/math.hpp>
#include <kinglet/core/memory.hpp>
#include <kinglet/sample/philox.hpp>

#include "core/fail.hpp"
#include "sample/stages.hpp"
#include "sample/weights.hpp"

namespace kinglet::sample {
namespace {

constexpr std::int32_t max_vocab = 1 << 22;
constexpr std::int32_t max_logprobs = 64;
constexpr std::int32_t max_dry_last_n = 1 << 20;
constexpr float infinity = std::numeric_limits<float>::infinity();

Error moved_from() noexcept { return {Errc::moved_from, "sampler: there is none (moved from)"}; }
Error not_finite() noexcept { return {Errc::not_finite, "sampler: a logit is NaN or +infinity"}; }
Error all_banned() noexcept { return {Errc::invalid_argument, "sampler: every token is banned; allow at least one"}; }

/// The option that is out of its range, or null.
struct Range {
  const char* name;
  double value, low, high;
  bool open;  ///< low itself is not allowed
};

Status check_ranges(const SamplerOptions& o) noexcept {
  constexpr double most = std::numeric_limits<std::int32_t>::max();
  const Range ranges[] = {
      {"temperature", o.temperature, 0, 100, false},
      {"top_k", static_cast<double>(o.top_k), 0, most, false},
      {"top_p", o.top_p, 0, 1, true},
      {"min_p", o.min_p, 0, 1, false},
      {"typical_p", o.typical_p, 0, 1, true},
      {"repetition_penalty", o.repetition_penalty, 0.01f, 100, false},
      {"presence_penalty", o.presence_penalty, -100, 100, false},
      {"frequency_penalty", o.frequency_penalty, -100, 100, false},
      {"penalty_last_n", static_cast<double>(o.penalty_last_n), -1, most, false},
      {"dry_multiplier", o.dry_multiplier, 0, 100, false},
      {"dry_base", o.dry_base, 1, 100, false},
      {"dry_allowed_length", static_cast<double>(o.dry_allowed_length), 1, most, false},
      {"dry_last_n", static_cast<double>(o.dry_last_n), 1, max_dry_last_n, false},
      {"logprobs", static_cast<double>(o.logprobs), 0, max_logprobs, false},
  };
  for (const Range& r : ranges) {
    if (r.value <= r.high && (r.open ? r.value > r.low : r.value >= r.low)) continue;  // a NaN fails too
    return core::fail(Errc::invalid_argument, "sampler option {} is {:g}; allowed is {}{:g}, {:g}]", r.name, r.value,
                      r.open ? '(' : '[', r.low, r.high);
  }
  return {};
}

Status check_tokens(const char* name, std::span<const std::int32_t> tokens, std::int32_t vocab) noexcept {
  for (const std::int32_t token : tokens) {
    if (token >= 0 && token < vocab) continue;
    return core::fail(Errc::invalid_argument, "sampler option {} names token {}; allowed is [0, {}]", name, token,
                      vocab - 1);
  }
  return {};
}

/// The options' lists, copied, and the memory that only some options need.
struct Lists {
  std::pmr::vector<LogitBias> bias;
  std::pmr::vector<std::int32_t> banned;
  std::pmr::vector<std::int32_t> breakers;  // as given
  std::pmr::vector<std::int32_t> sorted_breakers;
  std::pmr::vector<std::uint32_t> match;  // [dry_last_n]

  explicit Lists(std::pmr::memory_resource* memory)
      : bias(memory), banned(memory), breakers(memory), sorted_breakers(memory), match(memory) {}
  Lists(const SamplerOptions& o, std::pmr::memory_resource* memory)
      : bias(o.bias.begin(), o.bias.end(), memory),
        banned(o.banned.begin(), o.banned.end(), memory),
        breakers(o.dry_breakers.begin(), o.dry_breakers.end(), memory),
        sorted_breakers(breakers, memory),
        match(o.dry_multiplier > 0.0f ? static_cast<std::size_t>(o.dry_last_n) : 0, memory) {
    std::sort(sorted_breakers.begin(), sorted_breakers.end());
  }
  void swap(Lists& other) noexcept {
    bias.swap(other.bias);
    banned.swap(other.banned);
    breakers.swap(other.breakers);
    sorted_breakers.swap(other.sorted_breakers);
    match.swap(other.match);
  }
};

}  // namespace

struct Sampler::State {
  State(std::int32_t vocab, std::pmr::memory_resource* resource)
      : memory(resource),
        values(static_cast<std::size_t>(vocab), resource),
        keys(static_cast<std::size_t>(vocab), resource),
        lists(resource) {}

  std::pmr::memory_resource* memory;
  std::pmr::vector<float> values;        // [vocab] logits after bias and penalties
  std::pmr::vector<std::uint64_t> keys;  // [vocab] candidates, and scratch of the penalties
  SamplerOptions options;
  Lists lists;
  std::array<TokenProbability, max_logprobs> top;

  bool adjusts() const noexcept;
  Status adjust(std::span<const float> logits, std::span<const std::int32_t> history) noexcept;
  Result<std::int32_t> choose(std::span<const float> from, float max, std::uint64_t position) noexcept;
  void report(std::span<const float> logits, float max, Choice& choice) noexcept;
};

void Sampler::Deleter::operator()(State* state) const noexcept {
  std::pmr::memory_resource* memory = state->memory;
  state->~State();
  memory->deallocate(state, sizeof(State), alignof(State));
}

Result<Sampler> Sampler::create(std::int32_t vocab, std::pmr::memory_resource* memory) noexcept {
  return core::guarded([&]() -> Result<Sampler> {
    if (vocab < 1 || vocab > max_vocab) {
      return core::fail(Errc::invalid_argument, "sampler: a vocabulary of {}; allowed is [1, {}]", vocab, max_vocab);
    }
    void* place = memory->allocate(sizeof(State), alignof(State));
    Sampler sampler;
    try {
      sampler.state_.reset(new (place) State(vocab, memory));
    } catch (...) {
      memory->deallocate(place, sizeof(State), alignof(State));
      throw;
    }
    return sampler;
  });
}

std::size_t Sampler::bytes(std::int32_t vocab) noexcept {
  if (vocab < 1 || vocab > max_vocab) return 0;
  return sizeof(State) + static_cast<std::size_t>(vocab) * (sizeof(float) + sizeof(std::uint64_t));
}

std::size_t Sampler::options_bytes(const SamplerOptions& o) noexcept {
  return o.bias.size_bytes() + o.banned.size_bytes() + 2 * o.dry_breakers.size_bytes() +
         (o.dry_multiplier > 0.0f ? static_cast<std::size_t>(o.dry_last_n) * sizeof(std::uint32_t) : 0);
}

Status Sampler::check(const SamplerOptions& options, std::int32_t vocab) noexcept {
  if (const Status status = check_ranges(options); !status) return status;
  if (const Status status = check_tokens("banned", options.banned, vocab); !status) return status;
  if (const Status status = check_tokens("dry_breakers", options.dry_breakers, vocab); !status) return status;
  for (const LogitBias& b : options.bias) {
    if (const Status status = check_tokens("bias", {&b.token, 1}, vocab); !status) return status;
    if (!(b.bias < infinity)) {
      return core::fail(Errc::invalid_argument, "sampler option bias of token {} is {}; allowed is [-inf, inf)",
                        b.token, b.bias);
    }
  }
  return {};
}

Status Sampler::configure(const SamplerOptions& options) noexcept {
  if (!state_) return moved_from();
  if (const Status status = check(options, static_cast<std::int32_t>(state_->values.size())); !status) return status;
  return core::guarded([&]() -> Status {
    Lists lists(options, state_->memory);
    state_->lists.swap(lists);
    state_->options = options;
    state_->options.bias = state_->lists.bias;
    state_->options.banned = state_->lists.banned;
    state_->options.dry_breakers = state_->lists.breakers;
    return {};
  });
}

const SamplerOptions& Sampler::options() const noexcept {
  static constexpr SamplerOptions none;
  return state_ ? state_->options : none;
}

/// Do stages 1 to 3 change anything?
bool Sampler::State::adjusts() const noexcept {
  const SamplerOptions& o = options;
  return !o.bias.empty() || !o.banned.empty() || o.repetition_penalty != 1.0f || o.frequency_penalty != 0.0f ||
         o.presence_penalty != 0.0f || o.dry_multiplier > 0.0f;
}

/// Stages 1 to 3: values from logits.
Status Sampler::State::adjust(std::span<const float> logits, std::span<const std::int32_t> history) noexcept {
  constexpr float largest = std::numeric_limits<float>::max();
  std::copy(logits.begin(), logits.end(), values.begin());
  for (const LogitBias& b : options.bias) {
    float& value = values[static_cast<std::size_t>(b.token)];
    if (value < -largest) continue;
    value = b.bias < -largest ? -infinity : std::clamp(value + b.bias, -largest, largest);
  }
  for (const std::int32_t token : options.banned) values[static_cast<std::size_t>(token)] = -infinity;
  if (const Status status = apply_penalties(options, history, values, keys); !status) return status;
  return apply_dry(options, lists.sorted_breakers, history, values, keys, lists.match);
}

/// Stages 4 to 8.
/// @param from  the logits, or values
/// @param max   the largest of them
Result<std::int32_t> Sampler::State::choose(std::span<const float> from, float max, std::uint64_t position) noexcept {
  const SamplerOptions& o = options;
  if (max == -infinity) return all_banned();
  const bool greedy = o.temperature == 0.0f;
  // Only stage 5 can drop the most probable token.
  if (greedy && o.typical_p == 1.0f) return static_cast<std::int32_t>(first_of(from, max));
  const std::uint64_t random = random_bits(o.seed, position);
  if (o.top_k == 0 && o.typical_p == 1.0f && o.top_p == 1.0f && o.min_p == 0.0f) {
    return static_cast<std::int32_t>(draw(from, max, o.temperature, random));
  }
  const auto left = std::span(keys).first(filter(o, from, max, keys));
  const std::uint64_t best = *std::min_element(left.begin(), left.end());
  if (greedy) return static_cast<std::int32_t>(key_token(best));
  if (left.size() > values.size() / 16) {  // too many to sort by id: put each in its place
    std::fill(values.begin(), values.end(), -infinity);
    for (const std::uint64_t key : left) values[key_token(key)] = key_logit(key);
    return static_cast<std::int32_t>(draw(values, key_logit(best), o.temperature, random));
  }
  std::sort(left.begin(), left.end(), [](auto a, auto b) { return key_token(a) < key_token(b); });
  for (std::size_t i = 0; i < left.size(); ++i) values[i] = key_logit(left[i]);
  const std::size_t drawn = draw(std::span(values).first(left.size()), key_logit(best), o.temperature, random);
  return static_cast<std::int32_t>(key_token(left[drawn]));
}

/// Log-probabilities of the raw logits.
void Sampler::State::report(std::span<const float> logits, float max, Choice& choice) noexcept {
  const std::uint64_t sum = weight_sum(logits.data(), logits.size(), max, 1.0f);
  const float log_sum = core::log_f32(static_cast<float>(sum) * 0x1p-40f);
  const auto logprob = [&](float logit) { return (logit - max) - log_sum; };
  choice.logprob = logprob(logits[static_cast<std::size_t>(choice.token)]);
  if (options.logprobs == 0) return;
  const auto best = std::span(keys).first(select_top(logits, static_cast<std::size_t>(options.logprobs), keys));
  std::sort(best.begin(), best.end());
  for (std::size_t i = 0; i < best.size(); ++i) {
    top[i] = {static_cast<std::int32_t>(key_token(best[i])), logprob(key_logit(best[i]))};
  }
  choice.top = std::span(top).first(best.size());
}

Result<Choice> Sampler::sample(std::span<const float> logits, std::span<const std::int32_t> history,
                               std::uint64_t position) noexcept {
  if (!state_) return moved_from();
  const core::FloatEnvironment environment;
  if (logits.size() != state_->values.size()) {
    return core::fail(Errc::invalid_argument, "sampler: {} logits for a vocabulary of {}", logits.size(),
                      state_->values.size());
  }
  const Scan raw = scan(logits);
  if (!raw.finite) return not_finite();
  std::span<const float> from = logits;
  float max = raw.max;
  if (state_->adjusts()) {
    if (const Status status = state_->adjust(logits, history); !status) return status.error();
    from = state_->values;
    max = scan(from).max;
  }
  const Result<std::int32_t> token = state_->choose(from, max, position);
  if (!token) return token.error();
  Choice choice;
  choice.token = *token;
  state_->report(logits, raw.max, choice);
  return choice;
}

std::optional<ops::SampleRequest> Sampler::request(std::uint32_t logits, std::span<const std::int32_t> history,
                                                   std::uint64_t position) const noexcept {
  if (!state_) return {};
  const SamplerOptions& o = state_->options;
  if (!o.bias.empty() || !o.banned.empty() || o.dry_multiplier > 0.0f || o.typical_p < 1.0f || o.logprobs > 0)
    return {};
  ops::SampleRequest r;
  r.logits = logits;
  if (o.repetition_penalty != 1.0f || o.frequency_penalty != 0.0f || o.presence_penalty != 0.0f) {
    const std::size_t last = o.penalty_last_n < 0 ? history.size() : static_cast<std::size_t>(o.penalty_last_n);
    r.window = history.last(std::min(last, history.size()));
  }
  r.repetition = o.repetition_penalty;
  r.presence = o.presence_penalty;
  r.frequency = o.frequency_penalty;
  r.top_k = static_cast<std::uint32_t>(o.top_k);
  r.top_p = o.top_p;
  r.floor = o.min_p > 0.0f ? core::log_f32(o.min_p) : -infinity;
  r.temperature = o.temperature;
  r.random = random_bits(o.seed, position);
  return r;
}

Result<Choice> Sampler::sample(ops::Backend& backend, std::uint32_t logits, std::span<const std::int32_t> history,
                               std::uint64_t position) noexcept {
  if (!state_) return moved_from();
  const core::FloatEnvironment environment;
  const auto asked = request(logits, history, position);
  if (!asked || !backend.samples(*asked)) {
    const auto row = backend.logits(logits);
    if (!row) return row.error();
    return sample(*row, history, position);
  }
  const auto sampled = backend.sample(*asked);
  if (!sampled) return sampled.error();
  if (!sampled->finite) return not_finite();
  if (sampled->token < 0) return all_banned();
  Choice choice;
  choice.token = sampled->token;
  choice.logprob = (sampled->logit - sampled->max) - core::log_f32(static_cast<float>(sampled->sum) * 0x1p-40f);
  return choice;
}

}  // namespace kinglet::sample

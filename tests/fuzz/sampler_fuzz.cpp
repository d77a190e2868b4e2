// tests/fuzz/sampler_fuzz.cpp: can options, logits or a history of any bits make the sampler misbehave?
//
// What must hold: a choice is an id of the vocabulary that was not banned and whose logit was not -infinity; the same
// call gives the same answer; a check() that passes means that configure() does.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <vector>

#include <kinglet/sample/sampler.hpp>

namespace {

using namespace kinglet::sample;

/// Reads numbers from the input; zeros once it is used up.
struct Input {
  const std::uint8_t* data;
  std::size_t size;

  template <class T>
  T take() {
    T value{};
    const std::size_t n = std::min(sizeof value, size);
    if (n > 0) std::memcpy(&value, data, n);
    data += n;
    size -= n;
    return value;
  }
  std::vector<std::int32_t> ids(std::int32_t vocab) {
    std::vector<std::int32_t> list(take<std::uint8_t>());
    // Mostly in range: one id in 256 may be anything.
    for (std::int32_t& id : list) {
      const auto byte = take<std::uint8_t>();
      id = byte == 255 ? take<std::int32_t>() : byte % vocab;
    }
    return list;
  }
  float in_range(float low, float high) {
    const auto byte = take<std::uint8_t>();
    if (byte == 255) return take<float>();
    return low + (high - low) * static_cast<float>(byte) / 254.0f;
  }
};

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in{data, size};
  const std::int32_t vocab = 1 + in.take<std::uint16_t>() % 700;
  const auto banned = in.ids(vocab), breakers = in.ids(vocab), history = in.ids(vocab);
  std::vector<LogitBias> bias(in.take<std::uint8_t>() % 8);
  for (LogitBias& b : bias) b = {in.take<std::uint8_t>() % vocab, in.in_range(-10, 10)};
  SamplerOptions o;
  o.temperature = in.in_range(0, 3);
  o.top_k = in.take<std::uint8_t>() < 128 ? 0 : in.take<std::int16_t>();
  o.top_p = in.in_range(0, 1);
  o.min_p = in.in_range(0, 1);
  o.typical_p = in.in_range(0, 1);
  o.repetition_penalty = in.in_range(0.5f, 2);
  o.presence_penalty = in.in_range(-2, 2);
  o.frequency_penalty = in.in_range(-2, 2);
  o.penalty_last_n = in.take<std::int8_t>();
  o.dry_multiplier = in.in_range(0, 2);
  o.dry_base = in.in_range(1, 4);
  o.dry_allowed_length = in.take<std::int8_t>();
  o.dry_last_n = in.take<std::int16_t>();
  o.dry_breakers = breakers;
  o.bias = bias;
  o.banned = banned;
  o.seed = in.take<std::uint64_t>();
  o.logprobs = in.take<std::int8_t>();
  const auto position = in.take<std::uint64_t>();
  std::vector<float> logits(static_cast<std::size_t>(vocab));
  const bool any_bits = in.take<std::uint8_t>() == 255;
  for (float& l : logits) l = any_bits ? in.take<float>() : in.in_range(-12, 12);

  auto sampler = Sampler::create(vocab, std::pmr::get_default_resource());
  require(sampler.ok());
  const bool right = Sampler::check(o, vocab).ok();
  require(sampler->configure(o).ok() == right);
  const auto choice = sampler->sample(logits, history, position);
  const auto again = sampler->sample(logits, history, position);
  require(choice.ok() == again.ok());
  if (!choice) return 0;
  require(choice->token == again->token && choice->token >= 0 && choice->token < vocab);
  require(logits[static_cast<std::size_t>(choice->token)] > -std::numeric_limits<float>::infinity());
  if (!right) return 0;
  require(std::find(banned.begin(), banned.end(), choice->token) == banned.end());
  require(again->top.size() <= static_cast<std::size_t>(o.logprobs));
  return 0;
}

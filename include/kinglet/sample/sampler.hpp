// kinglet/sample/sampler.hpp: given a row of logits, which token comes next?
//
// A choice is a pure function of (logits, history, options, position): no state is carried from token to token. The
// stages, each on what the one before it left:
//   1. bias and bans      l += bias; a banned token, and one whose logit is -infinity, is no candidate
//   2. penalties          repetition, then frequency and presence, over the last penalty_last_n tokens of the history
//   3. DRY                tokens that would go on with a repeated stretch of the history
//   4. top_k              the k largest
//   5. typical_p          the tokens whose surprise is nearest to its mean, up to a probability of typical_p
//   6. top_p              the most probable tokens, up to a probability of top_p
//   7. min_p              those at least min_p times as probable as the most probable one
//   8. temperature        0: the largest logit; else a draw from the softmax of l / temperature
// Bias and penalties keep a finite logit finite (it stops at the largest FP32 number). Wherever two tokens are equal,
// the lower id comes first.
//
// Same bits everywhere: with m the largest logit of the candidates, a token's weight in stages 5 and 6 is the integer
// nearest to exp(l - m) * 2^40, and in stage 8 the one nearest to exp((l - m) / temperature) * 2^40 (exp of
// core/math.hpp). Integer sums are exact, so the order of summation does not exist. A probability is a weight over the
// sum of the candidates' weights; a token of weight 0 leaves in stages 5 and 6 and is never drawn. A stage "up to a
// probability of p" keeps tokens until their weights reach p times the sum, the one that reaches it included. Stage 5
// takes the mean surprise (less log of the sum) as sum(floor(weight * (m - l))) / sum(weight), and keeps tokens in the
// order of |m - l - mean|, rounded to FP32. Stage 7 keeps l - m >= log(min_p). Stage 8 takes floor(sum * r / 2^64),
// with r = random_bits(seed, position) of sample/philox.hpp; the token whose stretch of the cumulated weights, in
// ascending order of ids, holds that number is chosen.
//
// Log-probabilities are of the softmax of the logits as they came, before bias, penalties, filters and temperature:
// (l - m) - log(sum(weight) * 2^-40).
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/ops/backend.hpp>

namespace kinglet::sample {

struct LogitBias {
  std::int32_t token = 0;
  float bias = 0.0f;  ///< added to the token's logit; finite, or -infinity (a ban). Several of one token add up
};

/// How a session chooses. Out of range is rejected by Sampler::configure, never clamped. The spans are copied there.
struct SamplerOptions {
  float temperature = 0.0f;          ///< [0, 100]; 0 = the most probable token (greedy)
  std::int32_t top_k = 0;            ///< tokens, >= 0; 0 = all
  float top_p = 1.0f;                ///< probability, (0, 1]; 1 = off. Holtzman et al., arXiv 1904.09751
  float min_p = 0.0f;                ///< share of the largest probability, [0, 1]; 0 = off. arXiv 2407.01082
  float typical_p = 1.0f;            ///< probability, (0, 1]; 1 = off. Meister et al., arXiv 2202.00666
  float repetition_penalty = 1.0f;   ///< [0.01, 100]: a seen token's logit is divided by it where > 0, else multiplied;
                                     ///< 1 = off. Keskar et al., arXiv 1909.05858
  float presence_penalty = 0.0f;     ///< logits, [-100, 100]: taken from every token that was seen
  float frequency_penalty = 0.0f;    ///< logits, [-100, 100]: taken from a token for each time it was seen
  std::int32_t penalty_last_n = 64;  ///< tokens of the history the three penalties look at, [-1, 2^31); -1 = all of it
  float dry_multiplier = 0.0f;       ///< logits, [0, 100]; 0 = off. A token that would extend a repetition of n
                                     ///< tokens loses multiplier * base^(n - allowed_length), n >= allowed_length
  float dry_base = 1.75f;            ///< [1, 100]
  std::int32_t dry_allowed_length = 2;           ///< tokens, [1, 2^31)
  std::int32_t dry_last_n = 1024;                ///< tokens of the history that DRY looks at, [1, 2^20]; 4 bytes each
  std::span<const std::int32_t> dry_breakers{};  ///< ids that no repetition reaches across; not penalised themselves
  std::span<const LogitBias> bias{};
  std::span<const std::int32_t> banned{};  ///< token ids that are never chosen
  std::uint64_t seed = 0;
  std::int32_t logprobs = 0;  ///< most probable tokens to report with each choice, [0, 64]; the chosen one's always is
};

struct TokenProbability {
  std::int32_t token = 0;
  float logprob = 0.0f;  ///< nats
};

struct Choice {
  std::int32_t token = -1;
  float logprob = 0.0f;                   ///< nats
  std::span<const TokenProbability> top;  ///< the most probable first; fewer where the vocabulary (without logits of
                                          ///< -infinity) is smaller. Valid until the sampler's next call
};

/// One per session; not for two threads at once. A moved-from one answers moved_from.
class Sampler {
 public:
  Sampler() noexcept = default;

  /// A greedy sampler for a vocabulary. invalid_argument: vocab not in [1, 2^22]; out_of_memory.
  KINGLET_API static Result<Sampler> create(std::int32_t vocab, std::pmr::memory_resource* memory) noexcept;
  /// The bytes create() takes from its memory; 0 where vocab is out of range.
  KINGLET_API static std::size_t bytes(std::int32_t vocab) noexcept;
  /// The bytes that configure() takes on top of that; while it runs, the old options' are not given back yet.
  KINGLET_API static std::size_t options_bytes(const SamplerOptions& options) noexcept;

  /// Takes new options. invalid_argument names the option and its range; out_of_memory. Changes nothing on failure.
  KINGLET_API Status configure(const SamplerOptions& options) noexcept;
  /// Checks options without taking them: what configure() would answer, but for out_of_memory.
  KINGLET_API static Status check(const SamplerOptions& options, std::int32_t vocab) noexcept;
  /// The options in use; the spans live until the next configure().
  KINGLET_API const SamplerOptions& options() const noexcept;

  /// Chooses a token; allocates nothing.
  /// @param logits    [vocab]; -infinity takes a token out
  /// @param history   the ids so far, prompt and generated
  /// @param position  of the token to be chosen: the counter of its random number
  /// not_finite: a logit is NaN or +infinity; invalid_argument: not [vocab] logits, an id of the history that a stage
  /// looks at is not in the vocabulary, or no token is left to choose from.
  KINGLET_API Result<Choice> sample(std::span<const float> logits, std::span<const std::int32_t> history,
                                    std::uint64_t position) noexcept;
  /// What the backend will be asked by the next function, or nothing where an option is set that only the host knows.
  /// Its window is part of `history`.
  KINGLET_API std::optional<ops::SampleRequest> request(std::uint32_t logits, std::span<const std::int32_t> history,
                                                        std::uint64_t position) const noexcept;
  /// The same for row `logits` of the backend's step: on the backend, where it can, so that the logits stay there. Also
  /// the backend's errors.
  KINGLET_API Result<Choice> sample(ops::Backend& backend, std::uint32_t logits, std::span<const std::int32_t> history,
                                    std::uint64_t position) noexcept;

 private:
  struct State;
  struct Deleter {
    KINGLET_API void operator()(State* state) const noexcept;
  };
  std::unique_ptr<State, Deleter> state_;
};

}  // namespace kinglet::sample

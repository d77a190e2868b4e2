// examples/cli/scores.hpp: how well does a row of logits foretell a token, and how far is it from another row?
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace kinglet::cli {

/// ln of the sum of e^logits. Sums in FP64.
/// @param logits  [vocab], finite
double log_sum_exp(std::span<const float> logits);

/// -ln of the probability the row gives to the token, in nats.
double negative_log_likelihood(std::span<const float> logits, std::int32_t token);

/// Kullback-Leibler divergence KL(p || q) in nats of the softmaxes of two rows; p is the reference.
/// Source: Kullback and Leibler, "On information and sufficiency" (1951).
double divergence(std::span<const float> p, std::span<const float> q);

/// The index of the largest logit, the lowest one of equals.
std::size_t best(std::span<const float> logits);

/// Sums over the scored tokens of a text.
struct Score {
  std::size_t tokens = 0;
  double nll = 0;  ///< nats
  std::size_t compared = 0;
  double divergence = 0;   ///< nats
  std::size_t agreed = 0;  ///< rows whose best token is the reference's

  void add(std::span<const float> logits, std::int32_t token);
  void compare(std::span<const float> reference, std::span<const float> logits);

  double mean_nll() const { return tokens == 0 ? 0 : nll / static_cast<double>(tokens); }
  double perplexity() const;
  double mean_divergence() const { return compared == 0 ? 0 : divergence / static_cast<double>(compared); }
  double agreement() const { return compared == 0 ? 0 : static_cast<double>(agreed) / static_cast<double>(compared); }
};

}  // namespace kinglet::cli

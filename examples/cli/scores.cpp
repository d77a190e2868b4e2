#include "scores.hpp"

#include <algorithm>
#include <cmath>

namespace kinglet::cli {

double log_sum_exp(std::span<const float> logits) {
  const float top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float l : logits) sum += static_cast<double>(std::exp(l - top));
  return static_cast<double>(top) + std::log(sum);
}

double negative_log_likelihood(std::span<const float> logits, std::int32_t token) {
  return log_sum_exp(logits) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

double divergence(std::span<const float> p, std::span<const float> q) {
  const double p_sum = log_sum_exp(p);
  const double q_sum = log_sum_exp(q);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double p_log = static_cast<double>(p[i]) - p_sum;
    sum += std::exp(p_log) * (p_log - (static_cast<double>(q[i]) - q_sum));
  }
  return sum;
}

std::size_t best(std::span<const float> logits) {
  return static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

void Score::add(std::span<const float> logits, std::int32_t token) {
  nll += negative_log_likelihood(logits, token);
  ++tokens;
}

void Score::compare(std::span<const float> reference, std::span<const float> logits) {
  divergence += cli::divergence(reference, logits);
  agreed += best(reference) == best(logits) ? 1 : 0;
  ++compared;
}

double Score::perplexity() const { return tokens == 0 ? 0 : std::exp(mean_nll()); }

}  // namespace kinglet::cli

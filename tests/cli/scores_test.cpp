#include "scores.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "tests/catch.hpp"

using namespace kinglet::cli;

TEST_CASE("scores: a loss is minus the logarithm of the token's probability") {
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(5.0f)};  // probabilities 1/8, 2/8, 5/8
  CHECK(negative_log_likelihood(logits, 0) == Approx(std::log(8.0)).epsilon(1e-6));
  CHECK(negative_log_likelihood(logits, 2) == Approx(std::log(8.0 / 5.0)).epsilon(1e-6));
  Score score;
  score.add(logits, 0);
  score.add(logits, 2);
  CHECK(score.tokens == 2);
  CHECK(score.mean_nll() == Approx((std::log(8.0) + std::log(1.6)) / 2).epsilon(1e-6));
  CHECK(score.perplexity() == Approx(std::sqrt(8.0 * 1.6)).epsilon(1e-6));
}

TEST_CASE("scores: large logits do not overflow") {
  const std::vector<float> logits = {2000.0f, 1999.0f, -3000.0f};
  CHECK(log_sum_exp(logits) == Approx(2000.0 + std::log1p(std::exp(-1.0))).epsilon(1e-9));
  CHECK(negative_log_likelihood(logits, 2) == Approx(5000.0 + std::log1p(std::exp(-1.0))).epsilon(1e-9));
}

TEST_CASE("scores: divergence against its definition in FP64") {
  const std::vector<float> p = {0.3f, -1.0f, 2.0f, 0.0f, 7.5f, 1.0f, -4.0f};
  const std::vector<float> q = {0.1f, -1.5f, 2.5f, 0.0f, 6.5f, 1.5f, -2.0f};
  double ps = 0;
  double qs = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    ps += std::exp(static_cast<double>(p[i]));
    qs += std::exp(static_cast<double>(q[i]));
  }
  double expected = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double a = std::exp(static_cast<double>(p[i])) / ps;
    const double b = std::exp(static_cast<double>(q[i])) / qs;
    expected += a * std::log(a / b);
  }
  CHECK(divergence(p, q) == Approx(expected).epsilon(1e-5));
  CHECK(divergence(p, p) == Approx(0.0).margin(1e-12));
}

TEST_CASE("scores: agreement counts rows with the same best token, the lowest id of equals") {
  const std::vector<float> a = {1.0f, 3.0f, 3.0f};
  const std::vector<float> b = {1.0f, 4.0f, 3.0f};
  const std::vector<float> c = {1.0f, 3.0f, 4.0f};
  CHECK(best(a) == 1);
  Score score;
  score.compare(a, b);
  score.compare(a, c);
  CHECK(score.agreement() == 0.5);
  CHECK(Score().agreement() == 0.0);
  CHECK(Score().perplexity() == 0.0);
}

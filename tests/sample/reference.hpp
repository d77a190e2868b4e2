// tests/sample/reference.hpp: what would the sampler choose, if it sorted everything and computed in FP64?
#pragma once
#include <algorithm>
#include <cmath>
#include <kinglet/sample/philox.hpp>
#include <kinglet/sample/sampler.hpp>
#include <limits>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

namespace kinglet::test {

struct Candidate {
  double logit;
  std::int32_t token;
};
inline bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

inline std::vector<double> probabilities(const std::vector<Candidate>& c, double temperature = 1.0) {
  double max = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const auto& x : c) max = std::max(max, x.logit);
  std::vector<double> p;
  for (const auto& x : c) sum += p.emplace_back(std::exp((x.logit - max) / temperature));
  for (double& x : p) x /= sum;
  return p;
}

/// The longest suffix of h[0, i) that h ends with, no longer than `reach`.
inline std::size_t repeated(const std::vector<std::int32_t>& h, std::size_t i, std::size_t reach) {
  std::size_t n = 0;
  while (n < reach && n < i && h[i - 1 - n] == h[h.size() - 1 - n]) ++n;
  return n;
}

inline std::vector<double> adjusted(const sample::SamplerOptions& o, const std::vector<float>& logits,
                                    const std::vector<std::int32_t>& history) {
  std::vector<double> l(logits.begin(), logits.end());
  const auto at = [&](std::int32_t id) -> double& { return l[static_cast<std::size_t>(id)]; };
  for (const auto& b : o.bias) at(b.token) += static_cast<double>(b.bias);
  for (std::int32_t id : o.banned) at(id) = -std::numeric_limits<double>::infinity();

  const std::size_t last = o.penalty_last_n < 0 ? history.size() : static_cast<std::size_t>(o.penalty_last_n);
  std::map<std::int32_t, int> counts;
  for (std::size_t i = history.size() - std::min(last, history.size()); i < history.size(); ++i) ++counts[history[i]];
  for (const auto& [id, count] : counts) {
    const double r = o.repetition_penalty;
    at(id) = at(id) > 0 ? at(id) / r : at(id) * r;
    at(id) -= count * static_cast<double>(o.frequency_penalty) + static_cast<double>(o.presence_penalty);
  }

  if (o.dry_multiplier > 0) {
    const std::size_t n = std::min(history.size(), static_cast<std::size_t>(o.dry_last_n));
    const std::vector<std::int32_t> h(history.end() - static_cast<std::ptrdiff_t>(n), history.end());
    const auto breaks = [&](std::int32_t id) {
      return std::find(o.dry_breakers.begin(), o.dry_breakers.end(), id) != o.dry_breakers.end();
    };
    std::size_t reach = 0;
    while (reach < n && !breaks(h[n - 1 - reach])) ++reach;
    std::map<std::int32_t, std::size_t> longest;
    for (std::size_t i = 0; i < n; ++i) longest[h[i]] = std::max(longest[h[i]], repeated(h, i, reach));
    for (const auto& [id, length] : longest) {
      const auto allowed = static_cast<std::size_t>(o.dry_allowed_length);
      if (length < allowed || breaks(id)) continue;
      at(id) -= static_cast<double>(o.dry_multiplier) *
                std::pow(static_cast<double>(o.dry_base), static_cast<double>(length - allowed));
    }
  }
  return l;
}

/// Keeps the first candidates (in their order) until their probabilities reach `share`.
inline void keep_share(std::vector<Candidate>& c, double share, const std::vector<double>& p) {
  double sum = 0;
  for (std::size_t i = 0; i < c.size(); ++i) {
    sum += p[i];
    if (sum >= share) return c.resize(i + 1);
  }
}

/// Stages 4 to 7; sorted, the best first.
inline std::vector<Candidate> filtered(const sample::SamplerOptions& o, const std::vector<double>& l) {
  std::vector<Candidate> c;
  for (std::size_t i = 0; i < l.size(); ++i) {
    if (l[i] > -std::numeric_limits<double>::infinity()) c.push_back({l[i], static_cast<std::int32_t>(i)});
  }
  std::sort(c.begin(), c.end(), before);
  if (o.top_k > 0 && c.size() > static_cast<std::size_t>(o.top_k)) c.resize(static_cast<std::size_t>(o.top_k));
  if (o.typical_p < 1) {
    const auto p = probabilities(c);
    double entropy = 0;
    for (double x : p) entropy -= x > 0 ? x * std::log(x) : 0;
    std::vector<std::size_t> order(c.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto distance = [&](std::size_t i) { return std::fabs(-std::log(p[i]) - entropy); };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return distance(a) != distance(b) ? distance(a) < distance(b) : c[a].token < c[b].token;
    });
    std::vector<Candidate> d;
    std::vector<double> q;
    for (std::size_t i : order) {
      d.push_back(c[i]);
      q.push_back(p[i]);
    }
    keep_share(d, static_cast<double>(o.typical_p), q);
    std::sort(d.begin(), d.end(), before);
    c = d;
  }
  if (o.top_p < 1) keep_share(c, static_cast<double>(o.top_p), probabilities(c));
  if (o.min_p > 0) {
    const auto p = probabilities(c);
    std::size_t n = 0;
    while (n < c.size() && p[n] >= static_cast<double>(o.min_p) * p[0]) ++n;
    c.resize(n);
  }
  return c;
}

inline std::int32_t reference_choice(const sample::SamplerOptions& o, const std::vector<float>& logits,
                                     const std::vector<std::int32_t>& history, std::uint64_t position) {
  auto c = filtered(o, adjusted(o, logits, history));
  if (o.temperature == 0) return c[0].token;
  std::sort(c.begin(), c.end(), [](const auto& a, const auto& b) { return a.token < b.token; });
  const auto p = probabilities(c, static_cast<double>(o.temperature));
  double u = std::ldexp(static_cast<double>(sample::random_bits(o.seed, position)), -64);
  for (std::size_t i = 0; i < c.size(); ++i) {
    u -= p[i];
    if (u < 0) return c[i].token;
  }
  return c.back().token;
}

}  // namespace kinglet::test

#include <cmath>

#include "tests/catch.hpp"
#include "tests/ops/kernel_inputs.hpp"

using namespace kinglet;
using namespace kinglet::ops;

namespace {

/// Softmax attention in FP64 over what the pages hold.
std::vector<double> exact_attention(const test::AttentionCase& c, const test::AttentionData& data) {
  std::vector<double> out(std::size_t{c.queries} * c.head_dim);
  for (std::uint32_t i = 0; i < c.queries; ++i) {
    const std::uint32_t position = c.first_position + i;
    std::vector<double> score(position + 1, -1e300);
    double largest = -1e300;
    for (std::uint32_t j = 0; j <= position; ++j) {
      if (c.window != 0 && j + c.window <= position && j >= c.globals) continue;
      double sum = 0.0;
      for (std::size_t d = 0; d < c.head_dim; ++d) {
        sum += static_cast<double>(data.q[i * c.head_dim + d]) * data.keys[j * c.head_dim + d];
      }
      score[j] = sum / std::sqrt(static_cast<double>(c.head_dim));
      largest = std::max(largest, score[j]);
    }
    double total = 0.0;
    for (std::uint32_t j = 0; j <= position; ++j) {
      const double p = std::exp(score[j] - largest);
      total += p;
      for (std::size_t d = 0; d < c.head_dim; ++d) out[i * c.head_dim + d] += p * data.values[j * c.head_dim + d];
    }
    for (std::size_t d = 0; d < c.head_dim; ++d) out[i * c.head_dim + d] /= total;
  }
  return out;
}

/// The largest difference to FP64, in units of a value's standard deviation (1).
double error(const test::AttentionCase& c, const Kernels& kernels = scalar::kernels()) {
  const auto data = test::make_attention(c);
  const auto states = test::run_attention(kernels, c, data);
  const auto exact = exact_attention(c, data);
  double worst = 0.0;
  for (std::uint32_t i = 0; i < c.queries; ++i) {
    const float* state = states.data() + i * (2 + std::size_t{c.head_dim});
    for (std::size_t d = 0; d < c.head_dim; ++d) {
      const double got = static_cast<double>(state[2 + d]) / state[1];
      const double off = std::fabs(got - exact[i * c.head_dim + d]);
      if (!(off <= worst)) worst = off;
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("attention against FP64: any head size, windows and global tokens, across stretches") {
  for (const test::AttentionCase& c : test::attention_cases()) {
    INFO("head_dim " << c.head_dim << " from " << c.first_position << " queries " << c.queries << " window " << c.window
                     << " globals " << c.globals << " fp16 scores " << c.fp16_scores);
    CHECK(error(c) < (c.fp16_scores ? 2e-3 : 2e-6));
  }
}

TEST_CASE("scores of +-2,000: FP16 loses no more than at ordinary sizes") {
  // A plain FP16 score of 2,000 has steps of 1; what is stored is its distance from the stretch's largest.
  for (const std::uint32_t positions : {40u, 700u}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      test::AttentionCase c;
      c.first_position = positions;
      c.queries = 4;
      c.seed = seed;
      c.fp16_kv = false;
      const double ordinary = 1e-3;
      CHECK(error(c) < ordinary);
      c.q_scale = 700.0f;  // scores of up to about 2,000 either way
      auto data = test::make_attention(c);
      float largest = 0.0f;
      for (std::uint32_t j = 0; j <= positions; ++j) {
        float sum = 0.0f;
        for (std::size_t d = 0; d < c.head_dim; ++d) sum += data.q[d] * data.keys[j * c.head_dim + d];
        largest = std::max(largest, std::fabs(sum * data.scale));
      }
      CHECK(largest > 1000.0f);
      // FP32 scores of that size are themselves off by 1e-4, whatever is stored.
      CHECK(error(c) < ordinary);
    }
  }
}

TEST_CASE("close scores at 2,000 keep their shares") {
  // All keys nearly the same: the shares are decided by differences of the scores below 1.
  test::AttentionCase c;
  c.first_position = 300;
  c.queries = 1;
  c.fp16_kv = false;
  for (const float size : {0.0f, 2000.0f, -2000.0f}) {
    auto data = test::make_attention(c);
    test::Random random{9};
    for (float& x : data.q) x = 0.0f;
    data.q[0] = 8.0f;  // times scale 1/8: the score is the key's first channel
    const std::size_t half = std::size_t{c.head_dim} * page_tokens * 4;
    for (std::uint32_t p = 0; p < data.positions; ++p) {
      const float key = size + random.uniform();
      data.keys[p * c.head_dim] = key;
      std::memcpy(data.pages.data() + p / 16 * 2 * half + p % 16 * 4, &key, 4);
    }
    const auto exact = exact_attention(c, data);
    for (const auto& set : test::kernel_sets()) {
      const auto state = test::run_attention(*set.kernels, c, data);
      double worst = 0.0;
      for (std::size_t d = 0; d < c.head_dim; ++d) {
        worst = std::max(worst, std::fabs(static_cast<double>(state[2 + d]) / state[1] - exact[d]));
      }
      INFO(set.name << " " << size);
      CHECK(worst < 1e-4);
    }
  }
}

TEST_CASE("a later state merged into an earlier one is one walk over both") {
  const auto merge = [](const ops::Kernels& kernels, std::vector<float>& state, const std::vector<float>& later) {
    float* const states[] = {state.data()};
    const float* const laters[] = {later.data()};
    kernels.merge(states, laters, 1, state.size() - 2);
  };
  for (const auto& set : test::kernel_sets()) {
    test::AttentionCase c;
    c.first_position = 500;
    c.queries = 1;
    const auto data = test::make_attention(c);
    const auto whole = test::run_attention(*set.kernels, c, data);
    // The two stretches apart: the first as if the query stood at its end, the second as the window sees it.
    test::AttentionCase first = c, second = c;
    first.first_position = 255;
    second.window = 245;
    auto first_data = data;
    first_data.positions = 256;
    auto a = test::run_attention(*set.kernels, first, first_data);
    const auto b = test::run_attention(*set.kernels, second, data);
    merge(*set.kernels, a, b);
    CHECK(std::memcmp(a.data(), whole.data(), a.size() * sizeof(float)) == 0);

    std::vector<float> none(a.size());
    none[0] = -std::numeric_limits<float>::infinity();
    const auto before = a;
    merge(*set.kernels, a, none);  // nothing seen changes nothing
    CHECK(std::memcmp(a.data(), before.data(), a.size() * sizeof(float)) == 0);
    merge(*set.kernels, none, a);  // the first is taken as it is
    CHECK(std::memcmp(none.data(), a.data(), a.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("states that are merged together get the bits that each gets alone") {
  test::Random random{11};
  for (const auto& set : test::kernel_sets()) {
    for (std::size_t count : {1u, 7u, 8u, 9u, 31u, 96u}) {
      constexpr std::size_t head_dim = 40, size = head_dim + 2;
      std::vector<float> states(count * size), later(count * size);
      for (float& x : states) x = random.normal();
      for (float& x : later) x = random.normal();
      std::vector<float*> to(count);
      std::vector<const float*> from(count);
      auto alone = states;
      for (std::size_t i = 0; i < count; ++i) {
        for (std::vector<float>* side : {&states, &alone, &later}) {
          const bool nothing = i % 5 == (side == &later ? 1 : 3);
          (*side)[i * size] = nothing ? -std::numeric_limits<float>::infinity() : (*side)[i * size];
          (*side)[i * size + 1] = nothing ? 0.0f : 1.0f + static_cast<float>(i);
        }
        to[i] = &states[i * size];
        from[i] = &later[i * size];
        float* const one[] = {&alone[i * size]};
        set.kernels->merge(one, &from[i], 1, head_dim);
      }
      set.kernels->merge(to.data(), from.data(), count, head_dim);
      INFO(set.name << " " << count);
      CHECK(std::memcmp(states.data(), alone.data(), states.size() * sizeof(float)) == 0);
    }
  }
}

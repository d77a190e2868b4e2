#include <array>
#include <cfenv>
#include <cmath>
#include <kinglet/core/memory.hpp>
#include <kinglet/sample/sampler.hpp>
#include <limits>
#include <set>
#include <vector>

#include "tests/catch.hpp"
#include "tests/random.hpp"
#include "tests/sample/reference.hpp"

using kinglet::Errc;
using kinglet::sample::LogitBias;
using kinglet::sample::Sampler;
using kinglet::sample::SamplerOptions;
using kinglet::test::Random;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

Sampler make(std::int32_t vocab, const SamplerOptions& options = {}) {
  auto sampler = Sampler::create(vocab, std::pmr::get_default_resource());
  REQUIRE(sampler);
  REQUIRE(sampler->configure(options));
  return std::move(*sampler);
}

std::vector<float> random_logits(std::size_t vocab, std::uint64_t seed, float spread) {
  Random random{seed};
  std::vector<float> l(vocab);
  for (float& x : l) x = random.normal() * spread;
  return l;
}

}  // namespace

TEST_CASE("choosing the next token", "[sample]") {
  auto sampler = Sampler::create(4, std::pmr::get_default_resource());
  REQUIRE(sampler);
  const std::vector<float> logits{0.0f, 2.0f, 1.0f, -infinity};
  const std::vector<std::int32_t> history{1, 2};

  auto choice = sampler->sample(logits, history, 2);  // greedy by default
  REQUIRE(choice);
  CHECK(choice->token == 1);
  CHECK(std::fabs(choice->logprob - -0.40760596f) < 1e-6f);

  SamplerOptions options;
  options.temperature = 0.8f;
  options.top_k = 2;
  options.seed = 7;
  options.logprobs = 5;
  REQUIRE(sampler->configure(options));
  choice = sampler->sample(logits, history, 2);
  REQUIRE(choice);
  CHECK((choice->token == 1 || choice->token == 2));
  REQUIRE(choice->top.size() == 3);  // a logit of -infinity is nobody's
  CHECK(choice->top[0].token == 1);
  CHECK(choice->top[1].token == 2);
  CHECK(choice->top[2].token == 0);
  CHECK(sampler->sample(logits, history, 2)->token == choice->token);  // the same position, the same token
}

TEST_CASE("every choice equals the FP64 reference's", "[sample]") {
  for (std::int32_t vocab : {1, 7, 31, 33, 1500}) {
    auto sampler = make(vocab);
    for (std::uint64_t trial = 0; trial < 400; ++trial) {
      Random random{trial * 1000 + static_cast<std::uint64_t>(vocab)};
      const auto token = [&] { return static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(vocab))); };
      const auto logits = random_logits(static_cast<std::size_t>(vocab), trial, 0.5f + static_cast<float>(trial % 7));
      std::vector<std::int32_t> history(random.below(80)), banned, breakers;
      // A short period, so that stretches repeat.
      for (std::size_t i = 0; i < history.size(); ++i)
        history[i] = i >= 5 && random.below(8) ? history[i - 5] : token();
      if (vocab > 1 && random.below(2)) banned.push_back(token());
      if (random.below(2)) breakers.assign(3, token());
      const std::vector<LogitBias> bias(random.below(3), LogitBias{token(), random.uniform() * 5});
      SamplerOptions o;
      o.temperature = random.below(4) == 0 ? 0.0f : 0.3f + random.uniform() * 0.25f;
      if (random.below(2)) o.top_k = 1 + static_cast<std::int32_t>(random.below(1300));
      if (random.below(2)) o.top_p = 0.5f + random.uniform() * 0.49f;
      if (random.below(2)) o.min_p = 0.1f + random.uniform() * 0.09f;
      if (random.below(2)) o.typical_p = 0.5f + random.uniform() * 0.49f;
      if (random.below(2)) o.repetition_penalty = 1.3f;
      if (random.below(2)) o.presence_penalty = 0.5f;
      if (random.below(2)) o.frequency_penalty = -0.25f;
      o.penalty_last_n = static_cast<std::int32_t>(random.below(100)) - 1;
      if (random.below(2)) o.dry_multiplier = 0.8f;
      o.dry_last_n = 1 + static_cast<std::int32_t>(random.below(90));
      o.dry_allowed_length = 1 + static_cast<std::int32_t>(random.below(3));
      o.dry_breakers = breakers;
      o.bias = bias;
      o.banned = banned;
      o.seed = random.bits();
      REQUIRE(sampler.configure(o));
      for (std::uint64_t position : {std::uint64_t{0}, trial, std::uint64_t{1} << 40}) {
        const auto choice = sampler.sample(logits, history, position);
        REQUIRE(choice);
        INFO("vocab " << vocab << " trial " << trial);
        REQUIRE(choice->token == kinglet::test::reference_choice(o, logits, history, position));
      }
    }
  }
}

TEST_CASE("a vocabulary of 151,936 in every stage", "[sample]") {
  constexpr std::int32_t vocab = 151936;
  auto sampler = make(vocab);
  for (float spread : {0.0f, 0.1f, 4.0f}) {
    const auto logits = random_logits(vocab, 3, spread);
    for (int setting = 0; setting < 7; ++setting) {
      SamplerOptions o;
      o.temperature = setting == 5 ? 0.0f : 1.0f;
      o.seed = 11;
      if (setting == 1) o.top_k = 40;
      if (setting == 2) o.top_k = 5000;
      if (setting == 3) o.top_p = 0.95f;
      if (setting == 4) o.typical_p = 0.9f;
      if (setting == 4) o.min_p = 0.02f;
      if (setting == 6) o.top_p = 0.9999f;
      REQUIRE(sampler.configure(o));
      INFO("spread " << spread << " setting " << setting);
      // Equal logits: sums of 150,000 equal terms in FP64 round up or down at will, so only the exact stages compare.
      if (spread == 0.0f && (setting == 3 || setting == 4 || setting == 6)) {
        CHECK(sampler.sample(logits, {}, 5));
        continue;
      }
      CHECK(sampler.sample(logits, {}, 5)->token == kinglet::test::reference_choice(o, logits, {}, 5));
    }
  }
}

TEST_CASE("log-probabilities are those of the raw logits", "[sample]") {
  for (std::int32_t vocab : {1, 7, 31, 33, 50000}) {
    const auto logits = random_logits(static_cast<std::size_t>(vocab), 17, 3.0f);
    const std::vector<std::int32_t> banned{0};
    SamplerOptions o;
    o.logprobs = 20;
    o.repetition_penalty = 2.0f;
    if (vocab > 1) o.banned = banned;
    auto sampler = make(vocab, o);
    const auto choice = sampler.sample(logits, std::vector<std::int32_t>{vocab / 2}, 0);
    REQUIRE(choice);
    std::vector<kinglet::test::Candidate> all;
    for (std::int32_t i = 0; i < vocab; ++i) all.push_back({logits[static_cast<std::size_t>(i)], i});
    std::sort(all.begin(), all.end(), kinglet::test::before);
    const auto p = kinglet::test::probabilities(all);
    REQUIRE(choice->top.size() == static_cast<std::size_t>(std::min(vocab, 20)));
    for (std::size_t i = 0; i < choice->top.size(); ++i) {
      CHECK(choice->top[i].token == all[i].token);
      CHECK(std::fabs(static_cast<double>(choice->top[i].logprob) - std::log(p[i])) < 3e-6);
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].token != choice->token) continue;
      CHECK(std::fabs(static_cast<double>(choice->logprob) - std::log(p[i])) < 3e-6);
    }
  }
}

// Chi-square with 30 degrees of freedom: a right sampler stays below 59.7 in 999 of 1,000 seeds; these seeds are fixed.
TEST_CASE("draws follow the softmax", "[sample]") {
  const auto logits = random_logits(31, 5, 1.0f);
  for (float temperature : {0.7f, 1.0f, 2.0f}) {
    SamplerOptions o;
    o.temperature = temperature;
    o.seed = 123;
    auto sampler = make(31, o);
    constexpr int draws = 60000;
    std::array<int, 31> seen{};
    for (std::uint64_t i = 0; i < draws; ++i) ++seen[static_cast<std::size_t>(sampler.sample(logits, {}, i)->token)];
    std::vector<kinglet::test::Candidate> all;
    for (std::int32_t i = 0; i < 31; ++i) all.push_back({logits[static_cast<std::size_t>(i)], i});
    const auto p = kinglet::test::probabilities(all, static_cast<double>(temperature));
    double chi = 0;
    for (std::size_t i = 0; i < 31; ++i) chi += (seen[i] - draws * p[i]) * (seen[i] - draws * p[i]) / (draws * p[i]);
    CHECK(chi < 59.7);
    CHECK(chi > 8.0);  // too good would be wrong as well
  }
}

TEST_CASE("equal logits: the lowest id wins", "[sample]") {
  std::vector<float> logits(33, 0.0f);
  logits[0] = logits[5] = -0.0f;  // equal to +0
  CHECK(make(33).sample(logits, {}, 0)->token == 0);
  SamplerOptions o;
  o.temperature = 1.0f;
  o.top_k = 7;
  auto sampler = make(33, o);
  std::set<std::int32_t> seen;
  for (std::uint64_t i = 0; i < 500; ++i) seen.insert(sampler.sample(logits, {}, i)->token);
  CHECK(seen == std::set<std::int32_t>{0, 1, 2, 3, 4, 5, 6});
  o.top_k = 0;
  o.top_p = 0.5f;
  REQUIRE(sampler.configure(o));
  seen.clear();
  for (std::uint64_t i = 0; i < 500; ++i) seen.insert(sampler.sample(logits, {}, i)->token);
  CHECK(seen.size() == 17);
  CHECK(*seen.rbegin() == 16);
}

TEST_CASE("a token depends on no call before it, and on no history out of sight", "[sample]") {
  const auto logits = random_logits(300, 9, 2.0f);
  SamplerOptions o;
  o.temperature = 1.0f;
  o.repetition_penalty = 1.2f;
  o.dry_multiplier = 1.0f;
  o.dry_last_n = 20;
  o.penalty_last_n = 10;
  auto a = make(300, o), b = make(300, o);
  std::vector<std::int32_t> history(50);
  for (std::size_t i = 0; i < history.size(); ++i) history[i] = static_cast<std::int32_t>(i % 3);
  auto other = history;
  for (std::size_t i = 0; i < 30; ++i) other[i] = 299;
  for (std::uint64_t i = 0; i < 50; ++i) {
    const std::int32_t token = a.sample(logits, history, i)->token;
    CHECK(b.sample(logits, other, i)->token == token);
    (void)b.sample(logits, {}, 1000 - i);
  }
  Sampler moved = std::move(a);
  CHECK(moved.sample(logits, history, 3)->token == b.sample(logits, history, 3)->token);
  CHECK(a.sample(logits, history, 3).error().code == Errc::moved_from);
  CHECK(a.configure(o).error().code == Errc::moved_from);
}

TEST_CASE("the host's rounding mode changes no token and no log-probability", "[sample]") {
  const auto logits = random_logits(5000, 21, 3.0f);
  SamplerOptions o;
  o.temperature = 0.9f;
  o.top_p = 0.95f;
  o.typical_p = 0.99f;
  o.logprobs = 5;
  auto sampler = make(5000, o);
  for (std::uint64_t position = 0; position < 50; ++position) {
    const auto near = sampler.sample(logits, {}, position);
    const std::vector<kinglet::sample::TokenProbability> top(near->top.begin(), near->top.end());
    for (int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
      std::fesetround(mode);
      const auto other = sampler.sample(logits, {}, position);
      const int kept = std::fegetround();
      std::fesetround(FE_TONEAREST);
      CHECK(kept == mode);
      CHECK(other->token == near->token);
      CHECK(other->logprob == near->logprob);
      for (std::size_t i = 0; i < top.size(); ++i) CHECK(other->top[i].logprob == top[i].logprob);
    }
  }
}

TEST_CASE("DRY makes a loop expensive, and a breaker makes it cheap again", "[sample]") {
  const std::vector<float> logits{0.0f, 0.0f, 0.0f, 1.0f, 0.9f};
  const std::vector<std::int32_t> history{1, 2, 3, 0, 1, 2};  // 3 would go on with "1 2"
  SamplerOptions o;
  CHECK(make(5, o).sample(logits, history, 6)->token == 3);
  o.dry_multiplier = 0.8f;
  CHECK(make(5, o).sample(logits, history, 6)->token == 4);
  const std::vector<std::int32_t> breakers{1};
  o.dry_breakers = breakers;
  CHECK(make(5, o).sample(logits, history, 6)->token == 3);
  o.dry_breakers = {};
  o.dry_allowed_length = 3;
  CHECK(make(5, o).sample(logits, history, 6)->token == 3);
}

TEST_CASE("options out of range are named", "[sample]") {
  auto sampler = make(10);
  const auto rejects = [&](const char* name, auto change) {
    SamplerOptions o;
    change(o);
    const auto status = sampler.configure(o);
    INFO(name << ": " << status.error().message);
    CHECK(status.error().code == Errc::invalid_argument);
    CHECK(std::string(status.error().message).find(name) != std::string::npos);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (float bad : {-0.1f, 100.5f, infinity, nan}) {
    rejects("temperature", [&](auto& o) { o.temperature = bad; });
    rejects("min_p", [&](auto& o) { o.min_p = bad; });
    rejects("dry_multiplier", [&](auto& o) { o.dry_multiplier = bad; });
    rejects("repetition_penalty", [&](auto& o) { o.repetition_penalty = bad; });
  }
  for (float bad : {0.0f, -1.0f, 1.001f, nan}) {
    rejects("top_p", [&](auto& o) { o.top_p = bad; });
    rejects("typical_p", [&](auto& o) { o.typical_p = bad; });
  }
  rejects("top_k", [](auto& o) { o.top_k = -1; });
  rejects("penalty_last_n", [](auto& o) { o.penalty_last_n = -2; });
  rejects("presence_penalty", [](auto& o) { o.presence_penalty = 101; });
  rejects("frequency_penalty", [](auto& o) { o.frequency_penalty = -101; });
  rejects("dry_base", [](auto& o) { o.dry_base = 0.9f; });
  rejects("dry_allowed_length", [](auto& o) { o.dry_allowed_length = 0; });
  rejects("dry_last_n", [](auto& o) { o.dry_last_n = 1 << 21; });
  rejects("logprobs", [](auto& o) { o.logprobs = 65; });
  const std::array<std::int32_t, 1> outside{10};
  const std::array<LogitBias, 1> far{LogitBias{-1, 0.0f}}, hot{LogitBias{1, infinity}};
  rejects("banned", [&](auto& o) { o.banned = outside; });
  rejects("dry_breakers", [&](auto& o) { o.dry_breakers = outside; });
  rejects("bias", [&](auto& o) { o.bias = far; });
  rejects("bias", [&](auto& o) { o.bias = hot; });
  CHECK(sampler.options().temperature == 0.0f);
}

TEST_CASE("bad logits, bad history and a vocabulary of bans are errors", "[sample]") {
  std::vector<float> logits(40, 1.0f);
  SamplerOptions o;
  o.repetition_penalty = 1.1f;
  auto sampler = make(40, o);
  CHECK(sampler.sample(std::span(logits).first(39), {}, 0).error().code == Errc::invalid_argument);
  for (std::int32_t id : {-1, 40}) {
    CHECK(sampler.sample(logits, std::vector<std::int32_t>{id}, 0).error().code == Errc::invalid_argument);
  }
  auto large = make(200, o);
  for (std::size_t at : {0u, 1u, 63u, 64u, 127u, 128u, 191u, 192u, 199u}) {
    for (float bad : {infinity, std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> broken(200, 1.0f);
      broken[at] = bad;
      CHECK(large.sample(broken, {}, 0).error().code == Errc::not_finite);
    }
  }
  CHECK(sampler.sample(std::vector<float>(40, -infinity), {}, 0).error().code == Errc::invalid_argument);
  std::vector<std::int32_t> all(40);
  std::iota(all.begin(), all.end(), 0);
  o.banned = all;
  REQUIRE(sampler.configure(o));
  CHECK(sampler.sample(logits, {}, 0).error().code == Errc::invalid_argument);
  o.banned = std::span(all).first(39);
  REQUIRE(sampler.configure(o));
  CHECK(sampler.sample(logits, {}, 0)->token == 39);
}

TEST_CASE("huge logits, bias and penalties keep a candidate a candidate", "[sample]") {
  const float largest = std::numeric_limits<float>::max();
  const std::vector<float> logits{-largest, largest};
  const std::vector<LogitBias> bias{{0, -largest}, {1, largest}};
  SamplerOptions o;
  o.bias = bias;
  o.repetition_penalty = 100.0f;
  o.dry_multiplier = 100.0f;
  o.dry_base = 100.0f;
  o.temperature = 1.0f;
  o.typical_p = 0.5f;
  auto sampler = make(2, o);
  const std::vector<std::int32_t> history(100, 1);
  CHECK(sampler.sample(logits, history, 0));
  const std::vector<std::int32_t> banned{1};
  o.banned = banned;
  REQUIRE(sampler.configure(o));
  CHECK(sampler.sample(logits, history, 0)->token == 0);
}

TEST_CASE("a sampler takes the bytes it tells, and none to sample", "[sample]") {
  const std::vector<std::int32_t> tokens{1, 2, 3};
  const std::vector<LogitBias> bias{{4, 1.0f}};
  SamplerOptions o;
  o.temperature = 1.0f;
  o.top_p = 0.9f;
  o.dry_multiplier = 1.0f;
  o.banned = o.dry_breakers = tokens;
  o.bias = bias;
  kinglet::core::Memory memory;
  {
    auto sampler = Sampler::create(1000, &memory);
    CHECK(memory.used() == Sampler::bytes(1000));
    REQUIRE(sampler->configure(o));
    const std::size_t used = Sampler::bytes(1000) + Sampler::options_bytes(o);
    CHECK(memory.used() == used);
    REQUIRE(sampler->configure(sampler->options()));  // its own lists
    CHECK(memory.used() == used);
    CHECK(sampler->options().banned.size() == 3);
    const std::size_t peak = memory.peak();
    REQUIRE(sampler->sample(random_logits(1000, 1, 1.0f), tokens, 0));
    CHECK(memory.peak() == peak);
  }
  CHECK(memory.used() == 0);

  kinglet::core::Memory tight({}, Sampler::bytes(1000));
  auto sampler = Sampler::create(1000, &tight);
  REQUIRE(sampler);
  CHECK(sampler->configure(o).error().code == Errc::out_of_memory);
  CHECK(sampler->options().temperature == 0.0f);
  for (std::size_t limit : {std::size_t{1}, std::size_t{2000}, Sampler::bytes(1000) - 1}) {
    kinglet::core::Memory small({}, limit);
    CHECK(Sampler::create(1000, &small).error().code == Errc::out_of_memory);
    CHECK(small.used() == 0);
  }
  CHECK(Sampler::create(0, &memory).error().code == Errc::invalid_argument);
  CHECK(Sampler::create((1 << 22) + 1, &memory).error().code == Errc::invalid_argument);
  CHECK(Sampler::bytes(-1) == 0);
}

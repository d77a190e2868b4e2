// examples/sample_token.cpp: what do the sampler's options do to the same row of logits?
//
// The sampler needs no model: any row of logits will do. Each line draws 10,000 positions with another setting.
#include <array>
#include <cstdio>
#include <vector>

#include <kinglet/sample/sampler.hpp>

int main() {
  using namespace kinglet::sample;
  const char* words[] = {"sword", "shield", "horse", "song", "cabbage", "comet"};
  const std::vector<float> logits{4.0f, 3.5f, 2.5f, 2.0f, 0.0f, -2.0f};
  const std::vector<std::int32_t> history{0, 0, 1};  // the sword was spoken of twice already

  struct Setting {
    const char* name;
    SamplerOptions options;
  };
  std::vector<Setting> settings{{"greedy", {}},    {"temperature 1", {}}, {"temperature 0.5", {}}, {"top_k 3", {}},
                                {"top_p 0.8", {}}, {"min_p 0.1", {}},     {"typical 0.3", {}},     {"frequency 1", {}}};
  for (std::size_t i = 1; i < settings.size(); ++i) settings[i].options.temperature = 1.0f;
  settings[2].options.temperature = 0.5f;
  settings[3].options.top_k = 3;
  settings[4].options.top_p = 0.8f;
  settings[5].options.min_p = 0.1f;
  settings[6].options.typical_p = 0.3f;
  settings[7].options.frequency_penalty = 1.0f;

  auto sampler = Sampler::create(static_cast<std::int32_t>(logits.size()), std::pmr::get_default_resource());
  if (!sampler) return std::fprintf(stderr, "sample_token: %s\n", sampler.error().message), 1;
  std::printf("%-16s", "draws in %");
  for (const char* word : words) std::printf("%9s", word);
  std::printf("\n");
  for (Setting& setting : settings) {
    setting.options.seed = 42;
    setting.options.logprobs = 3;
    if (const auto status = sampler->configure(setting.options); !status) {
      return std::fprintf(stderr, "sample_token: %s\n", status.error().message), 1;
    }
    std::array<int, 6> seen{};
    for (std::uint64_t position = 0; position < 10000; ++position) {
      const auto choice = sampler->sample(logits, history, position);
      if (!choice) return std::fprintf(stderr, "sample_token: %s\n", choice.error().message), 1;
      ++seen[static_cast<std::size_t>(choice->token)];
    }
    std::printf("%-16s", setting.name);
    for (int n : seen) std::printf("%9.2f", n / 100.0);
    std::printf("\n");
  }

  const auto choice = sampler->sample(logits, history, 0);
  std::printf("\nposition 0 always gives \"%s\" (log-probability %.3f); most probable:", words[choice->token],
              static_cast<double>(choice->logprob));
  for (const TokenProbability& t : choice->top) std::printf(" %s %.3f", words[t.token], static_cast<double>(t.logprob));
  std::printf("\n");
  return 0;
}

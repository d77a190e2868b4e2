// tests/cuda/choices.hpp: are the tokens that a step was told to choose the CPU's?
#pragma once
#include <kinglet/sample/sampler.hpp>

#include "tests/catch.hpp"
#include "tests/ops/hand_model.hpp"

namespace kinglet::test {

/// A sampler's options, of which no two in a row are the same.
inline sample::SamplerOptions nth_options(std::uint64_t n) {
  sample::SamplerOptions o;
  o.seed = n;
  o.temperature = n % 4 == 0 ? 0.0f : 0.5f * static_cast<float>(n % 4);
  o.top_k = n % 3 == 0 ? 0 : 50;
  o.top_p = n % 5 == 0 ? 1.0f : 0.8f;
  o.min_p = n % 7 == 0 ? 0.01f : 0.0f;
  o.repetition_penalty = n % 2 == 0 ? 1.0f : 1.2f;
  o.penalty_last_n = n % 6 == 1 ? 5 : -1;
  return o;
}

/// One step of sessions of different lengths. Of every second row of logits a choice is foreseen; the last of them is
/// asked for with other options after all.
/// @param look  called with how many choices were asked for so far: when the step has ended, and after each foreseen
/// one
template <class Look>
void compare_foreseen(const ops::BackendInfo& gpu, const HandModel& model, Look&& look) {
  constexpr std::uint32_t lengths[] = {1, 7, 2, 12, 1, 31};
  std::vector<HandSession> sessions;
  std::vector<const HandSession*> pointers;
  std::vector<std::uint32_t> from(std::size(lengths), 0);
  std::uint32_t rows = 0, pages = 0;
  for (const std::uint32_t n : lengths) {
    sessions.push_back(make_session(rows + 1, n, pages, model.shape));
    rows += n;
    pages += static_cast<std::uint32_t>(sessions.back().pages.size());
  }
  for (const HandSession& session : sessions) pointers.push_back(&session);
  Placed cpu(scalar_backend(), model, model.shape), placed(gpu, model, model.shape);
  std::vector<sample::Sampler> samplers;
  std::vector<std::uint32_t> of;  // the row of logits of each choice
  for (std::uint32_t i = 0; i < std::size(lengths); ++i) {
    auto sampler =
        sample::Sampler::create(static_cast<std::int32_t>(model.shape.vocab), std::pmr::get_default_resource());
    REQUIRE(sampler.ok());
    REQUIRE(sampler->configure(nth_options(i)).ok());
    of.push_back(2 * i + 1);
    const auto request = sampler->request(of.back(), sessions[3].tokens, 40 + i);
    REQUIRE(request.has_value());
    placed.choices.push_back(*request);
    samplers.push_back(std::move(*sampler));
  }
  const std::vector<float> logits = cpu.step(pointers, from, {std::begin(lengths), std::end(lengths)});
  REQUIRE(logits.size() == std::size_t{rows} * model.shape.vocab);
  REQUIRE(placed.begin_and_walk(pointers, from, {std::begin(lengths), std::end(lengths)}).ok());
  REQUIRE(*placed->finish(true));
  look(std::size_t{0});
  REQUIRE(samplers.back().configure(nth_options(99)).ok());
  for (std::size_t i = 0; i < samplers.size(); ++i) {
    INFO("choice " << i);
    const auto row = std::span(logits).subspan(of[i] * model.shape.vocab, model.shape.vocab);
    const auto expected = samplers[i].sample(row, sessions[3].tokens, 40 + i);
    const auto got = samplers[i].sample(*placed, of[i], sessions[3].tokens, 40 + i);
    REQUIRE(expected.ok());
    REQUIRE(got.ok());
    CHECK(expected->token == got->token);
    CHECK(expected->logprob == got->logprob);
    if (i + 1 < samplers.size()) look(i + 1);
  }
  for (std::uint32_t i = 0; i < rows; ++i) {  // those that were chosen from, too
    const auto row = placed->logits(i);
    REQUIRE(row.ok());
    CHECK(std::equal(row->begin(), row->end(), logits.begin() + static_cast<std::ptrdiff_t>(i * model.shape.vocab)));
  }
}

}  // namespace kinglet::test

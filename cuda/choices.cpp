// cuda/choices.cpp: which tokens does the device choose, and when?
//
// Those that the step was told of come back with it. Any other is chosen when it is asked for, and waited for.
#include <algorithm>

#include "backend.hpp"
#include "core/fail.hpp"
#include "kernels.cuh"

namespace kinglet::cuda {
namespace {

ChoiceRules rules_of(const ops::SampleRequest& request, std::size_t window_first) noexcept {
  ChoiceRules rules{};
  rules.random = request.random;
  rules.repetition = request.repetition;
  rules.presence = request.presence;
  rules.frequency = request.frequency;
  rules.top_p = request.top_p;
  rules.floor = request.floor;
  rules.temperature = request.temperature;
  rules.top_k = request.top_k;
  rules.logits = request.logits;
  rules.window_first = static_cast<std::uint32_t>(window_first);
  rules.window = static_cast<std::uint32_t>(request.window.size());
  return rules;
}

}  // namespace

bool CudaBackend::samples(const ops::SampleRequest& request) const noexcept {
  return request.window.size() <= sample_window;
}

/// Would its kernel stay within the step and the vocabulary?
Status CudaBackend::check_choice(const ops::SampleRequest& request) const noexcept {
  if (request.logits >= batch_.logits.size()) {
    return core::fail(Errc::invalid_argument, "the step has no logits row {}", request.logits);
  }
  if (!samples(request)) return Error{Errc::unsupported, "the penalties look at more tokens than the device takes"};
  for (const std::int32_t token : request.window) {
    if (token >= 0 && static_cast<std::uint32_t>(token) < shape_.vocab) continue;
    return core::fail(Errc::invalid_argument, "sampler: the history holds token {}, the vocabulary has {}", token,
                      shape_.vocab);
  }
  return {};
}

/// Enqueues the upload of choices [first, first + requests) and of the tokens that their penalties look at.
Status CudaBackend::upload_choices(std::size_t first, std::span<const ops::SampleRequest> requests) noexcept {
  auto* const rules = pinned<ChoiceRules>(layout_.host_rules) + first;
  auto* const windows = pinned<std::int32_t>(layout_.host_windows);
  const std::size_t begin = first * sample_window;
  std::size_t end = begin;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    rules[i] = rules_of(requests[i], end);
    std::copy(requests[i].window.begin(), requests[i].window.end(), windows + end);
    end += requests[i].window.size();
  }
  const auto up = [&](auto* to, const auto* from, std::size_t bytes) {
    return bytes == 0 ? Status() : check(driver_->upload(to, from, bytes), "cudaMemcpyAsync to the device");
  };
  Status s = up(view<ChoiceRules>(layout_.rules, 0).data + first, rules, requests.size() * sizeof *rules);
  if (s) s = up(view<std::int32_t>(layout_.windows, 0).data + begin, windows + begin, (end - begin) * sizeof *windows);
  // Whatever comes to nothing after this, the pinned memory is not written before it was read.
  step_set_ = driver_->set(step_mark) == 0 || step_set_;
  return s;
}

/// Takes note of what the step is to choose. What is not to be had is left to sample(), which says why.
Status CudaBackend::foresee(std::span<const ops::SampleRequest> requests) noexcept {
  foreseen_ = 0;
  chosen_ = false;
  if (requests.size() >= layout_.choices) return Error{Errc::internal, "a step has more choices than rows of logits"};
  const auto good = [&](const ops::SampleRequest& request) { return check_choice(request).ok(); };
  if (requests.empty() || !std::all_of(requests.begin(), requests.end(), good)) return {};
  foreseen_ = static_cast<std::uint32_t>(requests.size());
  return upload_choices(0, requests);
}

/// Enqueues choices [first, first + n).
Status CudaBackend::choose(std::size_t first, std::uint32_t n) noexcept {
  const std::size_t vocab = shape_.vocab;
  SampleArgs a{};
  a.logits = view<const float>(layout_.logits, batch_.logits.size() * vocab);
  a.values = view<float>(layout_.values, n * vocab);
  a.rules = view<const ChoiceRules>(layout_.rules + first * sizeof(ChoiceRules), n);
  a.windows = view<const std::int32_t>(layout_.windows, layout_.choices * sample_window);
  a.out = view<SampledRow>(layout_.sampled + first * sizeof(SampledRow), n);
  a.vocab = shape_.vocab;
  return launch(KernelKind::sample, {}, launch_sample(n, SampleRow::shared_bytes), a);
}

Status CudaBackend::fetch_choices() noexcept {
  const std::size_t n = batch_.logits.size();
  if (chosen_) {
    if (const Status s = download(layout_.host_sampled, layout_.sampled, foreseen_ * sizeof(SampledRow)); !s) return s;
  }
  for (std::uint32_t first = 0, last = 0; first < n; first = last + 1) {
    for (last = first; last < n && find_choice(last) == none; ++last) continue;
    if (const Status s = download_logits(first, last - first); !s) return s;
  }
  return {};
}

/// Which of the step's choices is made of a row of logits?
std::uint32_t CudaBackend::find_choice(std::uint32_t logits) const noexcept {
  const auto* const rules = pinned<ChoiceRules>(layout_.host_rules);
  for (std::uint32_t i = 0; i < foreseen_; ++i) {
    if (rules[i].logits == logits) return i;
  }
  return none;
}

/// Is the step's choice i what the request asks for?
bool CudaBackend::is_choice(std::uint32_t i, const ops::SampleRequest& request) const noexcept {
  const ChoiceRules& rules = pinned<ChoiceRules>(layout_.host_rules)[i];
  const auto* const window = pinned<std::int32_t>(layout_.host_windows) + rules.window_first;
  return rules == rules_of(request, rules.window_first) &&
         std::equal(request.window.begin(), request.window.end(), window);
}

Result<ops::Sampled> CudaBackend::sample(const ops::SampleRequest& request) noexcept {
  if (const Status s = check_choice(request); !s) return s.error();
  if (const Status s = complete(); !s) return s.error();
  std::size_t at = find_choice(request.logits);
  if (!chosen_ || at == none || !is_choice(static_cast<std::uint32_t>(at), request)) {
    at = layout_.choices - 1;
    if (const Status s = choose_now(at, request); !s) return s.error();
  }
  const SampledRow& row = pinned<SampledRow>(layout_.host_sampled)[at];
  return ops::Sampled{row.token, row.finite != 0, row.logit, row.max, row.sum};
}

Status CudaBackend::choose_now(std::size_t at, const ops::SampleRequest& request) noexcept {
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  if (const Status s = upload_choices(at, {&request, 1}); !s) return s;
  if (const Status s = choose(at, 1); !s) return s;
  const std::size_t offset = at * sizeof(SampledRow);
  if (const Status s = download(layout_.host_sampled + offset, layout_.sampled + offset, sizeof(SampledRow)); !s) {
    return s;
  }
  return wait_for_step();
}

}  // namespace kinglet::cuda

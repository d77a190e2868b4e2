// cuda/results.cpp: what does the host get of a step, and when does it wait for it?
#include <algorithm>
#include <cstring>

#include "backend.hpp"
#include "core/fail.hpp"
#include "kernels.cuh"
#include "ops/crossing.hpp"

namespace kinglet::cuda {

Status CudaBackend::download(std::size_t to, std::size_t from, std::size_t bytes) noexcept {
  if (bytes == 0) return {};
  return check(driver_->download(pinned<std::byte>(to), view<std::byte>(from, 0).data, bytes),
               "cudaMemcpyAsync from the device");
}

Status CudaBackend::wait_for_step() noexcept {
  step_set_ = true;
  if (const Status s = check(driver_->set(step_mark), "cudaEventRecord"); !s) return s;
  return check(driver_->wait(step_mark), "a step's kernels");
}

/// Enqueues the way back of what is always looked at, and of states; logits stay.
Status CudaBackend::fetch() noexcept {
  if (fetched_) return {};
  fetched_ = true;
  const std::size_t hidden = batch_.hidden.size() * shape_.dim * sizeof(float);
  if (const Status s = download(layout_.host_hidden, layout_.hidden, hidden); !s) return s;
  if (const Status s = download(layout_.host_bad, layout_.bad, rows() * sizeof(std::uint32_t)); !s) return s;
  step_set_ = true;
  return check(driver_->set(step_mark), "cudaEventRecord");
}

Status CudaBackend::complete() noexcept {
  if (finished_) return finish_status_;
  const Entered entered(*driver_);
  finish_status_ = check(entered.code, "making the device current");
  if (finish_status_) finish_status_ = fetch();
  if (finish_status_) finish_status_ = check(driver_->wait(step_mark), "a step's kernels");
  finished_ = true;
  return finish_status_;
}

Result<bool> CudaBackend::finish(bool wait) noexcept {
  if (!wait && !finished_) {
    const Entered entered(*driver_);
    if (const Status s = check(entered.code, "making the device current"); !s) return s.error();
    if (const Status s = fetch(); !s) return s.error();
    bool reached = false;
    if (const Status s = check(driver_->query(step_mark, reached), "a step's kernels"); !s) return s.error();
    if (!reached) return false;
  }
  if (const Status s = complete(); !s) return s.error();
  return true;
}

Status CudaBackend::fetch_logits() noexcept {
  if (const Status s = complete(); !s || logits_fetched_) return s;
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  const std::size_t bytes = batch_.logits.size() * shape_.vocab * sizeof(float);
  if (const Status s = download(layout_.host_logits, layout_.logits, bytes); !s) return s;
  if (const Status s = wait_for_step(); !s) return s;
  logits_fetched_ = true;
  return {};
}

Result<std::span<const float>> CudaBackend::logits(std::uint32_t i) noexcept {
  if (i >= batch_.logits.size()) return core::fail(Errc::invalid_argument, "the step has no logits row {}", i);
  if (const Status s = fetch_logits(); !s) return s.error();
  return std::span<const float>(pinned<float>(layout_.host_logits) + std::size_t{i} * shape_.vocab, shape_.vocab);
}

Result<std::span<const float>> CudaBackend::hidden(std::uint32_t i) noexcept {
  if (i >= batch_.hidden.size()) return core::fail(Errc::invalid_argument, "the step has no hidden row {}", i);
  if (const Status s = complete(); !s) return s.error();
  return std::span<const float>(pinned<float>(layout_.host_hidden) + std::size_t{i} * shape_.dim, shape_.dim);
}

std::int32_t CudaBackend::bad_layer(std::uint32_t row) noexcept {
  if (row >= rows()) return -1;
  if (!complete()) return 0;  // nothing of a failed step is to be trusted
  return static_cast<std::int32_t>(pinned<std::uint32_t>(layout_.host_bad)[row]);
}

bool CudaBackend::samples(const ops::SampleRequest& request) const noexcept {
  return request.window.size() <= sample_window;
}

Result<ops::Sampled> CudaBackend::sample(const ops::SampleRequest& request) noexcept {
  if (request.logits >= batch_.logits.size()) {
    return core::fail(Errc::invalid_argument, "the step has no logits row {}", request.logits);
  }
  if (!samples(request)) return Error{Errc::unsupported, "the penalties look at more tokens than the device takes"};
  for (const std::int32_t token : request.window) {
    if (token >= 0 && static_cast<std::uint32_t>(token) < shape_.vocab) continue;
    return core::fail(Errc::invalid_argument, "sampler: the history holds token {}, the vocabulary has {}", token,
                      shape_.vocab);
  }
  if (const Status s = complete(); !s) return s.error();  // and what the last choice read of pinned memory is free
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s.error();
  if (const Status s = enqueue_sample(request); !s) return s.error();
  if (const Status s = download(layout_.host_sampled, layout_.sampled, sizeof(SampledRow)); !s) return s.error();
  if (const Status s = wait_for_step(); !s) return s.error();
  const SampledRow& row = *pinned<SampledRow>(layout_.host_sampled);
  return ops::Sampled{row.token, row.finite != 0, row.logit, row.max, row.sum};
}

Status CudaBackend::enqueue_sample(const ops::SampleRequest& request) noexcept {
  SampleArgs a{};
  const std::size_t vocab = shape_.vocab, n = request.window.size();
  a.logits = view<const float>(layout_.logits + request.logits * vocab * sizeof(float), vocab);
  a.values = view<float>(layout_.values, vocab);
  a.out = view<SampledRow>(layout_.sampled, 1);
  if (n != 0) {
    a.window = view<const std::int32_t>(layout_.window, n);
    auto* const window = pinned<std::int32_t>(layout_.host_window);
    std::copy(request.window.begin(), request.window.end(), window);
    const Status s =
        check(driver_->upload(view<std::int32_t>(layout_.window, n).data, window, n * sizeof(std::int32_t)),
              "cudaMemcpyAsync to the device");
    if (!s) return s;
  }
  a.random = request.random;
  a.repetition = request.repetition;
  a.presence = request.presence;
  a.frequency = request.frequency;
  a.top_p = request.top_p;
  a.floor = request.floor;
  a.temperature = request.temperature;
  a.top_k = request.top_k;
  return launch(KernelKind::sample, {}, launch_sample(SampleRow::shared_bytes), a);
}

Status CudaBackend::read_rows(std::span<float> x) noexcept {
  if (const Status s = ops::check_crossing(x.size(), rows(), shape_.dim); !s) return s;
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  if (const Status s = download(layout_.host_hidden, layout_.x, x.size_bytes()); !s) return s;
  if (const Status s = wait_for_step(); !s) return s;
  std::memcpy(x.data(), pinned<float>(layout_.host_hidden), x.size_bytes());
  return {};
}

Status CudaBackend::write_rows(std::span<const float> x) noexcept {
  if (const Status s = ops::check_crossing(x.size(), rows(), shape_.dim); !s) return s;
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  if (const Status s = upload(view<float>(layout_.x, x.size()).data, x.data(), x.size_bytes()); !s) return s;
  return embed({});
}

}  // namespace kinglet::cuda

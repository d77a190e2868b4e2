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

/// Enqueues the way back of what will be looked at: of the logits, the rows of which nothing was to be chosen.
Status CudaBackend::fetch() noexcept {
  if (fetched_) return {};
  fetched_ = true;
  if (const Status s = fetch_choices(); !s) return s;
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

/// Of `n` rows from row `first` on.
Status CudaBackend::download_logits(std::size_t first, std::size_t n) noexcept {
  const std::size_t row = shape_.vocab * sizeof(float);
  return download(layout_.host_logits + first * row, layout_.logits + first * row, n * row);
}

/// @param i  a row that fetch() has left on the device
Status CudaBackend::fetch_logits(std::uint32_t i) noexcept {
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  if (const Status s = download_logits(i, 1); !s) return s;
  return wait_for_step();
}

Result<std::span<const float>> CudaBackend::logits(std::uint32_t i) noexcept {
  if (i >= batch_.logits.size()) return core::fail(Errc::invalid_argument, "the step has no logits row {}", i);
  if (const Status s = complete(); !s) return s.error();
  if (find_choice(i) != none) {
    if (const Status s = fetch_logits(i); !s) return s.error();
  }
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

// cuda/backend.cpp: how does a GPU serve the kernel table?
#include "backend.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "core/fail.hpp"
#include "ops/batch_fault.hpp"

namespace kinglet::cuda {
namespace {

constexpr std::size_t alignment = 64;

constexpr std::size_t aligned(std::size_t bytes) noexcept { return aligned_to(alignment, bytes); }

/// Counts the devices; an error in words where there are none.
Error find_devices(Driver& driver, int& count) noexcept {
  const int code = driver.device_count(count);
  if (code == 0 && count > 0) return {};
  if (code == error_driver) {
    int has = 0, needs = 0;
    if (driver.versions(has, needs) != 0 || has == 0) {
      return {Errc::backend,
              "backend 'cuda' needs an NVIDIA driver, which this machine lacks; install one, or leave the "
              "choice of the backend to the library"};
    }
    return core::fail(
        Errc::backend,
        "backend 'cuda' needs a driver for CUDA {}.{}, but this machine's is for {}.{}; update it, or leave "
        "the choice of the backend to the library",
        needs / 1000, needs % 1000 / 10, has / 1000, has % 1000 / 10);
  }
  if (code == 0 || code == error_no_device) {
    return {Errc::backend,
            "backend 'cuda' needs an NVIDIA GPU, which this machine lacks or hides; leave the choice of "
            "the backend to the library"};
  }
  return core::fail(Errc::backend, "CUDA: cudaGetDeviceCount: {} (code {})", driver.text(code), code);
}

/// "0 (NAME), 1 (NAME)", as far as it fits.
template <std::size_t size>
void list_devices(Driver& driver, int count, char (&text)[size]) noexcept {
  char* at = text;
  for (int i = 0; i < count; ++i) {
    DeviceInfo info;
    (void)driver.describe(i, info);
    const auto left = static_cast<std::size_t>(text + size - 1 - at);
    at = fmt::format_to_n(at, left, "{}{} ({})", i == 0 ? "" : ", ", i, info.name).out;
  }
}

}  // namespace

Error CudaBackend::fault(const DriverMaker& maker) noexcept {
  struct alignas(64) Place {
    std::byte bytes[1024];
  } place;
  if (maker.bytes > sizeof place) return {Errc::internal, "a driver's table is larger than its place"};
  Driver* const driver = maker.make(place.bytes);
  int count = 0;
  const Error error = find_devices(*driver, count);
  driver->~Driver();
  return error;
}

/// The backend, the operations that its graphs are made of, and the driver's table.
std::size_t CudaBackend::object_bytes(const DriverMaker& maker, const ops::ContextShape& shape) noexcept {
  return aligned(sizeof(CudaBackend)) + aligned(known_ops_bytes(shape)) + maker.bytes;
}

std::size_t CudaBackend::bytes(const DriverMaker& maker, const ops::ContextShape& shape) noexcept {
  const DeviceLayout l = device_layout(shape);
  std::size_t total = 0;
  if (!l.ok || __builtin_add_overflow(l.device_bytes, l.pinned_bytes, &total) ||
      __builtin_add_overflow(total, object_bytes(maker, shape), &total)) {
    return 0;
  }
  return total;
}

Result<ops::Backend*> CudaBackend::create(const DriverMaker& maker, const ops::ContextShape& shape,
                                          core::Memory& memory) noexcept {
  const DeviceLayout layout = device_layout(shape);
  if (!layout.ok)
    return core::fail(Errc::invalid_argument,
                      "the model's sizes times the options' overflow, or are beyond what the kernels take");
  return core::guarded([&]() -> Result<ops::Backend*> {
    const std::size_t object = object_bytes(maker, shape);
    if (!memory.reserve(layout.device_bytes + layout.pinned_bytes)) return core::out_of_memory();
    void* block = nullptr;
    try {
      block = memory.allocate(object, alignment);
    } catch (...) {
      memory.release(layout.device_bytes + layout.pinned_bytes);
      throw;
    }
    auto* self = new (block) CudaBackend(shape, layout, memory);
    self->total_ = object;
    self->known_ops_ = reinterpret_cast<ops::Op*>(static_cast<std::byte*>(block) + aligned(sizeof(CudaBackend)));
    std::uninitialized_default_construct_n(self->known_ops_, known_ops_bytes(shape) / sizeof(ops::Op));
    const Status opened = self->open(maker, static_cast<std::byte*>(block) + object - maker.bytes);
    if (opened) return self;
    destroy(self, memory);
    return opened.error();
  });
}

void CudaBackend::destroy(ops::Backend* backend, core::Memory& memory) noexcept {
  auto* self = static_cast<CudaBackend*>(backend);
  self->close();
  const std::size_t object = self->total_;
  memory.release(self->layout_.device_bytes + self->layout_.pinned_bytes);
  self->~CudaBackend();
  memory.deallocate(static_cast<void*>(self), object, alignment);
}

Status CudaBackend::check(Driver* driver, int device, int code, const char* call) noexcept {
  if (code == 0) return {};
  const char* text = driver != nullptr ? driver->text(code) : "";
  return core::fail(code == error_out_of_memory ? Errc::out_of_memory : Errc::backend,
                    "CUDA: {}: {} (code {}, device {})", call, text, code, device);
}

Status CudaBackend::check(int code, const char* call) const noexcept {
  return check(driver_, device_index_, code, call);
}

Status CudaBackend::open(const DriverMaker& maker, void* place) noexcept {
  driver_ = maker.make(place);
  int count = 0;
  if (Error error = find_devices(*driver_, count)) return error;
  if (device_index_ < 0 || device_index_ >= count) {
    char names[160] = {};
    list_devices(*driver_, count, names);
    return core::fail(Errc::backend, "there is no CUDA device {}; this machine has {}", device_index_, names);
  }
  DeviceInfo info;
  if (const Status s = check(driver_->describe(device_index_, info), "cudaGetDeviceProperties"); !s) return s;
  if (info.compute < chips[0].compute) {
    return core::fail(Errc::backend, "CUDA device {} ({}) has compute capability {}.{}; the kernels need 7.5",
                      device_index_, info.name, info.compute / 10, info.compute % 10);
  }
  tuning_ = &tuning_of(info.compute);
  if (const Status s = check(driver_->open(device_index_, shape_.stream), "opening the device"); !s) return s;
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  if (const Status s = load_rows(info); !s) return s;
  if (const Status s = check(driver_->allocate(device_, layout_.device_bytes), "cudaMalloc"); !s) return s;
  if (const Status s = check(driver_->allocate_pinned(pinned_, layout_.pinned_bytes), "cudaHostAlloc"); !s) return s;
  return upload(view<std::byte>(layout_.rotary, 0).data, shape_.rotary_steps.data(),
                shape_.rotary_steps.size() * sizeof(std::uint64_t));
}

void CudaBackend::close() noexcept {
  if (driver_ == nullptr) return;
  // What is not freed now never is, hence second tries. Where the device cannot be made current, nothing is: the calls
  // would go to the host's own context.
  const auto twice = [](auto call) { return call() == 0 || call() == 0; };
  const bool entered = twice([&] { return driver_->enter(); });
  if (entered) {
    (void)twice([&] { return driver_->set(step_mark); });
    (void)twice([&] { return driver_->wait(step_mark); });  // nothing may still read what is freed here
    forget_graphs();
    give_back(*driver_, lent_);
    if (device_ != nullptr) driver_->release(device_);
    if (pinned_ != nullptr) driver_->release_pinned(pinned_);
  }
  free_weights(entered);
  if (entered) driver_->leave();
  driver_->close();
  driver_->~Driver();
  driver_ = nullptr;
}

Status CudaBackend::begin(const ops::Batch& batch) noexcept {
  if (batch.rows.size() > shape_.max_rows || batch.sequences.size() > shape_.max_sequences ||
      batch.logits.size() > shape_.max_logits || batch.hidden.size() > shape_.max_rows) {
    return core::fail(Errc::invalid_argument, "a step of {} rows does not fit the backend", batch.rows.size());
  }
  if (const char* fault = ops::find_fault(batch, shape_); fault != nullptr) {
    return core::fail(Errc::internal, "a step's batch has {}", fault);
  }
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  // The step before has read the pinned mirror, and its errors come out here at the latest.
  if (step_set_) {
    if (const Status s = check(driver_->wait(step_mark), "a step's kernels"); !s) return s;
  }
  batch_ = batch;
  fetched_ = finished_ = replayed_ = false;
  finish_status_ = {};
  if (const Status s = foresee(batch.choices); !s) return s;
  return upload_step(batch);
}

/// Every list has its place, so that a captured step finds the next one's there too.
Status CudaBackend::upload_step(const ops::Batch& batch) noexcept {
  auto* const start = pinned<std::uint32_t>(layout_.host_step);
  const auto* const device = view<const std::uint32_t>(layout_.step, 0).data;
  const auto list = [&](std::size_t at, std::size_t n, auto value) {
    for (std::size_t i = 0; i < n; ++i) start[at + i] = value(i);
    return View<const std::uint32_t>{device + at, n};
  };
  const std::size_t n = batch.rows.size(), most = shape_.max_rows, sequences = batch.sequences.size();
  const auto token = list(0, n, [&](std::size_t i) { return static_cast<std::uint32_t>(batch.rows[i].token); });
  token_ = {reinterpret_cast<const std::int32_t*>(token.data), n};
  position_ = list(most, n, [&](std::size_t i) { return batch.rows[i].position; });
  sequence_ = list(2 * most, n, [&](std::size_t i) { return batch.rows[i].sequence; });
  logits_of_ = list(3 * most, batch.logits.size(), [&](std::size_t i) { return batch.logits[i]; });
  hidden_of_ = list(4 * most, batch.hidden.size(), [&](std::size_t i) { return batch.hidden[i]; });
  std::size_t pages = 0;
  last_position_ = 0;
  decodes_ = n == sequences && n <= most_graph_rows;
  const auto pages_of = [](const ops::Sequence& s) {
    return (s.first_position + s.rows + ops::page_tokens - 1) / ops::page_tokens;
  };
  first_page_ = list(5 * most, sequences, [&](std::size_t i) {
    const ops::Sequence& s = batch.sequences[i];
    const std::size_t first = pages;
    pages += pages_of(s);
    last_position_ = std::max(last_position_, s.first_position + s.rows - 1);
    decodes_ = decodes_ && s.rows == 1;
    return static_cast<std::uint32_t>(first);
  });
  stretches_ = last_position_ / ops::stretch_tokens + 1;
  std::size_t used = 5 * most + shape_.max_sequences;
  pages_ = {device + used, pages};
  if (sizeof(std::uint32_t) * (used + pages) > layout_.step_bytes) {
    return core::fail(Errc::internal, "the step's sequences have {} pages, more than the pool", pages);
  }
  for (const ops::Sequence& s : batch.sequences) {
    used += list(used, pages_of(s), [&](std::size_t i) { return s.pages[i]; }).count;
  }
  if (n == 0) return {};
  const std::size_t bytes = used * sizeof(std::uint32_t);
  auto* const to = const_cast<std::uint32_t*>(device);
  if (const Status s = check(driver_->upload(to, start, bytes), "cudaMemcpyAsync to the device"); !s) return s;
  if (const Status s = check(driver_->fill(view<std::byte>(layout_.bad, 0).data, 0xff, n * 4), "cudaMemsetAsync"); !s) {
    return s;
  }
  step_set_ = true;
  return check(driver_->set(step_mark), "cudaEventRecord");
}

}  // namespace kinglet::cuda

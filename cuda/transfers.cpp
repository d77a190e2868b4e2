// cuda/transfers.cpp: how do weights, their kernels and pages come to the device, and pages back?
#include <algorithm>
#include <cstring>
#include <functional>
#include <new>

#include "backend.hpp"
#include "core/fail.hpp"
#include "quant/group.hpp"

namespace kinglet::cuda {
namespace {

/// What a matrix takes of the device, so that each begins at the start of a memory transaction.
std::size_t room_of(const ops::WeightView& weight) noexcept { return aligned_to(256, weight.row_bytes * weight.rows); }

/// Can kernels read it where it lies in the file? They read two bytes at once where a block has an even number of them
/// (group.cuh), in the file's order.
bool lies_well(const ops::WeightView& weight) noexcept {
  const bool even = reinterpret_cast<std::uintptr_t>(weight.data) % 2 == 0;
  return weight.layout == ops::WeightLayout::rows && (even || quant::info(weight.format).block_bytes % 2 != 0);
}

}  // namespace

/// The kernels that no matrix asks for. The first one also tells whether this build has any for the device.
Status CudaBackend::load_rows(const DeviceInfo& info) noexcept {
  const int code = driver_->load({KernelKind::prepare_values, {}});
  if (code == error_no_image || code == error_no_function) {
    return core::fail(Errc::backend,
                      "this build has no kernels for CUDA device {} ({}), whose compute capability is {}.{}; configure "
                      "it with that in KINGLET_CUDA_ARCHITECTURES",
                      device_index_, info.name, info.compute / 10, info.compute % 10);
  }
  if (const Status s = check(code, "loading the kernels"); !s) return s;
  KernelKind kinds[8] = {KernelKind::embed, KernelKind::rotate, KernelKind::attend, KernelKind::merge,
                         KernelKind::sample};
  std::size_t n = 5;
  if (shape_.gate > 0.0f) kinds[n++] = KernelKind::gate;
  if (shape_.bits == ops::Bits::device) kinds[n++] = KernelKind::prepare_halves;
  if (shape_.activations == ops::Activations::int8) kinds[n++] = KernelKind::prepare_int8;
  if (shape_.activations == ops::Activations::fp8) kinds[n++] = KernelKind::prepare_fp8;
  return load({kinds, n}, quant::Format::f32);
}

Status CudaBackend::load(std::span<const KernelKind> kinds, quant::Format format) noexcept {
  for (const KernelKind kind : kinds) {
    if (const Status s = check(driver_->load({kind, format}), kernel_text(kind)); !s) return s;
  }
  return {};
}

/// Those that read a matrix of this format.
Status CudaBackend::load_for(quant::Format format, ops::WeightUse use) noexcept {
  KernelKind kinds[4];
  std::size_t n = 0;
  if (use != ops::WeightUse::product) kinds[n++] = KernelKind::embed;
  if (use != ops::WeightUse::lookup) {
    if (shape_.bits == ops::Bits::device) kinds[n++] = KernelKind::product_halves;
    if (quant::is_float(format) || shape_.activations == ops::Activations::fp32) {
      kinds[n++] = KernelKind::product_floats;
    } else if (shape_.activations == ops::Activations::fp8) {
      kinds[n++] = KernelKind::product_fp8;
    } else {
      kinds[n++] = KernelKind::product_int8;
      kinds[n++] = KernelKind::product_many;
    }
  }
  return load({kinds, n}, format);
}

Status CudaBackend::upload(void* to, const void* from, std::size_t bytes) noexcept {
  const auto* source = static_cast<const std::byte*>(from);
  auto* target = static_cast<std::byte*>(to);
  while (bytes > 0) {
    const std::size_t part = std::min(bytes, staging_bytes);
    const std::size_t turn = next_staging_;
    if (staging_set_[turn]) {
      if (const Status s = check(driver_->wait(turn), "cudaEventSynchronize"); !s) return s;
    }
    std::byte* const staging = pinned<std::byte>(layout_.staging + turn * staging_bytes);
    std::memcpy(staging, source, part);
    if (const Status s = check(driver_->upload(target, staging, part), "cudaMemcpyAsync to the device"); !s) return s;
    if (const Status s = check(driver_->set(turn), "cudaEventRecord"); !s) return s;
    staging_set_[turn] = true;
    next_staging_ = 1 - turn;
    source += part;
    target += part;
    bytes -= part;
  }
  return {};
}

std::size_t CudaBackend::placed_bytes(const ops::ContextShape& shape, const ops::WeightView& weight) noexcept {
  return shape.lent && lies_well(weight) ? 0 : sizeof(Block) + room_of(weight);
}

const std::byte* CudaBackend::find_lent(const ops::WeightView& weight) const noexcept {
  const std::size_t bytes = weight.row_bytes * weight.rows;
  for (std::size_t i = 0; i < lent_.count && lies_well(weight); ++i) {
    const Lent& part = lent_.parts[i];
    if (std::less<>()(weight.data, part.host)) continue;
    const auto at = static_cast<std::size_t>(weight.data - part.host);
    if (at <= part.bytes && bytes <= part.bytes - at) return part.device + at;
  }
  return nullptr;
}

/// One block for all matrices: each of its own would be rounded up, to two megabytes where it is large. It is counted
/// as it fills and the file, which is counted too, empties.
Status CudaBackend::reserve(std::size_t bytes) noexcept {
  if (bytes == 0 || arena_.data != nullptr) return {};
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  if (const Status s = check(driver_->allocate(arena_.data, bytes), "cudaMalloc for the matrices"); !s) return s;
  arena_.bytes = bytes;
  return {};
}

/// Room for a matrix, in the arena or in a block of its own.
Result<std::byte*> CudaBackend::take(std::size_t room) {
  const std::size_t counted = sizeof(Block) + room;
  if (room <= arena_.bytes - arena_.used) {
    if (!memory_.reserve(counted)) return core::out_of_memory();
    arena_.counted += counted;
    std::byte* const at = static_cast<std::byte*>(arena_.data) + arena_.used;
    arena_.used += room;
    return at;
  }
  void* const place = static_cast<std::pmr::memory_resource&>(memory_).allocate(sizeof(Block), alignof(Block));
  auto* block = new (place) Block{blocks_, nullptr, room, room, room};
  Status s = memory_.reserve(room) ? Status() : Status(core::out_of_memory());
  if (s) {
    s = check(driver_->allocate(block->data, room), "cudaMalloc for a matrix");
    if (!s) memory_.release(room);
  }
  if (!s) {
    static_cast<std::pmr::memory_resource&>(memory_).deallocate(block, sizeof(Block), alignof(Block));
    return s.error();
  }
  blocks_ = block;  // from here on free_weights() frees it
  return static_cast<std::byte*>(block->data);
}

void CudaBackend::free_weights(bool entered) noexcept {
  if (entered && arena_.data != nullptr) driver_->release(arena_.data);
  memory_.release(arena_.counted);
  arena_ = {};
  for (Block* next = nullptr; blocks_ != nullptr; blocks_ = next) {
    next = blocks_->next;
    if (entered) driver_->release(blocks_->data);
    memory_.release(blocks_->counted);
    static_cast<std::pmr::memory_resource&>(memory_).deallocate(blocks_, sizeof(Block), alignof(Block));
  }
}

Status CudaBackend::place(std::span<ops::WeightView> weights, ops::WeightUse use) noexcept {
  for (ops::WeightView& weight : weights) {
    const auto placed = place(weight, use);
    if (!placed) return placed.error();
    weight = *placed;
  }
  return {};
}

Result<ops::WeightView> CudaBackend::place(const ops::WeightView& weight, ops::WeightUse use) noexcept {
  return core::guarded([&]() -> Result<ops::WeightView> {
    const Entered entered(*driver_);
    if (const Status s = check(entered.code, "making the device current"); !s) return s.error();
    forget_graphs();
    if (const Status s = load_for(weight.format, use); !s) return s.error();
    if (const std::byte* const there = find_lent(weight); there != nullptr) {
      ops::WeightView out = weight;
      out.data = there;
      return out;
    }
    const auto taken = take(room_of(weight));
    if (!taken) return taken.error();
    if (const Status s = upload(*taken, weight.data, weight.row_bytes * weight.rows); !s) return s.error();
    ops::WeightView out = weight;
    out.data = *taken;
    out.layout = ops::WeightLayout::packed;
    return out;
  });
}

Result<const float*> CudaBackend::place(const float* vector, std::size_t n) noexcept {
  if (n > layout_.vector_floats - vectors_used_) {
    return core::fail(Errc::internal, "a vector of {} numbers does not fit the room planned for vectors", n);
  }
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s.error();
  forget_graphs();
  float* const to = view<float>(layout_.vectors, 0).data + vectors_used_;
  if (const Status s = upload(to, vector, n * sizeof(float)); !s) return s.error();
  vectors_used_ += n;
  return static_cast<const float*>(to);
}

/// The address of a page in device memory, for a host that has `bytes` of it.
Result<std::byte*> CudaBackend::find_page(std::uint32_t page, std::size_t bytes) const noexcept {
  if (page >= shape_.pages) return core::fail(Errc::internal, "there is no page {}", page);
  if (bytes != shape_.page_bytes()) {
    return core::fail(Errc::internal, "{} bytes for a page of {}", bytes, shape_.page_bytes());
  }
  return view<std::byte>(layout_.pool, 0).data + std::size_t{page} * bytes;
}

Status CudaBackend::copy_page(std::uint32_t from, std::uint32_t to, std::uint32_t) noexcept {
  const auto source = find_page(from, shape_.page_bytes()), target = find_page(to, shape_.page_bytes());
  if (!source || !target) return source ? target.error() : source.error();
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  return check(driver_->copy(*target, *source, shape_.page_bytes()), "cudaMemcpyAsync on the device");
}

Status CudaBackend::read_page(std::uint32_t page, std::span<std::byte> bytes) noexcept {
  const auto found = find_page(page, bytes.size());
  if (!found) return found.error();
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  // Both buffers are one here: the last upload from them ends before a copy into them begins.
  for (std::size_t at = 0; at < bytes.size(); at += 2 * staging_bytes) {
    const std::size_t part = std::min(bytes.size() - at, 2 * staging_bytes);
    auto* const staging = pinned<std::byte>(layout_.staging);
    const Status s = check(driver_->download(staging, *found + at, part), "cudaMemcpyAsync from the device");
    if (!s) return s;
    if (const Status waited = wait_for_step(); !waited) return waited;
    std::memcpy(bytes.data() + at, staging, part);
  }
  return {};
}

Status CudaBackend::write_page(std::uint32_t page, std::span<const std::byte> bytes) noexcept {
  const auto found = find_page(page, bytes.size());
  if (!found) return found.error();
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  return upload(*found, bytes.data(), bytes.size());
}

}  // namespace kinglet::cuda

// ops/cpu_backend.cpp: how are the tiles of a phase spread over threads?
#include "ops/cpu_backend.hpp"

#include <algorithm>
#include <system_error>

#include <kinglet/core/float_env.hpp>

#include "core/fail.hpp"
#include "core/huge_pages.hpp"
#include "ops/batch_fault.hpp"

namespace kinglet::ops {
namespace {

constexpr std::uint32_t blocks(std::uint32_t n, std::uint32_t size) noexcept { return (n + size - 1) / size; }

/// The block of a backend; own_memory: it is not the host's allocator that gives it.
void* allocate_block(const CpuLayout& layout, bool prefault, bool own_memory, core::Memory& memory) {
  void* const block = memory.allocate(layout.total, alignof(CpuBackend) > 64 ? alignof(CpuBackend) : 64);
  if (!prefault) return block;
  if (own_memory) core::prefer_huge_pages(block, layout.total);
  core::touch_pages(block, layout.total);
  return block;
}

}  // namespace

CpuBackend::CpuBackend(const Isa& isa, const ContextShape& shape, const CpuLayout& layout, const Hooks& hooks,
                       core::Memory& memory)
    : isa_(isa),
      kernels_(isa.kernels()),
      strips_(isa.strips()),
      shape_(shape),
      layout_(layout),
      memory_(memory),
      hooks_(hooks),
      own_memory_(hooks.allocate == nullptr),
      workers_memory_(at<std::byte>(layout.workers), layout.workers_bytes, std::pmr::null_memory_resource()),
      own_threads_(std::in_place, shape.threads, hooks, &workers_memory_),
      threads_(*own_threads_),
      shares_(at<Share>(layout.shares)),
      scratch_(at<std::byte>(layout.scratch)),
      pool_(at<std::byte>(layout.pool)) {}

CpuBackend::CpuBackend(CpuBackend& first, const ContextShape& shape, const CpuLayout& layout, core::Memory& memory)
    : isa_(first.isa_),
      kernels_(first.kernels_),
      strips_(first.strips_),
      shape_(shape),
      layout_(layout),
      memory_(memory),
      hooks_(first.hooks_),
      own_memory_(first.own_memory_),
      workers_memory_(nullptr, 0, std::pmr::null_memory_resource()),
      threads_(first.threads_),
      shares_(first.shares_),
      scratch_(first.scratch_),
      pool_(first.pool_) {}

Result<Backend*> CpuBackend::create(const Isa& isa, const ContextShape& shape, const Hooks& hooks,
                                    core::Memory& memory) noexcept {
  return core::guarded([&]() -> Result<Backend*> {
    const CpuLayout layout = cpu_layout(shape, sizeof(CpuBackend));
    if (layout.total == 0) return core::fail(Errc::invalid_argument, "the model's sizes times the options' overflow");
    void* block = allocate_block(layout, shape.prefault, hooks.allocate == nullptr, memory);
    try {
      return new (block) CpuBackend(isa, shape, layout, hooks, memory);
    } catch (const std::system_error&) {
      memory.deallocate(block, layout.total, 64);
      return core::fail(Errc::backend, "the system refuses {} threads; set fewer", shape.threads);
    } catch (...) {
      memory.deallocate(block, layout.total, 64);
      throw;
    }
  });
}

Result<Backend*> CpuBackend::create_beside(Backend& first, const ContextShape& shape, core::Memory& memory) noexcept {
  return core::guarded([&]() -> Result<Backend*> {
    const CpuLayout layout = cpu_layout(shape, sizeof(CpuBackend), true);
    if (layout.total == 0) return core::fail(Errc::invalid_argument, "the model's sizes times the options' overflow");
    auto& other = static_cast<CpuBackend&>(first);
    void* const block = allocate_block(layout, shape.prefault, other.own_memory_, memory);
    return new (block) CpuBackend(other, shape, layout, memory);
  });
}

void CpuBackend::destroy(Backend* backend, core::Memory& memory) noexcept {
  auto* self = static_cast<CpuBackend*>(backend);
  for (PackedBlock* block = self->packed_; block != nullptr;) {
    PackedBlock* next = block->next;
    const std::size_t bytes = block->bytes;
    memory.release(block->counted);
    core::Memory uncounted(self->hooks_);
    (void)uncounted.reserve(bytes);
    static_cast<std::pmr::memory_resource&>(uncounted).deallocate(block, bytes, alignof(PackedBlock));
    block = next;
  }
  const std::size_t total = self->layout_.total;
  self->~CpuBackend();
  memory.deallocate(static_cast<void*>(self), total, 64);
}

std::size_t CpuBackend::placed_bytes(const ContextShape& shape, const WeightView& weight, WeightUse use) noexcept {
  if (use == WeightUse::lookup || weight.layout == WeightLayout::packed || shape.activations != Activations::int8) {
    return 0;
  }
  const std::size_t strip = strip_bytes(weight.format, weight.cols);
  return strip == 0 ? 0 : sizeof(PackedBlock) + strip * blocks(weight.rows, strip_rows);
}

/// Packs strip after strip, on all threads.
void CpuBackend::pack(const WeightView& from, const WeightView& to) noexcept {
  struct Job {
    const WeightView& from;
    const WeightView& to;
    std::atomic<std::uint32_t> next{0};
  } job{from, to};
  threads_.run(
      [](void* context, std::size_t) {
        Job& j = *static_cast<Job*>(context);
        const std::uint32_t count = blocks(j.from.rows, strip_rows);
        for (std::uint32_t i = j.next++; i < count; i = j.next++) {
          const std::uint32_t first = i * strip_rows;
          pack_strip(j.from.format, j.from.data + first * j.from.row_bytes, j.from.row_bytes,
                     std::min(strip_rows, j.from.rows - first), j.from.cols,
                     const_cast<std::byte*>(j.to.data) + i * j.to.row_bytes);
        }
      },
      &job);
}

// The block is counted as it fills: what is not used yet is not in memory either. A host's own allocator is asked for
// what is needed at the time, matrix by matrix.
Status CpuBackend::reserve(std::size_t bytes) noexcept {
  if (bytes <= sizeof(PackedBlock) || !own_memory_) return {};
  return core::guarded([&]() -> Status {
    core::Memory uncounted;
    void* const block = static_cast<std::pmr::memory_resource&>(uncounted).allocate(bytes, alignof(PackedBlock));
    packed_ = new (block) PackedBlock{packed_, bytes, sizeof(PackedBlock), 0};
    core::prefer_huge_pages(block, bytes);
    return {};
  });
}

/// Room for packed matrices of `bytes` together, a head included.
Result<std::byte*> CpuBackend::take(std::size_t bytes) noexcept {
  const std::size_t room = bytes - sizeof(PackedBlock);
  if (packed_ != nullptr && packed_->bytes - packed_->used >= room) {
    if (!memory_.reserve(bytes)) return core::out_of_memory();
    packed_->counted += bytes;
  } else {
    const Status taken = core::guarded([&]() -> Status {
      void* const block = memory_.allocate(bytes, alignof(PackedBlock));
      packed_ = new (block) PackedBlock{packed_, bytes, sizeof(PackedBlock), bytes};
      if (own_memory_) core::prefer_huge_pages(block, bytes);
      return {};
    });
    if (!taken) return taken.error();
  }
  std::byte* const at = reinterpret_cast<std::byte*>(packed_) + packed_->used;
  packed_->used += room;
  return at;
}

// Matrices of one shape that are read at once lie strip beside strip: streams that take turns strip by strip cost a
// quarter of the bandwidth (two Zen 4 cores).
Status CpuBackend::place(std::span<WeightView> weights, WeightUse use) noexcept {
  std::size_t bytes = 0;
  bool alike = true;
  for (const WeightView& w : weights) {
    bytes += placed_bytes(shape_, w, use);
    alike = alike && w.format == weights[0].format && w.rows == weights[0].rows && w.cols == weights[0].cols;
  }
  if (bytes == 0) return {};
  const auto taken = take(bytes);
  if (!taken) return taken.error();
  std::byte* at = *taken;
  for (WeightView& w : weights) {
    if (placed_bytes(shape_, w, use) == 0) continue;
    WeightView packed = w;
    const std::size_t strip = strip_bytes(w.format, w.cols);
    packed.layout = WeightLayout::packed;
    packed.row_bytes = alike ? strip * weights.size() : strip;
    packed.data = at;
    at += alike ? strip : strip * blocks(w.rows, strip_rows);
    pack(w, packed);
    w = packed;
  }
  return {};
}

Result<const float*> CpuBackend::place(const float* vector, std::size_t) noexcept { return vector; }

Status CpuBackend::begin(const Batch& batch) noexcept {
  if (batch.rows.size() > shape_.max_rows || batch.sequences.size() > shape_.max_sequences ||
      batch.logits.size() > shape_.max_logits || batch.hidden.size() > shape_.max_rows) {
    return core::fail(Errc::invalid_argument, "a step of {} rows does not fit the backend", batch.rows.size());
  }
  if (const char* fault = find_fault(batch, shape_); fault != nullptr) {
    return core::fail(Errc::internal, "a step's batch has {}", fault);
  }
  batch_ = batch;
  plan_attention();
  if (quantizes_ffn()) {
    const Input ffn{nullptr, 0, shape_.ffn, rows()};
    for (std::uint32_t i = 0; i < blocks(rows(), panel_rows); ++i) lay_out_panel(OpKind::down, i, ffn);
  }
  for (std::size_t r = 0; r < batch.rows.size(); ++r) at<std::int32_t>(layout_.bad)[r] = -1;
  return {};
}

std::uint32_t CpuBackend::phases(const Op& op) const noexcept {
  switch (op.kind) {
    case OpKind::embed: return 1;
    case OpKind::attention: return rounds_;
    case OpKind::attention_input: return 3;
    default: return 2;
  }
}

CpuBackend::Input CpuBackend::input(const Op& op) const noexcept {
  const std::uint32_t n = op.kind == OpKind::output ? static_cast<std::uint32_t>(batch_.logits.size()) : rows();
  switch (op.kind) {
    case OpKind::attention:
    case OpKind::project: return {wide_row(0), layout_.wide_row, shape_.heads * shape_.head_dim, n};
    case OpKind::down: return {wide_row(0), layout_.wide_row, shape_.ffn, n};
    default: return {normed_row(0), layout_.narrow_row, shape_.dim, n};
  }
}

std::uint32_t CpuBackend::outputs(const Op& op) const noexcept {
  if (op.kind == OpKind::gate_up) return op.weight[0].rows;
  std::uint32_t n = 0;
  for (const WeightView& w : op.weight) n += blocks(w.rows, tile_outputs) * tile_outputs;
  return n;
}

// Phases: embed 0 = rows; attention: each a round of (sequence, KV head, block of queries, stretch). The others: 0 =
// the products' inputs, 1 = products; attention_input 2 = rotation and the cache.
Work CpuBackend::work(const Op& op, std::uint32_t phase) const noexcept {
  const Input in = input(op);
  const auto cols = static_cast<float>(in.cols);
  if (op.kind == OpKind::embed) return {rows(), cols};
  if (op.kind == OpKind::attention) {
    return {attend_tiles_,
            static_cast<float>(2 * stretch_tokens * attend_queries_) * static_cast<float>(shape_.head_dim)};
  }
  if (phase == 0 && op.kind == OpKind::down && quantizes_ffn() && reads_panels(op.weight[0])) return {};
  if (phase == 0) {
    const auto hidden = op.kind == OpKind::output ? static_cast<std::uint32_t>(batch_.hidden.size()) : 0;
    return {blocks(in.rows, panel_rows) + hidden, 4 * cols * panel_rows};
  }
  if (phase == 2) return {rows(), static_cast<float>(layout_.qkv_row) * 4};
  const std::uint32_t tiles = blocks(outputs(op), tile_outputs) * blocks(in.rows, row_block);
  const float matrices = op.kind == OpKind::gate_up ? 2.0f : 1.0f;
  return {tiles, matrices * cols * static_cast<float>(tile_outputs * std::min(in.rows, row_block))};
}

void CpuBackend::run_tiles(const Op& op, std::uint32_t phase, const TileRange& tiles, std::size_t thread) noexcept {
  if (phase == 1 && op.kind != OpKind::attention) {
    if (op.kind == OpKind::gate_up) return gate_up_tiles(op, tiles, scratch(thread));
    return product_tiles(op, tiles, scratch(thread));
  }
  for (std::uint32_t tile = tiles.first; tile < tiles.last; ++tile) run_tile(op, phase, tile, thread);
}

void CpuBackend::run_tile(const Op& op, std::uint32_t phase, std::uint32_t tile, std::size_t thread) noexcept {
  if (op.kind == OpKind::embed) return embed_row(op, tile);
  if (op.kind == OpKind::attention) return attend_tile(op.layer, phase, tile, scratch(thread));
  if (phase == 2) return rotate_and_store(op, tile);
  const std::uint32_t panels = blocks(input(op).rows, panel_rows);
  if (tile < panels) return prepare_panel(op, tile);
  hidden_row(op, tile - panels);
}

Status CpuBackend::run(const Op& op, std::uint32_t phase, std::uint32_t first, std::uint32_t last) noexcept {
  const std::uint32_t tiles = phase < phases(op) ? work(op, phase).tiles : 0;
  if (last > tiles) return core::fail(Errc::internal, "tile {} of a phase that has {}", last, tiles);
  if (first >= last) return {};
  const std::uint32_t beside = goes_in_pairs(op, phase, last - first) ? blocks(last - first, 2u) : 0;
  const std::uint32_t each_last = beside != 0 ? first + beside : last;
  if (last - first == 1 || shape_.threads == 1) {
    const core::FloatEnvironment environment;
    run_tiles(op, phase, {first, each_last, beside, last}, 0);
    return {};
  }
  struct Job {
    CpuBackend& self;
    const Op& op;
    std::uint32_t phase, beside, end;
    Shares shares;
  };
  Job job{*this, op, phase, beside, last, {shares_, shape_.threads, first, each_last}};
  threads_.run(
      [](void* context, std::size_t thread) {
        const Job& j = *static_cast<Job*>(context);
        const core::FloatEnvironment environment;
        j.shares.take(thread, [&](std::uint32_t from, std::uint32_t to) {
          j.self.run_tiles(j.op, j.phase, {from, to, j.beside, j.end}, thread);
        });
      },
      &job);
  return {};
}

void CpuBackend::spread(std::uint32_t count, void (*body)(void* context, std::uint32_t i), void* context) noexcept {
  if (count < 2) return Backend::spread(count, body, context);  // nobody needs to be woken
  struct Job {
    void (*body)(void*, std::uint32_t);
    void* context;
    Shares shares;
  };
  Job job{body, context, {shares_, shape_.threads, 0, count}};
  threads_.run(
      [](void* c, std::size_t thread) {
        const Job& j = *static_cast<Job*>(c);
        j.shares.take(thread, [&](std::uint32_t from, std::uint32_t to) {
          for (std::uint32_t i = from; i < to; ++i) j.body(j.context, i);
        });
      },
      &job);
}

Result<std::span<const float>> CpuBackend::logits(std::uint32_t i) noexcept {
  if (i >= batch_.logits.size()) return core::fail(Errc::invalid_argument, "the step has no logits row {}", i);
  return std::span<const float>(at<float>(layout_.logits) + std::size_t{i} * shape_.vocab, shape_.vocab);
}

Result<std::span<const float>> CpuBackend::hidden(std::uint32_t i) noexcept {
  if (i >= batch_.hidden.size()) return core::fail(Errc::invalid_argument, "the step has no hidden row {}", i);
  return std::span<const float>(wide_row(i), shape_.dim);
}

std::int32_t CpuBackend::bad_layer(std::uint32_t row) noexcept {
  return row < rows() ? at<std::int32_t>(layout_.bad)[row] : -1;
}

Status CpuBackend::copy_page(std::uint32_t from, std::uint32_t to, std::uint32_t) noexcept {
  if (from >= shape_.pages || to >= shape_.pages) {
    return core::fail(Errc::internal, "there is no page {} or {}", from, to);
  }
  for (std::size_t i = 0; i < pieces_each(); ++i) std::memcpy(piece(i, to), piece(i, from), piece_bytes());
  return {};
}

Status CpuBackend::read_page(std::uint32_t index, std::span<std::byte> bytes) noexcept {
  if (index >= shape_.pages) return core::fail(Errc::internal, "there is no page {}", index);
  const std::size_t size = shape_.page_bytes();
  if (bytes.size() != size) return core::fail(Errc::internal, "{} bytes for a page of {}", bytes.size(), size);
  const std::size_t each = piece_bytes();
  for (std::size_t i = 0; i < pieces_each(); ++i) std::memcpy(bytes.data() + i * each, piece(i, index), each);
  return {};
}

Status CpuBackend::write_page(std::uint32_t index, std::span<const std::byte> bytes) noexcept {
  if (index >= shape_.pages) return core::fail(Errc::internal, "there is no page {}", index);
  const std::size_t size = shape_.page_bytes();
  if (bytes.size() != size) return core::fail(Errc::internal, "{} bytes for a page of {}", bytes.size(), size);
  const std::size_t each = piece_bytes();
  for (std::size_t i = 0; i < pieces_each(); ++i) std::memcpy(piece(i, index), bytes.data() + i * each, each);
  return {};
}

}  // namespace kinglet::ops

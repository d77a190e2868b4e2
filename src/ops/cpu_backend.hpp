// ops/cpu_backend.hpp: how does a CPU serve the kernel table?
//
// One block of memory holds the backend and all it will ever need; packed weights are chained beside it. The members
// are in three files: the walk over phases and tiles (cpu_backend.cpp), rows before and after a product (cpu_rows.cpp),
// and what takes the time (cpu_products.cpp, cpu_attention.cpp).
#pragma once
#include <atomic>
#include <cstring>
#include <memory_resource>
#include <optional>
#include <span>

#include <kinglet/core/thread_pool.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/cpu_layout.hpp"
#include "ops/kernels/kernels.hpp"
#include "ops/kernels/packed.hpp"
#include "ops/shares.hpp"

namespace kinglet::ops {

class CpuBackend final : public Backend {
 public:
  /// One instruction set's loops.
  struct Isa {
    const char* name;
    const Kernels& (*kernels)() noexcept;
    const StripKernels& (*strips)() noexcept;
  };

  static std::size_t bytes(const ContextShape& shape) noexcept { return cpu_layout(shape, sizeof(CpuBackend)).total; }
  static std::size_t placed_bytes(const ContextShape& shape, const WeightView& weight, WeightUse use) noexcept;
  static Result<Backend*> create(const Isa& isa, const ContextShape& shape, const Hooks& hooks,
                                 core::Memory& memory) noexcept;
  static void destroy(Backend* backend, core::Memory& memory) noexcept;
  static std::size_t bytes_beside(const ContextShape& shape) noexcept {
    return cpu_layout(shape, sizeof(CpuBackend), true).total;
  }
  static Result<Backend*> create_beside(Backend& first, const ContextShape& shape, core::Memory& memory) noexcept;

  const char* name() const noexcept override { return isa_.name; }
  Status reserve(std::size_t bytes) noexcept override;
  Status place(std::span<WeightView> weights, WeightUse use) noexcept override;
  Result<const float*> place(const float* vector, std::size_t n) noexcept override;
  Status begin(const Batch& batch) noexcept override;
  std::uint32_t phases(const Op& op) const noexcept override;
  Work work(const Op& op, std::uint32_t phase) const noexcept override;
  Status run(const Op& op, std::uint32_t phase, std::uint32_t first, std::uint32_t last) noexcept override;
  Result<std::span<const float>> logits(std::uint32_t i) noexcept override;
  Result<std::span<const float>> hidden(std::uint32_t i) noexcept override;
  std::int32_t bad_layer(std::uint32_t row) noexcept override;
  bool spreads() const noexcept override { return shape_.threads > 1; }
  void spread(std::uint32_t count, void (*body)(void* context, std::uint32_t i), void* context) noexcept override;
  Status copy_page(std::uint32_t from, std::uint32_t to, std::uint32_t tokens) noexcept override;
  Status read_page(std::uint32_t page, std::span<std::byte> bytes) noexcept override;
  Status write_page(std::uint32_t page, std::span<const std::byte> bytes) noexcept override;
  Status read_rows(std::span<float> x) noexcept override;
  Status write_rows(std::span<const float> x) noexcept override;

 private:
  /// Stands before packed matrices.
  struct alignas(64) PackedBlock {
    PackedBlock* next;
    std::size_t bytes;  ///< this head included
    std::size_t used;
    std::size_t counted;  ///< in the engine's memory
  };
  /// The rows that an op's products read: row i is x + i * stride, K columns.
  struct Input {
    float* x;
    std::size_t stride;
    std::uint32_t cols;
    std::uint32_t rows;
  };

  /// The stretches that a sequence's rows may see: [0, globals) and [first, last].
  struct Stretches {
    std::uint32_t globals, first, last;
    std::uint32_t count() const noexcept { return globals + last - first + 1; }
    std::uint32_t at(std::uint32_t i) const noexcept { return i < globals ? i : first + (i - globals); }
  };

  /// Queries of one KV head that go over a stretch together: rows of a sequence times the heads that share it.
  struct QueryTile {
    const Sequence* sequence;
    std::uint32_t kv_head;
    std::uint32_t start, count;  ///< of the sequence's queries of that head
  };

  CpuBackend(const Isa& isa, const ContextShape& shape, const CpuLayout& layout, const Hooks& hooks,
             core::Memory& memory);
  CpuBackend(CpuBackend& first, const ContextShape& shape, const CpuLayout& layout, core::Memory& memory);
  ~CpuBackend() override = default;

  template <class T>
  T* at(std::size_t offset) const noexcept {
    return reinterpret_cast<T*>(const_cast<std::byte*>(reinterpret_cast<const std::byte*>(this)) + offset);
  }
  float* x_row(std::size_t row) const noexcept { return at<float>(layout_.x) + row * layout_.narrow_row; }
  float* wide_row(std::size_t row) const noexcept { return at<float>(layout_.wide) + row * layout_.wide_row; }
  float* normed_row(std::size_t row) const noexcept { return at<float>(layout_.normed) + row * layout_.narrow_row; }
  float* qkv_row(std::size_t row) const noexcept { return at<float>(layout_.qkv) + row * layout_.qkv_row; }
  float* state(std::size_t query) const noexcept { return at<float>(layout_.states) + query * layout_.state; }
  /// The state of a query in a wave >= 1 of a round.
  float* wave_state(std::uint32_t wave, std::size_t query) const noexcept {
    return at<float>(layout_.waves) + (std::size_t{wave - 1} * rows() * shape_.heads + query) * layout_.state;
  }
  ThreadScratch& scratch(std::size_t thread) const noexcept {
    return *reinterpret_cast<ThreadScratch*>(scratch_ + thread * layout_.thread_bytes);
  }
  /// Keys (value = 0) or values (1) of a layer's KV head: those of neighbouring pages are neighbours, so that few
  /// queries read straight on. Page i's are i * piece_bytes() further.
  std::byte* pieces(std::uint32_t layer, std::uint32_t kv_head, std::uint32_t value) const noexcept {
    return piece((std::size_t{layer} * shape_.kv_heads + kv_head) * 2 + value, 0);
  }
  /// Piece i of a page, of pieces_each(): [layers][kv_heads][keys, values].
  std::byte* piece(std::size_t i, std::uint32_t page) const noexcept {
    return pool_ + (i * shape_.pages + page) * piece_bytes();
  }
  std::size_t pieces_each() const noexcept { return std::size_t{shape_.layers} * shape_.kv_heads * 2; }
  std::size_t piece_bytes() const noexcept {
    return std::size_t{shape_.head_dim} * page_tokens * (shape_.kv == KvFormat::fp16 ? 2 : 4);
  }

  std::uint32_t rows() const noexcept { return static_cast<std::uint32_t>(batch_.rows.size()); }
  Input input(const Op& op) const noexcept;
  /// Outputs of the op's products, side by side.
  std::uint32_t outputs(const Op& op) const noexcept;

  Panel* panels(OpKind kind) const noexcept {
    return at<Panel>(layout_.panels) + (kind == OpKind::down ? layout_.panels_each : 0);
  }
  /// Are a down op's inputs quantized where gate_up makes them? They are whole groups, and no gate comes between.
  bool quantizes_ffn() const noexcept {
    return shape_.activations == Activations::int8 && shape_.gate == 0.0f && shape_.ffn % 32 == 0;
  }

  // cpu_rows.cpp
  Panel& lay_out_panel(OpKind kind, std::uint32_t panel, const Input& in) noexcept;
  void embed_row(const Op& op, std::uint32_t row) noexcept;
  void rotary_row(std::uint32_t row) noexcept;
  void prepare_panel(const Op& op, std::uint32_t panel) noexcept;
  void hidden_row(const Op& op, std::uint32_t i) noexcept;
  void rotate_and_store(const Op& op, std::uint32_t row) noexcept;
  void norm_row(const Op& op, std::uint32_t row, float* out) noexcept;
  void mark_bad(std::uint32_t row, std::uint32_t layer) noexcept;
  /// The rows [row, row + row_block) and the outputs [output_tile * tile_outputs, ...) of a tile.
  struct TilePlace {
    std::uint32_t row, output_tile;
  };

  /// Outputs [first, first + tile_outputs) of matrices of one shape, for an op's prepared rows [row, row + rows), into
  /// acc[m] + to. A panel starts at row.
  struct ProductTile {
    OpKind kind;
    std::span<const WeightView> weights;
    std::uint32_t first, row, rows, to;
  };

  /// Tiles [first, last); where `beside` is not 0, with each t of them also t + beside, if that is below `end`.
  struct TileRange {
    std::uint32_t first, last, beside, end;
    bool has_beside(std::uint32_t tile) const noexcept { return beside != 0 && tile + beside < end; }
  };

  // cpu_products.cpp
  bool goes_in_pairs(const Op& op, std::uint32_t phase, std::uint32_t tiles) const noexcept;
  TilePlace place_of(const Op& op, std::uint32_t tile) const noexcept;
  void gate_up_tiles(const Op& op, const TileRange& tiles, ThreadScratch& scratch) noexcept;
  void finish_gate_up(const Op& op, std::uint32_t first_tile, std::uint32_t last_tile, std::uint32_t to,
                      ThreadScratch& scratch) noexcept;
  void product_tiles(const Op& op, const TileRange& tiles, ThreadScratch& scratch) noexcept;
  ProductTile product_tile(const Op& op, std::uint32_t tile, std::uint32_t to) const noexcept;
  void finish_product(const Op& op, const ProductTile& tile, ThreadScratch& scratch) noexcept;
  void product(std::span<const ProductTile> tiles, ThreadScratch& scratch) const noexcept;
  void product_of_rows(const ProductTile& tile, std::size_t m, ThreadScratch& scratch) const noexcept;
  // cpu_attention.cpp
  void plan_attention() noexcept;
  Stretches stretches(const Sequence& sequence) const noexcept;
  std::uint32_t query_blocks(const Sequence& sequence) const noexcept;
  QueryTile query_tile(std::uint32_t index) const noexcept;
  std::size_t query(const QueryTile& tile, std::uint32_t i) const noexcept;
  void attend_tile(std::uint32_t layer, std::uint32_t round, std::uint32_t index, ThreadScratch& scratch) noexcept;
  void attend_stretch(std::uint32_t layer, const QueryTile& tile, std::uint32_t round, std::uint32_t wave,
                      ThreadScratch& scratch) noexcept;
  void end_round(const QueryTile& tile, std::uint32_t round) noexcept;

  Result<std::byte*> take(std::size_t bytes) noexcept;
  void pack(const WeightView& from, const WeightView& to) noexcept;
  void run_tiles(const Op& op, std::uint32_t phase, const TileRange& tiles, std::size_t thread) noexcept;
  void run_tile(const Op& op, std::uint32_t phase, std::uint32_t tile, std::size_t thread) noexcept;
  /// Strips whose products are those of StripKernels; all others are of tiles.
  bool reads_panels(const WeightView& weight) const noexcept {
    return weight.layout == WeightLayout::packed && shape_.activations == Activations::int8;
  }

  Isa isa_;
  const Kernels& kernels_;
  const StripKernels& strips_;
  ContextShape shape_;
  CpuLayout layout_;
  core::Memory& memory_;
  Hooks hooks_;
  bool own_memory_;  ///< not the host's allocator
  std::pmr::monotonic_buffer_resource workers_memory_;
  std::optional<core::ThreadPool> own_threads_;  ///< none in a backend beside another
  core::ThreadPool& threads_;
  Share* shares_;       ///< [threads]
  std::byte* scratch_;  ///< [threads][thread_bytes]
  std::byte* pool_;     ///< [layers][kv_heads][keys, values][pages] pieces
  PackedBlock* packed_ = nullptr;
  Batch batch_;
  std::uint32_t waves_ = 1;  ///< stretches of a sequence in one round of attention
  std::uint32_t rounds_ = 0;
  std::uint32_t attend_tiles_ = 0;    ///< of a round
  std::uint32_t attend_queries_ = 0;  ///< of the largest of them
};

}  // namespace kinglet::ops

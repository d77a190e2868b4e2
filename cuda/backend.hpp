// cuda/backend.hpp: how does a GPU serve the kernel table?
//
// One block of device memory holds the buffers, the vectors and the KV pool; matrices are chained beside it. An op has
// one phase of one tile: run() enqueues its kernels on the backend's stream and returns; logits(), hidden() and
// bad_layer() wait for it. Rows of logits come back with the step, but for those of which it chooses the token
// (choices.cpp). The bits are those of the CPU (docs/numbers.md): the kernels keep its order of operations.
#pragma once
#include <memory_resource>

#include <kinglet/core/memory.hpp>
#include <kinglet/ops/backend.hpp>

#include "args.hpp"
#include "driver.hpp"
#include "layout.hpp"

namespace kinglet::cuda {

class CudaBackend final : public ops::Backend {
 public:
  /// Bytes that create() takes, on the device and in the host's memory. 0 where the sizes overflow.
  static std::size_t bytes(const DriverMaker& maker, const ops::ContextShape& shape) noexcept;
  static std::size_t placed_bytes(const ops::ContextShape& shape, const ops::WeightView& weight) noexcept;
  /// unsupported: a setting that this backend lacks; out_of_memory; backend: a call of CUDA (the message names it).
  static Result<ops::Backend*> create(const DriverMaker& maker, const ops::ContextShape& shape,
                                      core::Memory& memory) noexcept;
  /// Why this machine has no device for the backend, or ok.
  static Error fault(const DriverMaker& maker) noexcept;
  static void destroy(ops::Backend* backend, core::Memory& memory) noexcept;
  /// As BackendInfo::lends.
  static Status lends(const DriverMaker& maker, const ops::ContextShape& shape, ops::HostMemory memory) noexcept;

  const char* name() const noexcept override { return "cuda"; }
  Status lend(ops::HostMemory memory) noexcept override;
  Status reserve(std::size_t bytes) noexcept override;
  Status place(std::span<ops::WeightView> weights, ops::WeightUse use) noexcept override;
  Result<const float*> place(const float* vector, std::size_t n) noexcept override;
  Status begin(const ops::Batch& batch) noexcept override;
  std::uint32_t phases(const ops::Op&) const noexcept override { return 1; }
  ops::Work work(const ops::Op& op, std::uint32_t phase) const noexcept override;
  Status run(const ops::Op& op, std::uint32_t phase, std::uint32_t first, std::uint32_t last) noexcept override;
  Result<bool> finish(bool wait) noexcept override;
  Result<std::span<const float>> logits(std::uint32_t i) noexcept override;
  Result<std::span<const float>> hidden(std::uint32_t i) noexcept override;
  std::int32_t bad_layer(std::uint32_t row) noexcept override;
  bool samples(const ops::SampleRequest& request) const noexcept override;
  Result<ops::Sampled> sample(const ops::SampleRequest& request) noexcept override;
  Status copy_page(std::uint32_t from, std::uint32_t to, std::uint32_t tokens) noexcept override;
  Status read_page(std::uint32_t page, std::span<std::byte> bytes) noexcept override;
  Status write_page(std::uint32_t page, std::span<const std::byte> bytes) noexcept override;
  Status read_rows(std::span<float> x) noexcept override;
  Status write_rows(std::span<const float> x) noexcept override;

 private:
  /// Device memory for matrices.
  struct Block {
    Block* next = nullptr;
    void* data = nullptr;
    std::size_t bytes = 0, used = 0;
    std::size_t counted = 0;  ///< of what `memory_` counts
  };
  /// Memory of the host that kernels read.
  struct Lent {
    const std::byte* host = nullptr;
    std::size_t bytes = 0;
    const std::byte* device = nullptr;
    bool registered = false;
  };
  static constexpr std::size_t most_lent = 32;  // parts of a file
  struct LentList {
    std::size_t count = 0;
    Lent parts[most_lent];
  };
  /// Makes the device current while it lives.
  struct Entered {
    explicit Entered(Driver& d) noexcept : driver(d), code(d.enter()) {}
    ~Entered() {
      if (code == 0) driver.leave();
    }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;
    Driver& driver;
    const int code;
  };
  /// Marks: two for staging, one for the step.
  static constexpr std::size_t step_mark = 2;

  CudaBackend(const ops::ContextShape& shape, const DeviceLayout& layout, core::Memory& memory) noexcept
      : shape_(shape), layout_(layout), memory_(memory), device_index_(static_cast<int>(shape.device)) {}
  ~CudaBackend() override = default;

  static std::size_t object_bytes(const DriverMaker& maker, const ops::ContextShape& shape) noexcept;
  Status open(const DriverMaker& maker, void* place) noexcept;
  void close() noexcept;
  /// ok for 0; else an error with the call, CUDA's text and code, and the device.
  Status check(int code, const char* call) const noexcept;
  static Status check(Driver* driver, int device, int code, const char* call) noexcept;
  Status upload_step(const ops::Batch& batch) noexcept;

  // lend.cpp
  static Status describe_lender(Driver& driver, int device, DeviceInfo& info, std::size_t parts) noexcept;
  static Status lend_all(Driver& driver, int device, const DeviceInfo& info, ops::HostMemory memory,
                         LentList& list) noexcept;
  static void give_back(Driver& driver, LentList& list) noexcept;
  /// Where kernels find a matrix that lies in lent memory; null: they cannot read it there.
  const std::byte* find_lent(const ops::WeightView& weight) const noexcept;

  // transfers.cpp
  Status load_rows(const DeviceInfo& info) noexcept;
  Status load(std::span<const KernelKind> kinds, quant::Format format) noexcept;
  Status load_for(quant::Format format, ops::WeightUse use) noexcept;
  /// To the device through the pinned buffers; the source may go when it returns.
  Status upload(void* to, const void* from, std::size_t bytes) noexcept;
  /// Throws std::bad_alloc.
  Result<std::byte*> take(std::size_t room);
  void free_weights(bool entered) noexcept;
  Result<ops::WeightView> place(const ops::WeightView& weight, ops::WeightUse use) noexcept;
  Result<std::byte*> find_page(std::uint32_t page, std::size_t bytes) const noexcept;

  // results.cpp
  /// Fetches what the step made and waits for it, once.
  Status complete() noexcept;
  Status fetch() noexcept;
  Status download(std::size_t to, std::size_t from, std::size_t bytes) noexcept;
  /// Waits for all that was enqueued.
  Status wait_for_step() noexcept;
  Status download_logits(std::size_t first, std::size_t n) noexcept;
  Status fetch_logits(std::uint32_t i) noexcept;

  // choices.cpp
  static constexpr std::uint32_t none = 0xffffffff;
  Status check_choice(const ops::SampleRequest& request) const noexcept;
  Status upload_choices(std::size_t first, std::span<const ops::SampleRequest> requests) noexcept;
  Status foresee(std::span<const ops::SampleRequest> requests) noexcept;
  Status choose(std::size_t first, std::uint32_t n) noexcept;
  Status choose_now(std::size_t at, const ops::SampleRequest& request) noexcept;
  Status fetch_choices() noexcept;
  std::uint32_t find_choice(std::uint32_t logits) const noexcept;
  bool is_choice(std::uint32_t i, const ops::SampleRequest& request) const noexcept;

  // run.cpp
  Status embed(const ops::WeightView& weight) noexcept;
  Status gate(const ops::Op& op) noexcept;
  Status prepare(const ops::Op& op) noexcept;
  Status prepare_row(const ops::Op& op, KernelKind kind, View<const std::uint32_t> which, View<float> values,
                     std::uint32_t n, bool norm) noexcept;
  Status product(const ops::Op& op, std::size_t m, View<float> out, std::uint32_t stride, std::uint32_t first,
                 Epilogue epilogue) noexcept;
  Status enqueue(const ops::Op& op) noexcept;
  Status rotate(const ops::Op& op) noexcept;
  Status attention(const ops::Op& op) noexcept;
  Status output(const ops::Op& op) noexcept;

  // graphs.cpp
  struct Graph {
    std::uint32_t rows = 0, stretches = 0;  ///< what it is for
    std::uint64_t used = 0;                 ///< when it last was; 0 = never
    void* handle = nullptr;
  };
  /// A context of 2,048 tokens has four kinds of stretches for each number of sessions.
  static constexpr std::size_t most_graphs = 32;
  static constexpr std::uint32_t most_graph_rows = 32;
  static std::size_t known_ops_bytes(const ops::ContextShape& shape) noexcept;
  Status run_layer(const ops::Op& op) noexcept;
  bool know(const ops::Op& op) noexcept;
  void forget_graphs() noexcept;
  Graph* find_graph(std::uint32_t stretches) noexcept;
  void* capture(std::uint32_t stretches) noexcept;

  template <class Args>
  Status launch(KernelKind kind, quant::Format format, const Launch& shape, const Args& args) noexcept {
    return check(driver_->launch({kind, format}, shape, &args), kernel_text(kind));
  }

  template <class T>
  View<T> view(std::size_t offset, std::size_t count) const noexcept {
    return {reinterpret_cast<T*>(static_cast<std::byte*>(device_) + offset), count};
  }
  template <class T>
  T* pinned(std::size_t offset) const noexcept {
    return reinterpret_cast<T*>(static_cast<std::byte*>(pinned_) + offset);
  }
  std::uint32_t rows() const noexcept { return static_cast<std::uint32_t>(batch_.rows.size()); }
  View<float> x() const noexcept { return view<float>(layout_.x, std::size_t{rows()} * shape_.dim); }
  Places places() const noexcept { return {position_, sequence_, first_page_, pages_}; }
  /// Columns of the rows that the op's products read.
  std::uint32_t columns(const ops::Op& op) const noexcept;
  std::uint32_t products_rows(const ops::Op& op) const noexcept;
  View<float> input(const ops::Op& op) const noexcept;
  /// Do the op's products read FP16?
  bool reads_halves(const ops::Op& op) const noexcept {
    return shape_.bits == ops::Bits::device && products_rows(op) >= many_from;
  }
  /// The kernel that makes the activations which the op's products read.
  KernelKind form(const ops::Op& op) const noexcept;

  ops::ContextShape shape_;
  DeviceLayout layout_;
  core::Memory& memory_;
  int device_index_;
  Driver* driver_ = nullptr;
  const Tuning* tuning_ = tunings;
  void* device_ = nullptr;
  void* pinned_ = nullptr;
  std::size_t total_ = 0;  // what create() took of memory_
  std::size_t vectors_used_ = 0;
  std::size_t next_staging_ = 0;
  bool staging_set_[2] = {};
  LentList lent_;
  Block arena_;  // of reserve()
  Block* blocks_ = nullptr;

  ops::Batch batch_;
  bool step_set_ = false;  // the step's mark is set
  bool fetched_ = false, finished_ = false;
  std::uint32_t foreseen_ = 0;  // choices that the step makes
  bool chosen_ = false;         // they are enqueued
  Status finish_status_;
  std::uint32_t last_position_ = 0;
  std::uint32_t stretches_ = 0;  // that attention looks at
  bool decodes_ = false;         // one row of each sequence, and few of them
  bool replayed_ = false;        // this step's layers are enqueued, all of them
  bool graphs_work_ = true;
  std::uint64_t graph_clock_ = 0;
  Graph graphs_[most_graphs];
  ops::Op* known_ops_ = nullptr;  // [layers][5] in the order of a step, of which the first known_ are there
  std::size_t known_ = 0;
  View<const std::uint32_t> position_, sequence_, logits_of_, hidden_of_, first_page_, pages_;
  View<const std::int32_t> token_;
};

}  // namespace kinglet::cuda

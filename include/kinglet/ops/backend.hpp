// kinglet/ops/backend.hpp: what can a model ask of a backend?
//
// A model is a list of Ops, made once at load. A step hands the backend its rows (begin), then walks the list: an op
// has phases, a phase has tiles, and run() computes a range of a phase's tiles. Tiles of one phase are independent; a
// phase needs all tiles of the phases before it. Where the walk stops between two ranges never changes a bit. Model
// code speaks to backends through this table alone; buffers are opaque to it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <kinglet/core/hooks.hpp>
#include <kinglet/core/memory.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/ops/rope.hpp>
#include <kinglet/quant/format.hpp>

namespace kinglet::ops {

/// What a matrix is read for.
enum class WeightUse : std::uint8_t {
  lookup,   ///< single rows: an embedding
  product,  ///< all of it, times activations
  both,     ///< an embedding that is the output layer too
};

/// The order of a matrix in memory.
enum class WeightLayout : std::uint8_t {
  rows,    ///< as in the file
  packed,  ///< in the backend's own order; from a file of `kinglet pack`, in that of all CPU backends
};

/// A weight matrix [rows][cols]: `rows` outputs, `cols` inputs, each row `row_bytes` of blocks of `format`.
struct WeightView {
  quant::Format format = quant::Format::f32;
  std::uint32_t rows = 0;
  std::uint32_t cols = 0;
  std::size_t row_bytes = 0;        ///< from one row to the next; packed: whatever the backend counts in
  const std::byte* data = nullptr;  ///< where the backend's place() put it
  WeightLayout layout = WeightLayout::rows;

  explicit operator bool() const noexcept { return data != nullptr; }
};

enum class OpKind : std::uint8_t {
  embed,            ///< x = embedding row of each token; the rotary table of the step
  attention_input,  ///< norm, Q K V products and biases, head norms, rotation, write to the KV cache
  attention,        ///< scores and values over the KV cache
  project,          ///< x = x + W (attention output)
  gate_up,          ///< norm, gate and up products, silu(g) * u
  down,             ///< x = x + W (gate_up output)
  output,           ///< final norm of the rows that are asked for, and their logits
};
inline constexpr std::size_t op_kinds = 7;

/// One fused operation of a model. Pointers are FP32 vectors placed by the backend, null where the model has none.
struct Op {
  OpKind kind = OpKind::embed;
  std::uint16_t layer = 0;
  WeightView weight[3];               ///< q, k, v | gate, up | the one matrix
  const float* bias[3] = {};          ///< [rows of the weight]
  const float* norm = nullptr;        ///< [dim]
  const float* head_norm[2] = {};     ///< q, k: [head_dim]
  const float* importance = nullptr;  ///< [cols] for the gate; null = no gate
  /// gate_up: only `down` reads the outputs, and its matrix is packed, so that a backend may keep them in the form which
  /// that one takes, and no other. False is always right.
  bool packed_reader = false;
};

/// What Backend::bad_layer() says where the input of an op's norm is not finite.
/// @param layers  of the backend
constexpr std::uint32_t norm_bad_layer(const Op& op, std::uint32_t layers) noexcept {
  return op.kind == OpKind::output ? layers : op.layer + (op.kind == OpKind::gate_up ? 1u : 0u);
}

enum class Activations : std::uint8_t { int8, fp32, fp8 };
enum class KvFormat : std::uint8_t { fp16, fp32 };
enum class ScoreFormat : std::uint8_t { fp16, fp32 };
enum class Bits : std::uint8_t {
  exact,   ///< those of docs/numbers.md, on every backend
  device,  ///< a GPU may round products of more than 8 rows in its own way: docs/numbers.md, Device bits
};

/// Tokens of a KV page.
inline constexpr std::uint32_t page_tokens = 16;
/// Positions of a stretch of attention.
inline constexpr std::uint32_t stretch_tokens = 256;

/// What a backend must know to allocate everything it will ever need.
struct ContextShape {
  // the model
  std::uint32_t dim = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0, vocab = 0;
  float norm_eps = 0.0f;
  RotaryPairs rotary_pairs = RotaryPairs::interleaved;
  std::span<const std::uint64_t> rotary_steps;  ///< [rotated channels / 2]; must outlive the backend
  // the setting
  Activations activations = Activations::int8;
  KvFormat kv = KvFormat::fp16;
  ScoreFormat scores = ScoreFormat::fp16;
  Bits bits = Bits::exact;    ///< CPU backends know exact alone
  std::uint32_t window = 0;   ///< positions a query sees back, itself included; 0 = all
  std::uint32_t globals = 0;  ///< first positions that are always seen (with a window)
  float gate = 0.0f;          ///< share of channels set to zero before each product, [0, 1)
  // the sizes
  std::uint32_t max_rows = 0;    ///< rows of a step
  std::uint32_t max_logits = 0;  ///< rows of a step with logits
  std::uint32_t max_sequences = 0;
  std::uint32_t pages = 0;  ///< pages of the pool
  unsigned threads = 1;
  std::uint32_t device = 0;  ///< which of the machine's GPUs, for a backend that uses one
  void* stream = nullptr;    ///< the host's queue of that GPU (cuda: a cudaStream_t); null = one of its own
  bool prefault = false;     ///< the CPU's memory is touched as soon as it is taken
  bool lent = false;         ///< matrices stay in the memory that Backend::lend() takes, where their order suits

  /// Bytes of one page: keys and values of 16 tokens in every layer.
  std::size_t page_bytes() const noexcept {
    const std::size_t element = kv == KvFormat::fp16 ? 2 : 4;
    return std::size_t{2} * layers * kv_heads * head_dim * page_tokens * element;
  }
};

/// A token's place in a step.
struct Row {
  std::int32_t token = 0;
  std::uint32_t position = 0;
  std::uint32_t sequence = 0;  ///< index into Batch::sequences
};

/// Consecutive rows of one session.
struct Sequence {
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
  std::uint32_t first_position = 0;      ///< of its first row
  const std::uint32_t* pages = nullptr;  ///< page of each 16 positions, up to the last row's
};

/// What a token is to be chosen by, for a backend that can: the stages of sample/sampler.hpp that these numbers set.
struct SampleRequest {
  std::uint32_t logits = 0;  ///< index into Batch::logits
  float repetition = 1.0f, presence = 0.0f, frequency = 0.0f;
  std::span<const std::int32_t> window;  ///< tokens that the penalties look at; empty: there are none
  std::uint32_t top_k = 0;               ///< 0 = all
  float top_p = 1.0f;
  float floor = 0.0f;        ///< of l - m, the natural logarithm of min_p; -infinity = off
  float temperature = 0.0f;  ///< 0 = the largest logit
  std::uint64_t random = 0;  ///< the position's random bits
};

struct Batch {
  std::span<const Row> rows;
  std::span<const Sequence> sequences;
  std::span<const std::uint32_t> logits;  ///< rows whose logits are asked for, ascending
  std::span<const std::uint32_t> hidden;  ///< rows whose normed last state is asked for, ascending
  /// What sample() will be asked after the step, at most one of each logits row: a backend may choose along with it.
  /// The other rows of logits will be read.
  std::span<const SampleRequest> choices{};
};

/// The chosen token, and what its log-probability is made of.
struct Sampled {
  std::int32_t token = -1;  ///< -1: no token is left to choose from
  bool finite = false;      ///< no logit is NaN or +infinity; else nothing is chosen
  float logit = 0.0f;       ///< the token's, as it came
  float max = 0.0f;         ///< the largest logit, as they came
  std::uint64_t sum = 0;    ///< of all weights, the integers nearest to exp(l - max) * 2^40
};

/// How much is there to do in a phase?
struct Work {
  std::uint32_t tiles = 0;
  float cost = 0.0f;  ///< of one tile, in multiply-adds; only ratios matter
};

struct DeviceMemory {
  std::uint64_t total = 0;  ///< bytes
  std::uint64_t free = 0;
};

/// Memory of the host: the mapped parts of a model's file.
using HostMemory = std::span<const std::span<const std::byte>>;

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const char* name() const noexcept = 0;

  /// Takes memory of the host to read matrices from where they lie, before any of them is placed: from the start of a
  /// page on, mapped and unchanged until the backend is destroyed. All of it or, with an error, nothing; then matrices
  /// are copied. unsupported, backend, out_of_memory.
  virtual Status lend(HostMemory) noexcept { return Error{Errc::unsupported, "this backend borrows no memory"}; }
  /// Prepares for all matrices, whose placed_bytes() are `bytes` together, so that they may lie in one block; it is
  /// place() that counts them. out_of_memory.
  virtual Status reserve(std::size_t /*bytes*/) noexcept { return {}; }
  /// Makes matrices of the mapped file usable by this backend, those that an op reads at once (gate and up) in one
  /// call. Where a view's layout stays `rows`, it lies where it was; a packed one is the backend's, which has taken
  /// placed_bytes() for it. out_of_memory.
  virtual Status place(std::span<WeightView> weights, WeightUse use) noexcept = 0;
  /// The same for a vector of n FP32 values.
  virtual Result<const float*> place(const float* vector, std::size_t n) noexcept = 0;

  /// Takes the rows of the next step; the spans must live until its last run(), the windows of `choices` until this
  /// returns.
  virtual Status begin(const Batch& batch) noexcept = 0;
  virtual std::uint32_t phases(const Op& op) const noexcept = 0;
  virtual Work work(const Op& op, std::uint32_t phase) const noexcept = 0;
  /// Computes tiles [first, last) of a phase on this backend's queue.
  virtual Status run(const Op& op, std::uint32_t phase, std::uint32_t first, std::uint32_t last) noexcept = 0;

  /// Has all that was enqueued ended? A device's errors come out here at the latest.
  /// @param wait  until it has
  virtual Result<bool> finish(bool wait) noexcept {
    (void)wait;
    return true;
  }

  /// After the output op: [vocab] logits of Batch::logits[i], [dim] state of Batch::hidden[i]; valid until begin().
  virtual Result<std::span<const float>> logits(std::uint32_t i) noexcept = 0;
  virtual Result<std::span<const float>> hidden(std::uint32_t i) noexcept = 0;
  /// The first layer whose input was not finite in a row of this step, or -1: a number that came up within layer l
  /// counts as input of l + 1. The layer count stands for the output.
  virtual std::int32_t bad_layer(std::uint32_t row) noexcept = 0;

  /// Can sample() answer this, after the output op? Then the logits need not be fetched.
  virtual bool samples(const SampleRequest&) const noexcept { return false; }
  /// At once where begin() was told of it. invalid_argument: a token of the window is none of the vocabulary;
  /// unsupported: see samples().
  virtual Result<Sampled> sample(const SampleRequest&) noexcept {
    return Error{Errc::unsupported, "this backend leaves sampling to the host"};
  }

  /// Does spread() have threads? Then samples(), sample() and logits() may be asked by several at once.
  virtual bool spreads() const noexcept { return false; }
  /// Calls body(context, i) for each i < count: for what follows a step.
  virtual void spread(std::uint32_t count, void (*body)(void* context, std::uint32_t i), void* context) noexcept {
    for (std::uint32_t i = 0; i < count; ++i) body(context, i);
  }

  /// Copies the first `tokens` tokens of a page of the pool onto another.
  virtual Status copy_page(std::uint32_t from, std::uint32_t to, std::uint32_t tokens) noexcept = 0;
  /// Copies a page out of the pool and back in: between steps, for this backend or for another of the same shape.
  /// [layers][kv_heads][keys, then values], each of these pieces as the backends keep it. internal: no such page, or
  /// not page_bytes().
  virtual Status read_page(std::uint32_t page, std::span<std::byte> bytes) noexcept = 0;
  virtual Status write_page(std::uint32_t page, std::span<const std::byte> bytes) noexcept = 0;

  // Layers of one model may live on different backends (ops/split.hpp): a step's rows cross between two ops.
  /// The rows of the step as the ops so far have left them.
  /// @param x  out, [rows][dim]
  virtual Status read_rows(std::span<float> x) noexcept = 0;
  /// Takes what read_rows() gave in another backend's step of the same rows, in the place of embed.
  virtual Status write_rows(std::span<const float> x) noexcept = 0;
};

/// A backend's entry in the list of those compiled in.
struct BackendInfo {
  const char* name;  ///< "scalar", "avx2", "avx512", "amx", "neon", "cuda"
  const char* description;
  const char* instruction_set;   ///< what the machine must have, in words
  bool gpu;                      ///< with memory of its own: layers that do not fit there can stay on the CPU
  bool (*available)() noexcept;  ///< "amx" asks the system for its registers (docs/hardware-and-memory.md)
  Error (*fault)() noexcept;     ///< why it is not available, where the machine can tell more; or null
  DeviceMemory (*memory)(std::uint32_t device) noexcept;  ///< zeros where there is no such device
  /// Bytes create() will take from its memory. 0 where the shape's sizes overflow.
  std::size_t (*bytes)(const ContextShape& shape) noexcept;
  /// Bytes that place() will take for a matrix; 0 = it stays where it is. Where the shape says `lent`: for one that
  /// lies in lent memory.
  std::size_t (*placed_bytes)(const ContextShape& shape, const WeightView& weight, WeightUse use) noexcept;
  /// The backend lives in `memory`; see BackendDeleter. out_of_memory, backend.
  Result<Backend*> (*create)(const ContextShape& shape, const Hooks& hooks, core::Memory& memory) noexcept;
  void (*destroy)(Backend* backend, core::Memory& memory) noexcept;
  bool packed_files = false;  ///< place() takes matrices in the order of `kinglet pack`, and leaves them where they are
  // A second plan may be open while another is stopped between pieces: it runs on a backend beside that plan's, with
  // activations of its own, and the KV pages, the threads and the matrices of the first. Null where run() has no ends
  // to stop between.
  /// Bytes that create_beside() will take from its memory. 0 where the shape's sizes overflow.
  std::size_t (*bytes_beside)(const ContextShape& shape) noexcept = nullptr;
  /// @param first  one of this entry's, that has not run yet and outlives the new one; not both run at once
  /// @param shape  `first`'s, but for max_rows, max_logits and max_sequences
  /// out_of_memory
  Result<Backend*> (*create_beside)(Backend& first, const ContextShape& shape, core::Memory& memory) noexcept = nullptr;
  /// Would a backend of this shape, made now, lend() that memory? Tries it and takes it back. unsupported: its device
  /// has memory of its own, or is not to be had (create() will say why); else as lend(). Null: none would.
  Status (*lends)(const ContextShape& shape, HostMemory memory) noexcept = nullptr;
};

/// All backends of this build, best first.
KINGLET_API std::span<const BackendInfo> backends() noexcept;

/// The backend of that name, or the best available one for "".
/// not_found: no such name (the message lists those there are); backend: this machine cannot run it.
KINGLET_API Result<const BackendInfo*> find_backend(const char* name) noexcept;

}  // namespace kinglet::ops

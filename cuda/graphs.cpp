// cuda/graphs.cpp: when are the layers of a step one launch?
//
// A step of one row for each of n sequences does the same for every layer whatever its tokens are: what changes lies at
// fixed places of device memory, but for how many stretches attention looks at. So the launches of all layers are
// captured once for each n and each power of two of stretches (one more than there are finds nothing to do and changes
// no bit), and replayed by the first layer's first operation; those after it have nothing left to enqueue.
#include <algorithm>
#include <bit>

#include "backend.hpp"
#include "core/fail.hpp"

namespace kinglet::cuda {
namespace {

constexpr std::size_t layer_ops = 5;

/// Where an operation stands among those of the layers, or none.
constexpr std::size_t none = ~std::size_t{0};
std::size_t place_of(const ops::Op& op) noexcept {
  if (op.kind == ops::OpKind::embed || op.kind == ops::OpKind::output) return none;
  return op.layer * layer_ops + static_cast<std::size_t>(op.kind) -
         static_cast<std::size_t>(ops::OpKind::attention_input);
}

bool same(const ops::WeightView& a, const ops::WeightView& b) noexcept {
  return a.format == b.format && a.rows == b.rows && a.cols == b.cols && a.row_bytes == b.row_bytes && a.data == b.data;
}
bool same(const ops::Op& a, const ops::Op& b) noexcept {
  return a.kind == b.kind && a.layer == b.layer && a.norm == b.norm && a.importance == b.importance &&
         std::equal(a.weight, a.weight + 3, b.weight, [](const auto& x, const auto& y) { return same(x, y); }) &&
         std::equal(a.bias, a.bias + 3, b.bias) && std::equal(a.head_norm, a.head_norm + 2, b.head_norm);
}

}  // namespace

std::size_t CudaBackend::known_ops_bytes(const ops::ContextShape& shape) noexcept {
  return sizeof(ops::Op) * layer_ops * shape.layers;
}

/// Remembers the layers' operations as they come. One that is not as it was takes everything back.
/// @return whether a graph that is being replayed has computed something else
bool CudaBackend::know(const ops::Op& op) noexcept {
  const std::size_t place = place_of(op);
  const bool changed = place < known_ && !same(known_ops_[place], op);
  if (changed) {
    if (replayed_) (void)wait_for_step();  // it may still run
    forget_graphs();
  }
  if (place == known_ && place < layer_ops * shape_.layers) known_ops_[known_++] = op;
  return changed;
}

void CudaBackend::forget_graphs() noexcept {
  for (Graph& graph : graphs_) {
    if (graph.handle != nullptr) driver_->release_graph(graph.handle);
    graph = {};
  }
  known_ = 0;
}

/// Runs a layer's operation, or finds it done.
Status CudaBackend::run_layer(const ops::Op& op) noexcept {
  const bool changed = know(op);
  if (replayed_) {
    return changed ? Status(Error{Errc::internal, "an operation changed in the middle of a step"}) : Status();
  }
  if (place_of(op) != 0 || !decodes_ || known_ != layer_ops * shape_.layers || !graphs_work_) return enqueue(op);
  const std::uint32_t most = parts(std::uint64_t{shape_.pages} * ops::page_tokens, ops::stretch_tokens);
  const std::uint32_t stretches = std::min(std::max(most, stretches_), std::bit_ceil(stretches_));
  Graph* const graph = find_graph(stretches);
  if (graph == nullptr) return enqueue(op);
  replayed_ = true;
  return check(driver_->run_graph(graph->handle), "cudaGraphLaunch");
}

/// The graph for this step's rows, made in the place of the one that was not used for the longest time if there is
/// none. Null: this machine makes none; what is wrong with it comes out in the launches that follow.
CudaBackend::Graph* CudaBackend::find_graph(std::uint32_t stretches) noexcept {
  ++graph_clock_;
  Graph* oldest = graphs_;
  for (Graph& graph : graphs_) {
    if (graph.used < oldest->used) oldest = &graph;
    if (graph.handle == nullptr || graph.rows != rows() || graph.stretches != stretches) continue;
    graph.used = graph_clock_;
    return &graph;
  }
  if (oldest->handle != nullptr) driver_->release_graph(oldest->handle);
  *oldest = {};
  void* const handle = capture(stretches);
  graphs_work_ = handle != nullptr;
  if (!graphs_work_) return nullptr;
  *oldest = {rows(), stretches, graph_clock_, handle};
  return oldest;
}

void* CudaBackend::capture(std::uint32_t stretches) noexcept {
  if (driver_->begin_graph() != 0) return nullptr;
  const std::uint32_t exact = stretches_;
  const std::size_t pages = pages_.count;
  stretches_ = stretches;
  pages_.count = layout_.step_bytes / sizeof(std::uint32_t) - 5 * std::size_t{shape_.max_rows} - shape_.max_sequences;
  Status s;
  for (std::size_t i = 0; s && i < known_; ++i) s = enqueue(known_ops_[i]);
  stretches_ = exact;
  pages_.count = pages;
  void* handle = nullptr;
  const int code = driver_->end_graph(handle);
  if (s && code == 0) return handle;
  if (handle != nullptr) driver_->release_graph(handle);
  return nullptr;
}

}  // namespace kinglet::cuda

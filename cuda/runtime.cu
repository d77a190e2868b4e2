// cuda/runtime.cu: the driver's calls, on the CUDA runtime
//
// The runtime is linked statically and finds the GPU's driver when it is first called, so that a program with this
// backend starts on a machine without one. The device's primary context, which the runtime shares with the host, is
// pushed around every use and popped after it: cudaSetDevice() would also change which device a host's own calls mean
// where it has no context yet.
#include <cuda_runtime.h>

#include <cstring>
#include <new>

#include "backend.hpp"
#include "entry.cuh"
#include "info.hpp"

namespace kinglet::cuda {
namespace {

const void* kernel_function(KernelName name) noexcept {
  switch (name.kind) {
    case KernelKind::product_floats: return product_floats_kernel(name.format);
    case KernelKind::product_int8: return product_int8_kernel(name.format);
    case KernelKind::product_fp8: return product_fp8_kernel(name.format);
    case KernelKind::product_many: return product_many_kernel(name.format);
    case KernelKind::product_halves: return product_halves_kernel(name.format);
    default: return rows_kernel(name);
  }
}

// The driver's own types, spelt out: its header would ask consumers for the toolkit. Its codes are the runtime's.
using Context = struct CUctx_st*;

/// @return whether the driver has the function
template <class Function>
bool find(Function& function, const char* name) noexcept {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t code = cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result);
#else
  const cudaError_t code = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
  function = reinterpret_cast<Function>(found);
  return code == cudaSuccess && result == cudaDriverEntryPointSuccess;
}

class Runtime final : public Driver {
 public:
  const char* text(int code) noexcept override { return cudaGetErrorString(static_cast<cudaError_t>(code)); }

  int device_count(int& count) noexcept override { return seen(cudaGetDeviceCount(&count)); }

  int versions(int& driver, int& runtime) noexcept override {
    if (const int code = seen(cudaDriverGetVersion(&driver)); code != 0) return code;
    return seen(cudaRuntimeGetVersion(&runtime));
  }

  int describe(int device, DeviceInfo& info) noexcept override {
    cudaDeviceProp properties;
    if (const int code = seen(cudaGetDeviceProperties(&properties, device)); code != 0) return code;
    std::memcpy(info.name, properties.name, sizeof info.name - 1);
    info.compute = static_cast<std::uint32_t>(10 * properties.major + properties.minor);
    info.integrated = properties.integrated != 0;
    info.pageable = properties.pageableMemoryAccess != 0;
    info.registers = properties.canMapHostMemory != 0 && properties.hostRegisterSupported != 0 &&
                     properties.hostRegisterReadOnlySupported != 0;
    return 0;
  }

  int open(int device, void* stream) noexcept override {
    if (!find(get_device_, "cuDeviceGet") || !find(retain_, "cuDevicePrimaryCtxRetain") ||
        !find(release_, "cuDevicePrimaryCtxRelease") || !find(push_, "cuCtxPushCurrent") ||
        !find(pop_, "cuCtxPopCurrent") || !find(query_, "cuEventQuery")) {
      return cudaErrorInsufficientDriver;
    }
    stream_ = static_cast<cudaStream_t>(stream);
    own_stream_ = stream == nullptr;
    // The runtime keeps the context from here on, as after a host's first call, but makes it current nowhere.
    if (const int code = seen(cudaInitDevice(device, 0, 0)); code != 0) return code;
    if (const int code = get_device_(&device_, device); code != 0) return code;
    if (const int code = retain_(&context_, device_); code != 0) {
      context_ = nullptr;
      return code;
    }
    if (const int code = enter(); code != 0) return code;
    const int code = make();
    leave();
    return code;
  }

  void close() noexcept override {
    if (context_ == nullptr) return;
    if (enter() == 0) {
      for (cudaEvent_t& event : events_) {
        if (event != nullptr) (void)seen(cudaEventDestroy(event));
        event = nullptr;
      }
      if (stream_ != nullptr && own_stream_) (void)seen(cudaStreamDestroy(stream_));
      leave();
    }
    stream_ = nullptr;
    (void)release_(device_);
    context_ = nullptr;
  }

  int enter() noexcept override { return context_ == nullptr ? cudaErrorInsufficientDriver : push_(context_); }
  void leave() noexcept override {
    Context ours = nullptr;
    (void)pop_(&ours);
  }

  int load(KernelName name) noexcept override {
    const void* const function = kernel_function(name);
    cudaFuncAttributes attributes;  // some of them are known of loaded kernels alone
    return function == nullptr ? cudaErrorInvalidDeviceFunction : seen(cudaFuncGetAttributes(&attributes, function));
  }

  int memory(std::size_t& free, std::size_t& total) noexcept override { return seen(cudaMemGetInfo(&free, &total)); }
  int allocate(void*& memory, std::size_t bytes) noexcept override { return seen(cudaMalloc(&memory, bytes)); }
  void release(void* memory) noexcept override { (void)seen(cudaFree(memory)); }
  int allocate_pinned(void*& memory, std::size_t bytes) noexcept override {
    return seen(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault));
  }
  void release_pinned(void* memory) noexcept override { (void)seen(cudaFreeHost(memory)); }

  int lend(const void* host, std::size_t bytes) noexcept override {
    return seen(cudaHostRegister(const_cast<void*>(host), bytes, cudaHostRegisterMapped | cudaHostRegisterReadOnly));
  }
  int lent_address(const void* host, const void*& device) noexcept override {
    void* address = nullptr;
    const int code = seen(cudaHostGetDevicePointer(&address, const_cast<void*>(host), 0));
    device = address;
    return code;
  }
  int give_back(const void* host) noexcept override { return seen(cudaHostUnregister(const_cast<void*>(host))); }

  int upload(void* device, const void* host, std::size_t bytes) noexcept override {
    return seen(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_));
  }
  int download(void* host, const void* device, std::size_t bytes) noexcept override {
    return seen(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
  }
  int copy(void* to, const void* from, std::size_t bytes) noexcept override {
    return seen(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
  }
  int fill(void* device, int byte, std::size_t bytes) noexcept override {
    return seen(cudaMemsetAsync(device, byte, bytes, stream_));
  }
  int launch(KernelName name, const Launch& l, const void* args) noexcept override {
    const void* const function = kernel_function(name);
    if (function == nullptr) return cudaErrorInvalidDeviceFunction;
    void* parameters[1] = {const_cast<void*>(args)};
    if (graph_ != nullptr) return add_node(function, l, parameters);
    return seen(cudaLaunchKernel(function, dim3(l.grid[0], l.grid[1], l.grid[2]), dim3(l.threads), parameters, l.shared,
                                 stream_));
  }

  int begin_graph() noexcept override {
    last_node_ = nullptr;
    return seen(cudaGraphCreate(&graph_, 0));
  }
  int end_graph(void*& graph) noexcept override {
    cudaGraphExec_t ready = nullptr;
    const int code = seen(cudaGraphInstantiate(&ready, graph_, 0));
    (void)seen(cudaGraphDestroy(graph_));
    graph_ = nullptr;
    graph = code == 0 ? ready : nullptr;
    return code;
  }
  int run_graph(void* graph) noexcept override {
    return seen(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_));
  }
  void release_graph(void* graph) noexcept override {
    (void)seen(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)));
  }

  int set(std::size_t mark) noexcept override { return seen(cudaEventRecord(events_[mark], stream_)); }
  int wait(std::size_t mark) noexcept override { return seen(cudaEventSynchronize(events_[mark])); }
  int query(std::size_t mark, bool& reached) noexcept override {
    // The driver's call: the runtime's would leave cudaErrorNotReady to the host's next cudaGetLastError().
    const int code = query_(events_[mark]);
    reached = code == 0;
    return code == cudaErrorNotReady ? 0 : code;
  }

 private:
  /// The code as a number; the runtime forgets it, so that a host's next call does not find our error.
  static int seen(cudaError_t code) noexcept {
    if (code != cudaSuccess) (void)cudaGetLastError();
    return static_cast<int>(code);
  }

  /// A graph is built node by node: no stream, of ours or the host's, is ever in a capture. It runs at the priority of
  /// the stream that it is launched into.
  int add_node(const void* function, const Launch& l, void** parameters) noexcept {
    cudaKernelNodeParams node{};
    node.func = const_cast<void*>(function);
    node.gridDim = dim3(l.grid[0], l.grid[1], l.grid[2]);
    node.blockDim = dim3(l.threads);
    node.sharedMemBytes = l.shared;
    node.kernelParams = parameters;
    const cudaGraphNode_t before = last_node_;
    const std::size_t befores = before == nullptr ? 0 : 1;
    return seen(cudaGraphAddKernelNode(&last_node_, graph_, &before, befores, &node));
  }

  int make() noexcept {
    int least = 0, greatest = 0;
    if (const int code = seen(cudaDeviceGetStreamPriorityRange(&least, &greatest)); code != 0) return code;
    if (own_stream_) {
      const int code = seen(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, least));
      if (code != 0) return code;
    }
    for (cudaEvent_t& event : events_) {
      const int code = seen(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync));
      if (code != 0) return code;
    }
    return 0;
  }

  int (*get_device_)(int* device, int ordinal) = nullptr;
  int (*retain_)(Context* context, int device) = nullptr;
  int (*release_)(int device) = nullptr;
  int (*push_)(Context context) = nullptr;
  int (*pop_)(Context* context) = nullptr;
  int (*query_)(cudaEvent_t event) = nullptr;
  int device_ = 0;  // the driver's handle
  Context context_ = nullptr;
  cudaStream_t stream_ = nullptr;
  bool own_stream_ = false;
  cudaGraph_t graph_ = nullptr;  // while launches are recorded
  cudaGraphNode_t last_node_ = nullptr;
  cudaEvent_t events_[marks] = {};
};

const DriverMaker maker{(sizeof(Runtime) + 63) / 64 * 64,
                        [](void* place) noexcept -> Driver* { return new (place) Runtime; }};

}  // namespace

bool available() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count > 0;
  (void)cudaGetLastError();
  return false;
}

Error fault() noexcept { return CudaBackend::fault(maker); }

ops::DeviceMemory memory(std::uint32_t device) noexcept {
  Runtime driver;
  int count = 0;
  std::size_t free = 0, total = 0;
  if (driver.device_count(count) != 0 || device >= static_cast<std::uint32_t>(count)) return {};
  if (driver.open(static_cast<int>(device), nullptr) == 0 && driver.enter() == 0) {
    if (driver.memory(free, total) != 0) free = total = 0;
    driver.leave();
  }
  driver.close();
  return {total, free};
}

std::size_t bytes(const ops::ContextShape& shape) noexcept { return CudaBackend::bytes(maker, shape); }

std::size_t placed_bytes(const ops::ContextShape& shape, const ops::WeightView& weight, ops::WeightUse) noexcept {
  return CudaBackend::placed_bytes(shape, weight);
}

Status lends(const ops::ContextShape& shape, ops::HostMemory memory) noexcept {
  return CudaBackend::lends(maker, shape, memory);
}

Result<ops::Backend*> create(const ops::ContextShape& shape, const Hooks&, core::Memory& memory) noexcept {
  return CudaBackend::create(maker, shape, memory);
}

void destroy(ops::Backend* backend, core::Memory& memory) noexcept { CudaBackend::destroy(backend, memory); }

}  // namespace kinglet::cuda

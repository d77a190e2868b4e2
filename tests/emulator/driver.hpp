// tests/emulator/driver.hpp: who answers the backend's calls of CUDA where there is none?
//
// A Machine stands for one computer with one GPU: its memory, its faults. While it lives, DriverMaker `emulated` makes
// drivers of it. What is enqueued runs as late as CUDA allows, when somebody waits for a mark behind it: pinned memory
// that is written or read too early, and memory that is freed in use, shows.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cuda/driver.hpp"
#include "cuda/kernels.cuh"
#include "tests/emulator/device.hpp"
#include "tests/emulator/lent.hpp"

namespace kinglet::emulator {

inline constexpr int error_device_lost = 719;   ///< cudaErrorLaunchFailure, which stays
inline constexpr int error_lent_already = 712;  ///< cudaErrorHostMemoryAlreadyRegistered
inline constexpr int error_not_lent = 713;      ///< cudaErrorHostMemoryNotRegistered

struct Machine {
  explicit Machine(std::size_t memory = std::size_t{1} << 30, bool watching = true) : device(memory, watching) {
    current() = this;
  }
  ~Machine() { current() = nullptr; }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  static Machine*& current() {
    static Machine* machine = nullptr;
    return machine;
  }

  /// What the next call answers.
  int answer() {
    ++calls;
    if (lost || (fail_at != 0 && calls == fail_at)) {
      lost = lost || code == error_device_lost;
      return code;
    }
    return 0;
  }

  Device device;
  LentMemory lent{device};
  int devices = 1;
  int driver_fault = 0;        ///< what counting the devices answers
  int driver_version = 13000;  ///< 0 = there is no driver
  int opened_device = -1;      ///< the last one that was opened
  void* stream = nullptr;      ///< the host's that it was opened with
  int slowness = 0;            ///< how often a mark answers that it is not reached yet
  int pending = 0;             ///< of these, how often the last one still will
  std::size_t waits = 0;       ///< so far, for a mark that was not reached
  std::uint32_t compute = 80;
  bool integrated = false, pageable = false, registers = true;  ///< as DeviceInfo has them
  bool refuses = false;                                         ///< to take memory of the host
  bool has_kernels = true;                                      ///< of this build, for the device
  std::size_t calls = 0;                                        ///< so far
  std::size_t fail_at = 0;                                      ///< the call, counted from 1, that fails; 0 = none
  int code = error_device_lost;
  bool lost = false;
  std::size_t pinned = 0;                                       ///< bytes of pinned memory in use
  int entered = 0;                                              ///< enter() without leave()
  int opened = 0;                                               ///< drivers open
  std::map<std::string, std::size_t> launches;                  ///< by kernel, those of graphs too
  std::size_t launch_calls = 0;                                 ///< of kernels, one by one
  std::set<std::pair<cuda::KernelKind, quant::Format>> loaded;  ///< kernels; the others must not be launched
  int graphs = 0;                                               ///< there now
  std::size_t captures = 0, replays = 0;                        ///< of graphs, so far
};

/// A launch, for the units that know kernels (tests/cuda/kernels_*.cpp; each compiles its own, as those of a device
/// do).
struct Call {
  Device& device;
  cuda::KernelName name;
  const cuda::Launch& shape;
  const void* args;
  std::vector<std::byte>* copied = nullptr;  ///< where the parameters are kept, and nothing runs

  /// Runs the kernel if it is of this kind. @return whether there is one
  template <cuda::KernelKind kind>
  bool run() const {
    return name.kind == kind && cuda::with_kernel<kind>(name.format, [&]<class Kernel>() {
             if (copied != nullptr) {
               const auto* const bytes = static_cast<const std::byte*>(args);
               return copied->assign(bytes, bytes + sizeof(typename Kernel::Args));
             }
             device.launch<Kernel>(cuda::kernel_text(kind), shape, *static_cast<const typename Kernel::Args*>(args));
           });
  }
};
bool run_rows(const Call& call);
bool run_few(const Call& call);
bool run_many(const Call& call);
inline bool run_any(const Call& call) { return run_rows(call) || run_few(call) || run_many(call); }

/// Launches that wait to be run, in order.
struct Graph {
  struct Node {
    cuda::KernelName name;
    cuda::Launch shape;
    std::vector<std::byte> args;
  };
  std::vector<Node> nodes;
};

class EmulatedDriver final : public cuda::Driver {
 public:
  const char* text(int code) noexcept override {
    return code == cuda::error_out_of_memory ? "out of memory" : "unspecified launch failure";
  }
  int device_count(int& count) noexcept override {
    count = machine_.devices;
    if (machine_.driver_fault != 0) return machine_.driver_fault;
    return machine_.answer();
  }
  int versions(int& driver, int& runtime) noexcept override {
    driver = machine_.driver_version;
    runtime = 13000;
    return 0;
  }
  int describe(int device, cuda::DeviceInfo& info) noexcept override {
    if (const int code = machine_.answer(); code != 0) return code;
    std::snprintf(info.name, sizeof info.name, "emulator %d", device);
    info.compute = machine_.compute;
    info.integrated = machine_.integrated;
    info.pageable = machine_.pageable;
    info.registers = machine_.registers;
    return 0;
  }
  int open(int device, void* stream) noexcept override {
    if (const int code = machine_.answer(); code != 0) return code;
    open_ = true;
    ++machine_.opened;
    machine_.opened_device = device;
    machine_.stream = stream;
    return 0;
  }
  void close() noexcept override {
    if (!queue_.empty() && !machine_.lost) machine_.device.reports.add("close() while work is enqueued");
    queue_.clear();
    if (open_) --machine_.opened;
    open_ = false;
  }
  int enter() noexcept override {
    const bool lost = machine_.lost;  // the stack of contexts does not care
    const int code = machine_.answer();
    if (code != 0 && !lost) return code;
    ++machine_.entered;
    return 0;
  }
  void leave() noexcept override { --machine_.entered; }
  int load(cuda::KernelName name) noexcept override {
    if (const int code = enqueued(); code != 0) return code;
    if (!machine_.has_kernels) return cuda::error_no_image;
    machine_.loaded.insert({name.kind, name.format});
    return 0;
  }

  int memory(std::size_t& free, std::size_t& total) noexcept override {
    free = machine_.device.free();
    total = machine_.device.total();
    return machine_.answer();
  }
  int allocate(void*& memory, std::size_t bytes) noexcept override {
    if (const int code = machine_.answer(); code != 0) return code;
    memory = machine_.device.allocate(bytes);
    return memory == nullptr ? cuda::error_out_of_memory : 0;
  }
  void release(void* memory) noexcept override {
    idle("cudaFree");
    if (!machine_.device.release(memory)) machine_.device.reports.add("cudaFree of what is not allocated");
  }
  int allocate_pinned(void*& memory, std::size_t bytes) noexcept override {
    if (const int code = machine_.answer(); code != 0) return code;
    memory = std::malloc(bytes + 256);
    if (memory == nullptr) return cuda::error_out_of_memory;
    std::memset(memory, 0xff, bytes + 256);
    *static_cast<std::size_t*>(memory) = bytes;
    machine_.pinned += bytes;
    memory = static_cast<std::byte*>(memory) + 256;
    return 0;
  }
  void release_pinned(void* memory) noexcept override {
    idle("cudaFreeHost");
    auto* const block = static_cast<std::byte*>(memory) - 256;
    machine_.pinned -= *reinterpret_cast<std::size_t*>(block);
    std::free(block);
  }

  int lend(const void* host, std::size_t bytes) noexcept override {
    if (const int code = enqueued(); code != 0) return code;
    if (!machine_.integrated || !machine_.registers) return 801;  // cudaErrorNotSupported
    return !machine_.refuses && machine_.lent.lend(host, bytes) ? 0 : error_lent_already;
  }
  int lent_address(const void* host, const void*& device) noexcept override {
    if (const int code = enqueued(); code != 0) return code;
    device = machine_.lent.address(host);
    return device == nullptr ? 1 : 0;  // cudaErrorInvalidValue
  }
  int give_back(const void* host) noexcept override {
    idle("cudaHostUnregister");
    const bool lost = machine_.lost;  // with a device its mappings go
    const int code = enqueued();
    if (code != 0 && !lost) return code;
    if (machine_.lent.give_back(host)) return code;
    if (!lost) machine_.device.reports.add("cudaHostUnregister of what is not lent");
    return error_not_lent;
  }

  int upload(void* device, const void* host, std::size_t bytes) noexcept override {
    return enqueue([=, this] { (void)machine_.device.write(device, host, bytes); });
  }
  int download(void* host, const void* device, std::size_t bytes) noexcept override {
    return enqueue([=, this] { (void)machine_.device.read(host, device, bytes); });
  }
  int copy(void* to, const void* from, std::size_t bytes) noexcept override {
    return enqueue([=, this] { (void)machine_.device.copy(to, from, bytes); });
  }
  int fill(void* device, int byte, std::size_t bytes) noexcept override {
    return enqueue([=, this] {
      const std::vector<unsigned char> bytes_of(bytes, static_cast<unsigned char>(byte));
      (void)machine_.device.write(device, bytes_of.data(), bytes);
    });
  }
  int set(std::size_t mark) noexcept override {
    machine_.pending = machine_.slowness;
    const int code = enqueued();
    if (code == 0) marked_[mark] = last_enqueued_;
    return code;
  }
  int wait(std::size_t mark) noexcept override {
    if (machine_.pending > 0) ++machine_.waits;
    machine_.pending = 0;
    if (const int code = enqueued(); code != 0) return code;
    run_to(marked_[mark]);
    return 0;
  }
  int query(std::size_t mark, bool& reached) noexcept override {
    reached = machine_.pending == 0;
    if (!reached) --machine_.pending;
    if (const int code = enqueued(); code != 0) return code;
    if (reached) run_to(marked_[mark]);
    return 0;
  }

  int launch(cuda::KernelName name, const cuda::Launch& shape, const void* args) noexcept override {
    if (const int code = current(); code != 0) return code;
    const char* const text = cuda::kernel_text(name.kind);
    cuda::ChipLimits chip = cuda::chips[0];
    chip.shared_of_block = cuda::shared_without_opt_in;
    if (!cuda::fits(shape, chip)) {
      machine_.device.reports.add(std::string(text) + ": a launch that no chip takes");
      return 9;  // cudaErrorInvalidConfiguration
    }
    if (machine_.loaded.count({name.kind, name.format}) == 0) {
      machine_.device.reports.add(std::string(text) + ": a kernel that is not loaded before its launch");
    }
    Graph::Node node{name, shape, {}};
    if (!run_any({machine_.device, name, shape, args, &node.args})) return cuda::error_no_function;
    if (graph_ != nullptr) {
      graph_->nodes.push_back(std::move(node));
      return 0;
    }
    ++machine_.launches[text];
    ++machine_.launch_calls;
    push([node = std::move(node), this] { run(node); });
    return 0;
  }

  int begin_graph() noexcept override {
    if (const int code = current(); code != 0) return code;
    graph_ = new Graph;
    return 0;
  }
  int end_graph(void*& graph) noexcept override {
    const int code = current();
    if (code != 0) {
      delete graph_;
    } else {
      graph = graph_;
      ++machine_.graphs;
      ++machine_.captures;
    }
    graph_ = nullptr;
    return code;
  }
  int run_graph(void* graph) noexcept override {
    if (const int code = enqueued(); code != 0) return code;
    ++machine_.replays;
    const std::vector<Graph::Node> nodes = static_cast<Graph*>(graph)->nodes;  // it may go before it has run
    for (const Graph::Node& node : nodes) ++machine_.launches[cuda::kernel_text(node.name.kind)];
    push([nodes, this] {
      for (const Graph::Node& node : nodes) run(node);
    });
    return 0;
  }
  void release_graph(void* graph) noexcept override {
    delete static_cast<Graph*>(graph);
    --machine_.graphs;
  }

 private:
  void run(const Graph::Node& node) { (void)run_any({machine_.device, node.name, node.shape, node.args.data()}); }
  void push(std::function<void()> work) {
    queue_.push_back(std::move(work));
    ++last_enqueued_;
  }
  int enqueue(std::function<void()> work) {
    const int code = enqueued();
    if (code == 0) push(std::move(work));
    return code;
  }
  /// Runs what was enqueued, up to the one of that number, counted from 1.
  void run_to(std::size_t number) {
    for (; last_run_ < number; ++last_run_) {
      queue_.front()();
      queue_.pop_front();
    }
  }
  void idle(const char* call) {
    if (!queue_.empty() && !machine_.lost) {
      std::string report(call);
      machine_.device.reports.add(report.append(" while work is enqueued"));
    }
  }

  /// Of a call that a recording does not take.
  int enqueued() {
    if (graph_ != nullptr) machine_.device.reports.add("a call between begin_graph() and end_graph()");
    return current();
  }
  int current() {
    if (machine_.entered <= 0) machine_.device.reports.add("a call outside of enter() and leave()");
    return machine_.answer();
  }

  Machine& machine_ = *Machine::current();
  bool open_ = false;
  Graph* graph_ = nullptr;  // while launches are recorded
  std::deque<std::function<void()>> queue_;
  std::size_t last_enqueued_ = 0, last_run_ = 0;
  std::size_t marked_[marks] = {};
};

inline constexpr cuda::DriverMaker emulated{(sizeof(EmulatedDriver) + 63) / 64 * 64, [](void* place) noexcept {
                                              return static_cast<cuda::Driver*>(new (place) EmulatedDriver);
                                            }};

}  // namespace kinglet::emulator

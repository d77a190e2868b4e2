// cuda/driver.hpp: which calls of CUDA does the backend make?
//
// All of them go through this table, so that the tests' emulator can answer them, and fail any of them. A call returns
// 0 or CUDA's code. What is enqueued runs in order on one stream of the lowest priority that waits for no other.
#pragma once
#include <cstddef>

#include "launch.hpp"
#include "names.hpp"

namespace kinglet::cuda {

inline constexpr int error_out_of_memory = 2;  ///< cudaErrorMemoryAllocation
inline constexpr int error_driver = 35;        ///< cudaErrorInsufficientDriver: none, or one that is too old
inline constexpr int error_no_device = 100;    ///< cudaErrorNoDevice
inline constexpr int error_no_function = 98;   ///< cudaErrorInvalidDeviceFunction
inline constexpr int error_no_image = 209;     ///< cudaErrorNoKernelImageForDevice

struct DeviceInfo {
  char name[128] = {};
  std::uint32_t compute = 0;  ///< 10 * major + minor
  bool integrated = false;    ///< its memory is the host's
  bool pageable = false;      ///< kernels may read any memory of the host
  bool registers = false;     ///< lend() may succeed
};

class Driver {
 public:
  virtual ~Driver() = default;

  virtual const char* text(int code) noexcept = 0;
  virtual int device_count(int& count) noexcept = 0;
  /// Versions of CUDA, 1000 * major + 10 * minor: the newest that the driver knows (0: there is none), and this
  /// build's.
  virtual int versions(int& driver, int& runtime) noexcept = 0;
  virtual int describe(int device, DeviceInfo& info) noexcept = 0;
  /// Makes the marks on a device, and the stream where `stream`, the host's, is null; what follows happens there.
  virtual int open(int device, void* stream) noexcept = 0;
  /// Frees what open() made, after what was enqueued. May be called without open().
  virtual void close() noexcept = 0;
  /// Around every use of the table after open(): the device becomes current, and then what was current before.
  virtual int enter() noexcept = 0;
  virtual void leave() noexcept = 0;

  /// Brings a kernel to the device. Otherwise its first launch would, which may take memory and wait for whatever else
  /// runs there, the host's work too.
  virtual int load(KernelName name) noexcept = 0;

  virtual int memory(std::size_t& free, std::size_t& total) noexcept = 0;
  virtual int allocate(void*& memory, std::size_t bytes) noexcept = 0;
  virtual void release(void* memory) noexcept = 0;
  /// Pinned memory of the host.
  virtual int allocate_pinned(void*& memory, std::size_t bytes) noexcept = 0;
  virtual void release_pinned(void* memory) noexcept = 0;

  /// Lets kernels read memory of the host, which is mapped read-only and stays so until give_back(). It begins
  /// with a page.
  virtual int lend(const void* host, std::size_t bytes) noexcept = 0;
  /// @param device  where kernels find lent memory
  virtual int lent_address(const void* host, const void*& device) noexcept = 0;
  virtual int give_back(const void* host) noexcept = 0;

  // Enqueued; the host's memory is pinned and stays as it is until a mark after the call is reached.
  virtual int upload(void* device, const void* host, std::size_t bytes) noexcept = 0;
  virtual int download(void* host, const void* device, std::size_t bytes) noexcept = 0;
  virtual int copy(void* to, const void* from, std::size_t bytes) noexcept = 0;
  virtual int fill(void* device, int byte, std::size_t bytes) noexcept = 0;
  /// @param args  the kernel's parameters, copied before the call returns
  virtual int launch(KernelName name, const Launch& launch, const void* args) noexcept = 0;

  // Between begin_graph() and end_graph() launches are not enqueued but recorded, each after the one before; nothing
  // else is called between. What the driver keeps of a graph is its own.
  virtual int begin_graph() noexcept = 0;
  /// Ends the recording, also where it fails. @param graph  ready to run; null where it fails
  virtual int end_graph(void*& graph) noexcept = 0;
  virtual int run_graph(void* graph) noexcept = 0;
  virtual void release_graph(void* graph) noexcept = 0;

  /// Marks, by number: set after all that is enqueued; then waited for.
  static constexpr std::size_t marks = 4;
  virtual int set(std::size_t mark) noexcept = 0;
  virtual int wait(std::size_t mark) noexcept = 0;
  virtual int query(std::size_t mark, bool& reached) noexcept = 0;
};

/// How a backend gets a driver of its own, in its own memory.
struct DriverMaker {
  std::size_t bytes = 0;  ///< of the driver; aligned to 64
  Driver* (*make)(void* place) noexcept = nullptr;
};

}  // namespace kinglet::cuda

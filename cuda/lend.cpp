// cuda/lend.cpp: when does a GPU read the host's memory where it lies, and how does it come to that?
//
// An integrated GPU has the host's memory: a copy of the weights would only be there twice. It reads the mapped file,
// at once where it follows the host's page tables, or after the mapping was registered, read-only as it is.
#include <new>

#include "backend.hpp"
#include "core/fail.hpp"

namespace kinglet::cuda {

/// unsupported: the device is not there or not integrated; backend: it cannot read a mapped file, though it is.
Status CudaBackend::describe_lender(Driver& driver, int device, DeviceInfo& info, std::size_t parts) noexcept {
  int count = 0;
  if (driver.device_count(count) != 0 || device < 0 || device >= count || driver.describe(device, info) != 0) {
    return Error{Errc::unsupported, "there is no such device"};
  }
  if (!info.integrated) return Error{Errc::unsupported, "the device has memory of its own"};
  if (!info.pageable && !info.registers) {
    return core::fail(Errc::backend, "CUDA device {} ({}) takes no read-only memory of the host", device, info.name);
  }
  if (parts > most_lent) return core::fail(Errc::backend, "the file has {} parts, more than {}", parts, most_lent);
  return {};
}

/// With an error, nothing stays lent. The device is current.
Status CudaBackend::lend_all(Driver& driver, int device, const DeviceInfo& info, ops::HostMemory memory,
                             LentList& list) noexcept {
  list.count = 0;
  for (const std::span<const std::byte> part : memory) {
    Lent& lent = list.parts[list.count++];
    lent = {part.data(), part.size(), part.data(), false};
    if (info.pageable) continue;
    Status s = check(&driver, device, driver.lend(part.data(), part.size()), "cudaHostRegister");
    lent.registered = s.ok();
    const void* address = nullptr;
    if (s) s = check(&driver, device, driver.lent_address(part.data(), address), "cudaHostGetDevicePointer");
    lent.device = static_cast<const std::byte*>(address);
    if (s) continue;
    give_back(driver, list);
    return s;
  }
  return {};
}

/// What is not given back now never is, hence second tries.
void CudaBackend::give_back(Driver& driver, LentList& list) noexcept {
  for (std::size_t i = 0; i < list.count; ++i) {
    const Lent& part = list.parts[i];
    if (part.registered && driver.give_back(part.host) != 0) (void)driver.give_back(part.host);
  }
  list.count = 0;
}

Status CudaBackend::lends(const DriverMaker& maker, const ops::ContextShape& shape, ops::HostMemory memory) noexcept {
  struct alignas(64) Place {
    std::byte bytes[1024];
  } place;
  if (maker.bytes > sizeof place) return Error{Errc::internal, "a driver's table is larger than its place"};
  Driver* const driver = maker.make(place.bytes);
  const int device = static_cast<int>(shape.device);
  DeviceInfo info;
  Status s = describe_lender(*driver, device, info, memory.size());
  if (s && !info.pageable) {
    if (driver->open(device, nullptr) != 0 || driver->enter() != 0) {
      s = Error{Errc::unsupported, "the device cannot be opened"};
    } else {
      LentList list;
      s = lend_all(*driver, device, info, memory, list);
      give_back(*driver, list);
      driver->leave();
    }
    driver->close();
  }
  driver->~Driver();
  return s;
}

Status CudaBackend::lend(ops::HostMemory memory) noexcept {
  if (lent_.count != 0) return Error{Errc::internal, "memory was lent already"};
  DeviceInfo info;
  if (const Status s = describe_lender(*driver_, device_index_, info, memory.size()); !s) return s;
  const Entered entered(*driver_);
  if (const Status s = check(entered.code, "making the device current"); !s) return s;
  return lend_all(*driver_, device_index_, info, memory, lent_);
}

}  // namespace kinglet::cuda

// tests/cuda/emulated.hpp: the cuda backend on the emulator, as an entry of the list of backends
#pragma once
#include "cuda/backend.hpp"
#include "tests/emulator/driver.hpp"
#include "tests/ops/hand_model.hpp"

namespace kinglet::test {

inline const ops::BackendInfo emulated_cuda{
    "cuda",
    "the emulator",
    "nothing",
    true,
    []() noexcept { return true; },
    []() noexcept { return cuda::CudaBackend::fault(emulator::emulated); },
    [](std::uint32_t) noexcept {
      const emulator::Machine* const machine = emulator::Machine::current();
      return ops::DeviceMemory{machine->device.total(), machine->device.free()};
    },
    [](const ops::ContextShape& shape) noexcept { return cuda::CudaBackend::bytes(emulator::emulated, shape); },
    [](const ops::ContextShape& shape, const ops::WeightView& weight, ops::WeightUse) noexcept {
      return cuda::CudaBackend::placed_bytes(shape, weight);
    },
    [](const ops::ContextShape& shape, const Hooks&, core::Memory& memory) noexcept {
      return cuda::CudaBackend::create(emulator::emulated, shape, memory);
    },
    cuda::CudaBackend::destroy,
    false,
    nullptr,
    nullptr,
    [](const ops::ContextShape& shape, ops::HostMemory memory) noexcept {
      return cuda::CudaBackend::lends(emulator::emulated, shape, memory);
    }};

}  // namespace kinglet::test

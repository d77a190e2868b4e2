// cuda/view.hpp: how does a kernel's parameter name an array in device memory?
#pragma once
#include <cstddef>
#include <type_traits>

#include <kinglet/core/config.hpp>

namespace kinglet::cuda {

/// `count` elements in device memory. A kernel reaches them through its thread (device.cuh); the count is what the
/// emulator holds every access to.
template <class T>
struct View {
  T* data = nullptr;
  std::size_t count = 0;

  KINGLET_HD explicit operator bool() const noexcept { return data != nullptr; }
  template <class U>
    requires(std::is_same_v<U, const T> && !std::is_const_v<T>)
  operator View<U>() const noexcept {
    return {data, count};
  }
};

}  // namespace kinglet::cuda

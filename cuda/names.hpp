// cuda/names.hpp: what is a kernel called, outside the code that compiles it?
#pragma once
#include <cstddef>
#include <cstdint>

#include <kinglet/quant/format.hpp>

namespace kinglet::cuda {

enum class KernelKind : std::uint8_t {
  embed,  ///< by format
  prepare_values,
  prepare_int8,
  prepare_fp8,
  prepare_halves,
  gate,
  product_floats,  ///< by format
  product_int8,    ///< by quantized format
  product_fp8,     ///< by quantized format
  product_many,    ///< by quantized format: int8, on tensor cores
  product_halves,  ///< by format: FP16, on tensor cores
  rotate,
  attend,
  merge,
  sample,
};
inline constexpr std::size_t kernel_kinds = 15;

constexpr const char* kernel_text(KernelKind kind) noexcept {
  constexpr const char* texts[kernel_kinds] = {"embed",          "prepare_values", "prepare_int8",   "prepare_fp8",
                                               "prepare_halves", "gate",           "product_floats", "product_int8",
                                               "product_fp8",    "product_many",   "product_halves", "rotate",
                                               "attend",         "merge",          "sample"};
  return texts[static_cast<std::size_t>(kind)];
}

struct KernelName {
  KernelKind kind = KernelKind::embed;
  quant::Format format = quant::Format::f32;  ///< of kinds that go by format
};

}  // namespace kinglet::cuda

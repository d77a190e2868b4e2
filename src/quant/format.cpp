// quant/format.cpp: how do blocks of each format become FP32?
#include <iterator>

#include <kinglet/core/float_env.hpp>
#include <kinglet/quant/format.hpp>

#include "core/fail.hpp"
#include "quant/group.hpp"

namespace kinglet::quant {
namespace {

/// By number; the withdrawn ones included.
constexpr GgufType gguf_types[] = {
    {"F32", 1, 4},      {"F16", 1, 2},        {"Q4_0", 32, 18},     {"Q4_1", 32, 20},     {"Q4_2", 0, 0},
    {"Q4_3", 0, 0},     {"Q5_0", 32, 22},     {"Q5_1", 32, 24},     {"Q8_0", 32, 34},     {"Q8_1", 32, 36},
    {"Q2_K", 256, 84},  {"Q3_K", 256, 110},   {"Q4_K", 256, 144},   {"Q5_K", 256, 176},   {"Q6_K", 256, 210},
    {"Q8_K", 256, 292}, {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74},  {"IQ3_XXS", 256, 98}, {"IQ1_S", 256, 50},
    {"IQ4_NL", 32, 18}, {"IQ3_S", 256, 110},  {"IQ2_S", 256, 82},   {"IQ4_XS", 256, 136}, {"I8", 1, 1},
    {"I16", 1, 2},      {"I32", 1, 4},        {"I64", 1, 8},        {"F64", 1, 8},        {"IQ1_M", 256, 56},
    {"BF16", 1, 2},     {"Q4_0_4_4", 0, 0},   {"Q4_0_4_8", 0, 0},   {"Q4_0_8_8", 0, 0},   {"TQ1_0", 256, 54},
    {"TQ2_0", 256, 66}, {"IQ4_NL_4_4", 0, 0}, {"IQ4_NL_4_8", 0, 0}, {"IQ4_NL_8_8", 0, 0}, {"MXFP4", 32, 17},
    {"NVFP4", 64, 36},  {"Q1_0", 128, 18},
};

template <Format F>
void dequantize_blocks(const std::uint8_t* block, std::size_t n, float* out) noexcept {
  constexpr FormatInfo f = format_info<F>;
  Group group;
  for (std::size_t done = 0; done < n; done += f.block, block += f.block_bytes) {
    for (unsigned g = 0; g < f.block / 32; ++g, out += 32) {
      unpack<F>(block, g, group);
      for (unsigned h = 0; h < 2; ++h) {
        const float d = group.d * static_cast<float>(group.scale[h]);
        const float m = group.dmin * static_cast<float>(group.min[h]);
        for (unsigned i = 16 * h; i < 16 * h + 16; ++i) {
          const float w = d * static_cast<float>(group.q[i]);
          out[i] = has_min(F) ? w + m : w;
        }
      }
    }
  }
}

/// Two bytes each; the data may lie anywhere.
template <class ToFloat>
void widen(const std::byte* data, std::size_t n, float* out, ToFloat to_float) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t half;
    std::memcpy(&half, data + 2 * i, sizeof half);
    out[i] = to_float(half);
  }
}

}  // namespace

const FormatInfo& info(Format format) noexcept { return format_infos[static_cast<std::size_t>(format) % format_count]; }

const GgufType* gguf_type(std::uint32_t type) noexcept {
  static constexpr GgufType own = {"INT4_128", 128, 66};
  if (type == int4_128_type) return &own;
  return type < std::size(gguf_types) ? &gguf_types[type] : nullptr;
}

Result<Format> from_gguf_type(std::uint32_t type) noexcept {
  for (const FormatInfo& f : format_infos) {
    if (f.gguf_type == type) return f.format;
  }
  if (const GgufType* known = gguf_type(type)) {
    return core::fail(Errc::unsupported, "tensor type {} is not supported; convert the model to another", known->name);
  }
  return core::fail(Errc::bad_format, "there is no tensor type number {}", type);
}

void dequantize(Format format, const std::byte* data, std::size_t n, float* out) noexcept {
  if (n == 0) return;
  const core::FloatEnvironment environment;
  switch (format) {
    case Format::f32: std::memcpy(out, data, n * sizeof(float)); return;
    case Format::f16: return widen(data, n, out, core::fp16_to_float);
    case Format::bf16: return widen(data, n, out, core::bf16_to_float);
    default: break;
  }
  // A call through a pointer, so that no multiplication moves out of the environment.
  void (*blocks)(const std::uint8_t*, std::size_t, float*) noexcept = nullptr;
  with_quantized(format, [&]<Format F>() { blocks = dequantize_blocks<F>; });
  blocks(reinterpret_cast<const std::uint8_t*>(data), n, out);
}

}  // namespace kinglet::quant

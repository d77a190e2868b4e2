#include <kinglet/quant/quantizer.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <kinglet/core/float_env.hpp>
#include <kinglet/core/number.hpp>

#include "core/fail.hpp"

namespace kinglet::quant {
namespace {

using core::fail;

/// The value of largest magnitude, the first of equals.
float extreme(const float* w, std::size_t n) noexcept {
  float best = 0;
  for (std::size_t i = 0; i < n; ++i)
    if (std::fabs(w[i]) > std::fabs(best)) best = w[i];
  return best;
}

int nearest(float value, int low, int high) noexcept {
  if (!(value > static_cast<float>(low))) return low;  // and NaN
  return value >= static_cast<float>(high) ? high : static_cast<int>(std::nearbyint(value));
}

struct Fit {
  float d = 0;
  double error = 0;  ///< sum of squares
};

/// One round of least squares from a scale: q by rounding, then the best d for that q.
float refined(const float* w, std::size_t n, float d, int low, int high) noexcept {
  if (d == 0) return 0;
  const float inverse = 1 / d;
  double wq = 0;
  double qq = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const int q = nearest(w[i] * inverse, low, high);
    wq += static_cast<double>(w[i]) * q;
    qq += static_cast<double>(q) * q;
  }
  return qq > 0 ? static_cast<float>(wq / qq) : 0.0f;
}

double error_of(const float* w, std::size_t n, float d, int low, int high) noexcept {
  const float inverse = d != 0 ? 1 / d : 0;
  double error = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double off = static_cast<double>(w[i]) - static_cast<double>(d) * nearest(w[i] * inverse, low, high);
    error += off * off;
  }
  return error;
}

/// The best scale for n weights with integers in [low, high], low = -high - 1.
/// @param stored  what becomes of a scale in the file
template <class Stored>
float least_squares(const float* w, std::size_t n, int low, int high, Stored stored) noexcept {
  const float top = extreme(w, n);
  Fit best{stored(top / static_cast<float>(low)), 0};
  best.error = error_of(w, n, best.d, low, high);
  // Clipping the largest weight a little serves the others; either end of the range may take it.
  for (int step = -8; step <= 4; ++step)
    for (const int end : {low, high}) {
      float d = top / (static_cast<float>(end) * (1.0f + 0.05f * static_cast<float>(-step)));
      for (int round = 0; round < 3; ++round) {
        d = refined(w, n, d, low, high);
        const float kept = stored(d);
        const double error = error_of(w, n, kept, low, high);
        if (error < best.error) best = {kept, error};
      }
    }
  return best.d;
}

float half(float x) noexcept { return core::fp16_to_float(core::float_to_fp16(x)); }

void put_half(std::byte* out, float x) noexcept {
  const std::uint16_t bits = core::float_to_fp16(x);
  std::memcpy(out, &bits, sizeof bits);
}

void q4_0_block(Method method, const float* w, std::byte* out) noexcept {
  int q[32];
  float d = extreme(w, 32) / -8;
  if (method == Method::rtn) {
    const float inverse = d != 0 ? 1 / d : 0;
    for (int i = 0; i < 32; ++i)
      q[i] = std::clamp(static_cast<int>(static_cast<double>(w[i]) * static_cast<double>(inverse) + 8.5), 0, 15);
  } else {
    d = least_squares(w, 32, -8, 7, half);
    const float inverse = d != 0 ? 1 / d : 0;
    for (int i = 0; i < 32; ++i) q[i] = nearest(w[i] * inverse, -8, 7) + 8;
  }
  put_half(out, d);
  for (int i = 0; i < 16; ++i) out[2 + i] = static_cast<std::byte>(q[i] | (q[i + 16] << 4));
}

void q8_0_block(const float* w, std::byte* out) noexcept {
  const float d = std::fabs(extreme(w, 32)) / 127;
  const float inverse = d != 0 ? 1 / d : 0;
  put_half(out, d);
  for (int i = 0; i < 32; ++i)  // half away from zero, as `gguf` does
    out[2 + i] =
        static_cast<std::byte>(static_cast<std::int8_t>(std::clamp(std::round(w[i] * inverse), -127.0f, 127.0f)));
}

void q6_k_block(Method method, const float* w, std::byte* out) noexcept {
  float scale[16];
  float top = 0;
  for (int s = 0; s < 16; ++s) {
    const float* part = w + 16 * s;
    scale[s] =
        method == Method::rtn ? extreme(part, 16) / -32 : least_squares(part, 16, -32, 31, [](float d) { return d; });
    if (std::fabs(scale[s]) > std::fabs(top)) top = scale[s];
  }
  const float d = half(top / -128);
  std::memset(out, 0, 192);
  for (int s = 0; s < 16; ++s) {
    const int integer = d != 0 ? nearest(scale[s] / d, -128, 127) : 0;
    out[192 + s] = static_cast<std::byte>(static_cast<std::int8_t>(integer));
    const float step = d * static_cast<float>(integer);
    const float inverse = step != 0 ? 1 / step : 0;
    for (int i = 16 * s; i < 16 * s + 16; ++i) {
      const int q = nearest(w[i] * inverse, -32, 31) + 32;
      const int part = i / 128;
      const int at = i % 128;
      out[64 * part + at % 64] |= static_cast<std::byte>((q & 15) << (at / 64 * 4));
      out[128 + 32 * part + at % 32] |= static_cast<std::byte>((q >> 4) << (at / 32 * 2));
    }
  }
  put_half(out + 208, d);
}

void quantize_block(Format format, Method method, const float* w, std::byte* out) noexcept {
  switch (format) {
    case Format::f32: std::memcpy(out, w, 4); break;
    case Format::f16: put_half(out, *w); break;
    case Format::bf16: {
      const std::uint16_t bits = core::float_to_bf16(*w);
      std::memcpy(out, &bits, sizeof bits);
      break;
    }
    case Format::q8_0: q8_0_block(w, out); break;
    case Format::q4_0: q4_0_block(method, w, out); break;
    default: q6_k_block(method, w, out); break;
  }
}

/// The largest magnitude whose block can be written.
float largest(Format format) noexcept {
  switch (format) {
    case Format::f32: return 3.4028234e38f;
    case Format::bf16: return 3.3895314e38f;
    case Format::f16: return 65504.0f;
    case Format::q8_0: return 65504.0f * 127;
    case Format::q4_0: return 65504.0f * 7;
    default: return 65504.0f * 128 * 31;
  }
}

}  // namespace

bool can_quantize(Format format) noexcept {
  return format == Format::f32 || format == Format::f16 || format == Format::bf16 || format == Format::q8_0 ||
         format == Format::q4_0 || format == Format::q6_k;
}

Status quantize(Format format, Method method, std::span<const float> values, std::byte* out) noexcept {
  const FormatInfo& f = info(format);
  if (!can_quantize(format))
    return fail(Errc::unsupported, "weights cannot be written as {}; F32, F16, BF16, Q8_0, Q4_0 and Q6_K can", f.name);
  if (values.size() % f.block != 0)
    return fail(Errc::invalid_argument, "{} values are no whole blocks of {}, which have {}", values.size(), f.name,
                f.block);
  const core::FloatEnvironment environment;
  const float limit = largest(format);
  for (const float v : values)
    if (!(std::fabs(v) <= limit)) return fail(Errc::not_finite, "a weight of {} does not fit {}", v, f.name);
  for (std::size_t i = 0; i < values.size(); i += f.block, out += f.block_bytes)
    quantize_block(format, method, values.data() + i, out);
  return {};
}

}  // namespace kinglet::quant

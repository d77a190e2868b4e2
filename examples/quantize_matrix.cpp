// examples/quantize_matrix.cpp: what is lost when a matrix of weights is stored in fewer bits?
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <kinglet/quant/format.hpp>
#include <kinglet/quant/quantizer.hpp>

using kinglet::quant::Format;
using kinglet::quant::Method;

namespace {

constexpr std::size_t rows = 64, cols = 512;

/// About normal, as trained weights are.
std::vector<float> some_weights() {
  std::vector<float> w(rows * cols);
  std::uint32_t state = 1;
  for (float& v : w) {
    v = -6.0f;
    for (int i = 0; i < 12; ++i) v += static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-24f;
    v *= 0.02f;
  }
  return w;
}

/// Root mean square of the difference over that of the weights.
double loss(const std::vector<float>& w, const std::vector<float>& back) {
  double off = 0.0, all = 0.0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    off += std::pow(static_cast<double>(w[i]) - static_cast<double>(back[i]), 2);
    all += std::pow(static_cast<double>(w[i]), 2);
  }
  return std::sqrt(off / all);
}

}  // namespace

int main() {
  const std::vector<float> w = some_weights();
  std::printf("%zu x %zu weights, %zu bytes in F32\n", rows, cols, w.size() * sizeof(float));
  std::printf("format  method  bytes   loss\n");
  for (const Format format : {Format::f16, Format::q8_0, Format::q6_k, Format::q4_0}) {
    for (const Method method : {Method::rtn, Method::lsq}) {
      std::vector<std::byte> packed(kinglet::quant::format_bytes(format, w.size()));
      const kinglet::Status status = kinglet::quant::quantize(format, method, w, packed.data());
      if (!status) {
        std::fprintf(stderr, "quantize_matrix: %s\n", status.error().message);
        return 1;
      }
      std::vector<float> back(w.size());
      kinglet::quant::dequantize(format, packed.data(), back.size(), back.data());
      std::printf("%-7s %-7s %6zu  %.4f\n", kinglet::quant::info(format).name, method == Method::rtn ? "rtn" : "lsq",
                  packed.size(), loss(w, back));
    }
  }

  // The same INT4 with one scale for 128 weights, the form for GPUs: 4.125 bits a weight instead of 4.5.
  std::vector<float> back(w.size());
  for (std::size_t at = 0; at < w.size(); at += 128) {
    std::int8_t q[128];
    const auto d = kinglet::quant::quantize_int4(Method::lsq, std::span(w).subspan(at, 128), {}, q);
    if (!d) return 1;
    for (std::size_t i = 0; i < 128; ++i) back[at + i] = *d * static_cast<float>(q[i]);
  }
  std::printf("INT4, groups of 128, lsq: loss %.4f\n", loss(w, back));
  return 0;
}

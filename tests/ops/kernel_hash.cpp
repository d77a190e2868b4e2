// tests/ops/kernel_hash.cpp: do the kernels of a foreign machine give the bits of this one?
//
//   kernel_hash [NAME [STRIPS]]  prints one SHA-256 per group of kernels, of the set NAME (default: the last one, the
//                                fastest), with the products over strips of the set STRIPS
//
// A program of its own, without a test framework, so that it can be cross-compiled and run under an emulator
// (tests/golden/neon.sh); products over strips and a whole model through the backend of that name are in it too.
#include <cmath>
#include <cstdio>

#include "ops/cpu_features.hpp"
#include "ops/kernels/packed.hpp"
#include "tests/ops/hand_model.hpp"
#include "tests/sha256.hpp"

using namespace kinglet;
using namespace kinglet::test;

namespace {

template <class T>
void add(Sha256& hash, const std::vector<T>& v) {
  hash.add(std::as_bytes(std::span<const T>(v)));
}

void print(const char* what, Sha256& hash) { std::printf("%-12s %s\n", what, hash.hex().c_str()); }

const ops::StripKernels& strips_of(const std::string& name) {
#if defined(__x86_64__)
  if (name == "avx2") return ops::avx2::strip_kernels();
  if (name == "avx512") return ops::avx512::strip_kernels();
#elif defined(__aarch64__)
  if (name == "neon") return ops::neon::strip_kernels();
  if (name == "neon_dot" && ops::cpu_features().dot) return ops::neon_dot::strip_kernels();
  if (name == "neon_i8mm" && ops::cpu_features().i8mm) return ops::neon_i8mm::strip_kernels();
#endif
  return name == "scalar" ? ops::scalar::strip_kernels() : strips_of("scalar");
}

void strip_products(const ops::StripKernels& strips, Sha256& hash) {
  using namespace ops;
  Random random{31};
  for (std::size_t f = 0; f < quant::format_count; ++f) {
    const auto format = static_cast<quant::Format>(f);
    if (strip_layout(format).codes == 0) continue;
    const std::uint32_t cols = 768;
    const auto data = random_blocks(format, strip_rows * cols, random);
    std::vector<std::byte> strip(strip_bytes(format, cols));
    pack_strip(format, data.data(), quant::format_bytes(format, cols), strip_rows, cols, strip.data());
    add(hash, strip);
    for (std::uint32_t rows = 1; rows <= panel_rows; ++rows) {
      std::vector<std::vector<float>> x;
      std::vector<float*> at;
      for (std::uint32_t r = 0; r < rows; ++r) x.push_back(normals(random, cols, 2.0f));
      for (auto& row : x) at.push_back(row.data());
      std::vector<float> memory(panel_bytes(cols) / sizeof(float) + 16), out(rows * strip_rows);
      auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 * 64);
      const Panel panel = make_panel(rows, cols, aligned);
      strips.quantize(at.data(), 32, 0, cols / 32, panel);
      float wide[panel_rows][out_stride];
      const StripRun run{strip.data(), wide};
      strips.product[f](&run, 1, cols, &panel, 1);
      for (std::uint32_t r = 0; r < rows; ++r) std::copy_n(wide[r], strip_rows, out.data() + r * strip_rows);
      add(hash, out);
    }
  }
}

bool whole_model(const char* name, Sha256& hash) {
  const auto info = ops::find_backend(name);
  if (!info) return false;
  for (const ops::Activations activations : {ops::Activations::fp32, ops::Activations::int8, ops::Activations::fp8}) {
    for (const bool quantized : {false, true}) {
      ops::ContextShape shape = quantized ? quantized_shape() : odd_shape();
      shape.activations = activations;
      shape.window = quantized ? 0 : 31;
      shape.globals = 3;
      shape.threads = 2;
      const HandModel model(shape, quantized ? groups : floats, 8);
      add(hash, Placed(**info, model, model.shape).all(make_session(5, 60, 0, model.shape), 17));
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const auto sets = kernel_sets();
  KernelSet set = sets.back();
  for (const KernelSet& s : sets) {
    if (argc > 1 && std::string(argv[1]) == s.name) set = s;
  }
  if (argc > 1 && std::string(argv[1]) != set.name) {
    std::fprintf(stderr, "this machine has no kernels called %s\n", argv[1]);
    return 1;
  }
  std::fprintf(stderr, "%s\n", set.name);
  Sha256 small, attention, strips, model;
  for (const SmallCase& c : run_small(*set.kernels)) add(small, c.bytes);
  print("rows", small);
  for (std::size_t f = 0; f < quant::format_count; ++f) {
    Sha256 products;
    for (const ProductCase& c : run_products(*set.kernels, static_cast<quant::Format>(f))) add(products, c.acc);
    print(quant::info(static_cast<quant::Format>(f)).name, products);
  }
  for (const AttentionCase& c : attention_cases()) {
    const AttentionData data = make_attention(c);
    add(attention, run_attention(*set.kernels, c, data));
  }
  print("attention", attention);
  const std::string strip_set = argc > 2 ? argv[2] : set.name;
  if (strip_set != "scalar" && &strips_of(strip_set) == &ops::scalar::strip_kernels()) {
    std::fprintf(stderr, "this machine has no products over strips called %s\n", strip_set.c_str());
    return 1;
  }
  strip_products(strips_of(strip_set), strips);
  print("strips", strips);
  if (!whole_model(set.name, model)) return 1;
  print("model", model);
  return 0;
}

// examples/fp8_product.cpp: what is lost when activations are stored in 8 bits before they meet INT4 weights?
//
// Products by the CPU's kernel table alone, without a model or an engine: one operation looks a row of activations up,
// the other norms it and multiplies. FP8 is E4M3 with a scale for 128 channels and Kahan-compensated sums between them;
// INT8 has a scale for 32.
#include <array>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include <kinglet/ops/backend.hpp>
#include <kinglet/quant/quantizer.hpp>

namespace {

using namespace kinglet;

constexpr std::uint32_t channels = 512, outputs = 256;

/// @param x        [outputs][channels] rows of activations, of which the first `n` are used
/// @param weights  Q4_0, [outputs][channels]
/// @return [n][outputs]: weights times each row, the row divided by its root mean square
Result<std::vector<float>> products(ops::Activations activations, std::uint32_t n, const std::vector<float>& x,
                                    const std::vector<std::byte>& weights) {
  const auto info = ops::find_backend("");
  if (!info) return info.error();
  const std::array<std::uint64_t, 1> turns{};
  const ops::ContextShape shape{.dim = channels,
                                .layers = 1,
                                .heads = 1,
                                .kv_heads = 1,
                                .head_dim = 2,
                                .ffn = 32,
                                .vocab = outputs,
                                .rotary_steps = turns,
                                .activations = activations,
                                .max_rows = n,
                                .max_logits = n,
                                .max_sequences = 1,
                                .pages = 1};
  core::Memory memory;
  const auto created = (*info)->create(shape, {}, memory);
  if (!created) return created.error();
  ops::Backend& backend = **created;

  const std::vector<float> ones(channels, 1.0f);
  ops::Op look_up, multiply;
  look_up.weight[0] = {quant::Format::f32, outputs, channels, channels * sizeof(float),
                       reinterpret_cast<const std::byte*>(x.data())};
  multiply.kind = ops::OpKind::output;
  multiply.weight[0] = {quant::Format::q4_0, outputs, channels, quant::format_bytes(quant::Format::q4_0, channels),
                        weights.data()};
  std::vector<ops::Row> rows(n);
  std::vector<std::uint32_t> all(n);
  for (std::uint32_t i = 0; i < n; ++i) rows[i] = {static_cast<std::int32_t>(i), i, 0}, all[i] = i;
  const std::uint32_t page = 0;
  const ops::Sequence sequence{0, n, 0, &page};

  std::vector<float> out;
  Status status = backend.place({look_up.weight, 1}, ops::WeightUse::lookup);
  if (status) status = backend.place({multiply.weight, 1}, ops::WeightUse::product);
  if (const auto norm = backend.place(ones.data(), channels); norm) multiply.norm = *norm;
  if (status) status = backend.begin({rows, {&sequence, 1}, all, {}});
  for (const ops::Op* op : {&look_up, &multiply}) {
    for (std::uint32_t phase = 0; status && phase < backend.phases(*op); ++phase)
      status = backend.run(*op, phase, 0, backend.work(*op, phase).tiles);
  }
  for (std::uint32_t i = 0; status && i < n; ++i) {
    const auto row = backend.logits(i);
    out.insert(out.end(), row->begin(), row->end());
  }
  (*info)->destroy(&backend, memory);
  if (!status) return status.error();
  return out;
}

int fail(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message);
  return 1;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> w(outputs * channels), x(outputs * channels);
  for (float& v : w) v = 0.02f * normal(random);
  // Three rows: even channels; a few that are 30 times larger, as language models have; most near zero.
  const char* const kinds[] = {"even", "outliers", "peaked"};
  constexpr std::uint32_t n = 3;
  for (std::uint32_t k = 0; k < channels; ++k) {
    const float v = normal(random);
    x[k] = v;
    x[channels + k] = k % 171 == 5 ? 30.0f * v : v;
    x[2 * channels + k] = v * v * v;
  }
  std::vector<std::byte> packed(quant::format_bytes(quant::Format::q4_0, w.size()));
  const Status status = quant::quantize(quant::Format::q4_0, quant::Method::rtn, w, packed.data());
  if (!status) return fail(status.error());
  quant::dequantize(quant::Format::q4_0, packed.data(), w.size(), w.data());

  std::printf("%u x %u INT4 weights, error of the product in %% of its size, against FP64\n\n", outputs, channels);
  std::printf("activations      FP32     INT8      FP8\n");
  std::vector<std::vector<float>> results;
  for (const auto activations : {ops::Activations::fp32, ops::Activations::int8, ops::Activations::fp8}) {
    auto result = products(activations, n, x, packed);
    if (!result) return fail(result.error());
    results.push_back(std::move(*result));
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    std::printf("%-11s", kinds[i]);
    double mean_square = 0.0;
    for (std::uint32_t k = 0; k < channels; ++k) mean_square += std::pow(static_cast<double>(x[i * channels + k]), 2);
    mean_square /= channels;
    for (const std::vector<float>& result : results) {
      double difference = 0.0, size = 0.0;
      for (std::uint32_t r = 0; r < outputs; ++r) {
        double right = 0.0;
        for (std::uint32_t k = 0; k < channels; ++k)
          right += static_cast<double>(w[r * channels + k]) * static_cast<double>(x[i * channels + k]);
        right /= std::sqrt(mean_square);
        difference += std::pow(static_cast<double>(result[i * outputs + r]) - right, 2);
        size += right * right;
      }
      std::printf("  %7.4f", 100.0 * std::sqrt(difference / size));
    }
    std::printf("\n");
  }
  return 0;
}

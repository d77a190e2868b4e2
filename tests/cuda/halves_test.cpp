// --bits device: FP16 on tensor cores, within a limit for each operation, and the same from run to run.
#include <cmath>
#include <vector>

#include <kinglet/core/number.hpp>

#include "quant/group.hpp"
#include "tests/catch.hpp"
#include "tests/cuda/emulated.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

constexpr quant::Format every[] = {
    quant::Format::f32,    quant::Format::f16,  quant::Format::bf16,  quant::Format::q8_0,
    quant::Format::q4_0,   quant::Format::q4_1, quant::Format::q5_0,  quant::Format::q5_1,
    quant::Format::iq4_nl, quant::Format::q2_k, quant::Format::q3_k,  quant::Format::q4_k,
    quant::Format::q5_k,   quant::Format::q6_k, quant::Format::mxfp4, quant::Format::int4_128};

/// y[n][outputs] by the kernels, row by row.
struct Product {
  std::uint32_t n, outputs, cols;
  quant::Format format;
  std::vector<float> x;          // [n][cols]
  std::vector<std::byte> bytes;  // [outputs]
  std::size_t row_bytes;

  Product(quant::Format f, std::uint32_t rows, std::uint32_t out, std::uint32_t columns, std::uint64_t seed)
      : n(rows), outputs(out), cols(columns), format(f), row_bytes(quant::format_bytes(f, columns)) {
    Random random{seed};
    x = normals(random, std::size_t{n} * cols, 1.0f);
    bytes = random_blocks(format, std::size_t{outputs} * cols, random);
  }

  std::vector<float> run(emulator::Order order) const {
    emulator::Machine machine;
    machine.device.order = order;
    const auto fresh = [&](std::size_t size) { return machine.device.allocate(size); };
    auto* const in = static_cast<float*>(fresh(x.size() * 4));
    auto* const weight = static_cast<std::uint8_t*>(fresh(bytes.size()));
    const std::size_t words = std::size_t{n} * cuda::half_words(cols);
    auto* const halves = static_cast<std::uint64_t*>(fresh(words * 8));
    auto* const scales = static_cast<float*>(fresh(n * std::size_t{4}));
    auto* const out = static_cast<float*>(fresh(std::size_t{n} * outputs * 4));
    machine.device.write(in, x.data(), x.size() * 4);
    machine.device.write(weight, bytes.data(), bytes.size());
    cuda::PrepareArgs prepare{};
    prepare.x = {in, x.size()};
    prepare.halves = {halves, words};
    prepare.d = {scales, n};
    prepare.cols = cols;
    machine.device.launch<cuda::PrepareRow<cuda::Form::halves>>(
        "prepare_halves", cuda::launch_rows(n, cuda::PrepareRow<cuda::Form::halves>::shared_bytes), prepare);
    cuda::ProductArgs a{};
    a.weight = {weight, bytes.size()};
    a.halves = {halves, words};
    a.d = {scales, n};
    a.out = {out, std::size_t{n} * outputs};
    a.row_bytes = row_bytes;
    a.out_stride = a.outputs = outputs;
    a.cols = cols;
    a.n = n;
    const cuda::Launch shape = cuda::launch_product_many(outputs, n);
    CHECK(emulator::run_many({machine.device, {cuda::KernelKind::product_halves, format}, shape, &a}));
    std::vector<float> y(std::size_t{n} * outputs);
    machine.device.read(y.data(), out, y.size() * 4);
    CHECK(machine.device.reports.text() == "");
    return y;
  }

  std::vector<float> weights(std::uint32_t output) const {
    std::vector<float> w(cols);
    quant::dequantize(format, bytes.data() + output * row_bytes, cols, w.data());
    return w;
  }
};

/// |y - sum w x| <= (2^-10 + 2^-22 + cols * 2^-22) * sum |w x|: each factor is rounded to FP16 once (2^-11 of a normal
/// number), each addition to at least FP32's precision, for which a tensor core may cut off instead of rounding.
/// The two last terms are for what is subnormal in FP16: weights below 2^-14, and x below 2^-28 of the row's largest.
double limit(std::uint32_t cols, double sizes, double x_sum, double w_sum, double x_most) {
  return (std::ldexp(1.0, -10) + (cols + 1) * std::ldexp(1.0, -22)) * sizes + std::ldexp(x_sum, -25) +
         std::ldexp(w_sum * x_most, -38);
}

void check(const Product& p, const std::vector<float>& y) {
  for (std::uint32_t o = 0; o < p.outputs; ++o) {
    const std::vector<float> w = p.weights(o);
    for (std::uint32_t r = 0; r < p.n; ++r) {
      double sum = 0.0, sizes = 0.0, x_sum = 0.0, w_sum = 0.0, x_most = 0.0;
      for (std::uint32_t k = 0; k < p.cols; ++k) {
        const double x = p.x[std::size_t{r} * p.cols + k], term = x * w[k];
        sum += term;
        sizes += std::fabs(term);
        x_sum += std::fabs(x);
        w_sum += std::fabs(w[k]);
        x_most = std::max(x_most, std::fabs(x));
      }
      const double error = std::fabs(y[std::size_t{r} * p.outputs + o] - sum);
      if (error <= limit(p.cols, sizes, x_sum, w_sum, x_most)) continue;
      INFO(quant::info(p.format).name << " " << p.n << " x " << p.outputs << " x " << p.cols << ", row " << r);
      CHECK(error <= limit(p.cols, sizes, x_sum, w_sum, x_most));
      return;
    }
  }
}

ContextShape device_shape() {
  ContextShape shape = quantized_shape();
  shape.max_rows = shape.max_logits = 33;
  shape.pages = 20;
  shape.bits = Bits::device;
  return shape;
}

}  // namespace

TEST_CASE("a product of FP16 is within its limit of the exact sum, in every format and at odd sizes") {
  std::uint64_t seed = 1;
  for (const quant::Format format : every) {
    const std::uint32_t block = std::max(32u, quant::info(format).block);
    const bool floats_ = quant::is_float(format);
    const std::vector<std::uint32_t> columns =
        floats_ ? std::vector<std::uint32_t>{1, 7, 31, 33, 100} : std::vector<std::uint32_t>{block, 3 * block};
    for (const std::uint32_t cols : columns) {
      for (const auto& [n, outputs] : {std::pair{9u, 1u}, {17u, 7u}, {33u, 31u}, {65u, 9u}}) {
        if (cols > 300 && n > 20) continue;
        const Product product(format, n, outputs, cols, ++seed);
        check(product, product.run(emulator::Order::ascending));
      }
    }
  }
}

TEST_CASE("a product of FP16 is the same in whatever order threads run, and beside whatever rows") {
  for (const quant::Format format : {quant::Format::q4_0, quant::Format::q6_k, quant::Format::bf16}) {
    Product product(format, 20, 33, 256, 77);
    const auto y = product.run(emulator::Order::ascending);
    CHECK(same_bits(y, product.run(emulator::Order::descending)));
    CHECK(same_bits(y, product.run(emulator::Order::shuffled)));
    Product fewer = product;
    fewer.n = 9;
    fewer.x.resize(std::size_t{9} * product.cols);
    const auto first = fewer.run(emulator::Order::shuffled);
    CHECK(std::equal(first.begin(), first.end(), y.begin()));
  }
}

TEST_CASE("a row's scale is a power of two: sizes that FP16 has not, zeros and what is not finite") {
  Product product(quant::Format::q8_0, 12, 5, 64, 5);
  const auto row = [&](std::uint32_t r) { return product.x.data() + std::size_t{r} * product.cols; };
  for (std::uint32_t k = 0; k < product.cols; ++k) {
    row(1)[k] *= 1e30f;
    row(2)[k] *= 1e-25f;
    row(3)[k] = 0.0f;
    row(4)[k] *= 1e-35f;                // below 2^-100: counts as nothing, as in the other forms
    row(5)[k] *= k == 9 ? 1e6f : 1.0f;  // one channel far above the others
  }
  row(6)[3] = std::numeric_limits<float>::infinity();
  row(7)[3] = std::numeric_limits<float>::quiet_NaN();
  const auto y = product.run(emulator::Order::ascending);
  const auto finite = [&](std::uint32_t r) {
    bool all = true, none = true;
    for (std::uint32_t o = 0; o < product.outputs; ++o) {
      const bool f = std::isfinite(y[std::size_t{r} * product.outputs + o]);
      all &= f;
      none &= !f;
    }
    CHECK(all != none);
    return all;
  };
  for (std::uint32_t r = 0; r < product.n; ++r) CHECK(finite(r) == (r != 6 && r != 7));
  for (const std::uint32_t r : {3u, 4u}) {
    for (std::uint32_t o = 0; o < product.outputs; ++o) CHECK(y[std::size_t{r} * product.outputs + o] == 0.0f);
    for (std::uint32_t k = 0; k < product.cols; ++k) row(r)[k] = 0.0f;
  }
  for (const std::uint32_t r : {6u, 7u}) std::fill(row(r), row(r) + product.cols, 1.0f);
  check(product, product.run(emulator::Order::ascending));
}

TEST_CASE("with device bits a chunk of more than 8 rows is near scalar, a smaller one equal to it") {
  for (const auto& formats : {groups, floats}) {
    ContextShape shape = device_shape();
    const HandModel model(shape, formats, 32);
    const HandSession session = make_session(3, 33, 5, shape);
    for (const auto activations : {Activations::int8, Activations::fp8, Activations::fp32}) {
      shape.activations = activations;
      shape.rotary_steps = model.steps;
      shape.norm_eps = model.shape.norm_eps;
      ContextShape exact = shape;
      exact.bits = Bits::exact;
      emulator::Machine machine;
      Placed cpu(scalar_backend(), model, exact);
      Placed gpu(emulated_cuda, model, shape);
      REQUIRE(std::string(gpu.error.message) == "");
      CHECK(gpu.memory().used() == gpu.expected_bytes);
      HandSession start = session;
      start.tokens.resize(8);
      CHECK(same_bits(cpu.all(start, 8), gpu.all(start, 5)));
      CHECK(machine.launches["product_halves"] == 0);
      const auto got = gpu.all(session, 33);
      CHECK(machine.launches["product_halves"] == 1 + 7 * shape.layers);
      CHECK(machine.launches["prepare_halves"] == 1 + 4 * shape.layers);
      CHECK(same_bits(got, gpu.all(session, 33)));
      exact.activations = Activations::fp32;
      Placed reference(scalar_backend(), model, exact);
      const auto expected = reference.all(session, 33);
      REQUIRE(got.size() == expected.size());
      double error = 0.0, size = 0.0;
      for (std::size_t i = 0; i < got.size(); ++i) {
        error += std::pow(static_cast<double>(got[i]) - expected[i], 2);
        size += std::pow(static_cast<double>(expected[i]), 2);
      }
      INFO("relative error of all logits: " << std::sqrt(error / size));
      CHECK(std::sqrt(error / size) < 0.01);
      CHECK(machine.device.reports.text() == "");
    }
  }
}

TEST_CASE("the gate stands before FP16 too") {
  ContextShape shape = device_shape();
  shape.gate = 0.4f;
  const HandModel model(shape, groups, 32);
  const HandSession session = make_session(3, 12, 5, shape);
  emulator::Machine machine;
  Placed gpu(emulated_cuda, model, model.shape);
  const auto got = gpu.all(session, 12);
  CHECK(std::string(gpu.error.message) == "");
  CHECK(machine.launches["gate"] == 1 + 4 * shape.layers);
  CHECK(same_bits(got, gpu.all(session, 12)));
  CHECK(machine.device.reports.text() == "");
}

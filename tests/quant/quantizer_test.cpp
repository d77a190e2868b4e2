#include <kinglet/quant/quantizer.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/catch.hpp"

using namespace kinglet;
using namespace kinglet::quant;

namespace {

/// About normal, the same on every machine.
std::vector<float> weights(std::size_t n, float deviation) {
  std::vector<float> w(n);
  std::uint64_t x = 88172645463325252u;
  for (float& v : w) {
    int sum = 0;
    for (int i = 0; i < 4; ++i) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      sum += static_cast<int>(x >> 48) - 32768;
    }
    v = deviation * static_cast<float>(sum) / 37837.0f;
  }
  return w;
}

std::vector<float> round_trip(Format format, Method method, const std::vector<float>& w) {
  std::vector<std::byte> bytes(format_bytes(format, w.size()));
  REQUIRE(quantize(format, method, w, bytes.data()));
  std::vector<float> back(w.size());
  dequantize(format, bytes.data(), w.size(), back.data());
  return back;
}

/// Root mean square of the difference over that of the weights, in FP64.
double loss(const std::vector<float>& w, const std::vector<float>& back) {
  double off = 0;
  double all = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    off += std::pow(static_cast<double>(w[i]) - static_cast<double>(back[i]), 2);
    all += std::pow(static_cast<double>(w[i]), 2);
  }
  return std::sqrt(off / all);
}

}  // namespace

TEST_CASE("quantizer: INT4 by least squares is nearer than by rounding") {
  const std::vector<float> w = weights(32 * 1000, 0.02f);
  const double rtn = loss(w, round_trip(Format::q4_0, Method::rtn, w));
  const double lsq = loss(w, round_trip(Format::q4_0, Method::lsq, w));
  CHECK(rtn < 0.1);
  CHECK(lsq < 0.97 * rtn);
  for (std::size_t group = 0; group < w.size(); group += 32) {  // and in no group farther
    const std::vector<float> part(w.begin() + static_cast<std::ptrdiff_t>(group),
                                  w.begin() + static_cast<std::ptrdiff_t>(group) + 32);
    REQUIRE(loss(part, round_trip(Format::q4_0, Method::lsq, part)) <=
            loss(part, round_trip(Format::q4_0, Method::rtn, part)) * 1.0001);
  }
}

TEST_CASE("quantizer: errors of every format") {
  const std::vector<float> w = weights(256 * 40, 3.0f);
  CHECK(loss(w, round_trip(Format::f32, Method::rtn, w)) == 0);
  CHECK(loss(w, round_trip(Format::f16, Method::rtn, w)) < 3e-4);
  CHECK(loss(w, round_trip(Format::bf16, Method::rtn, w)) < 2.4e-3);
  CHECK(loss(w, round_trip(Format::q8_0, Method::rtn, w)) < 7e-3);
  CHECK(loss(w, round_trip(Format::q6_k, Method::rtn, w)) < 0.025);
  CHECK(loss(w, round_trip(Format::q6_k, Method::lsq, w)) < loss(w, round_trip(Format::q6_k, Method::rtn, w)));
}

TEST_CASE("quantizer: Q4_0 and Q8_0 blocks byte for byte") {
  std::vector<float> w(32);
  for (int i = 0; i < 32; ++i)
    w[static_cast<std::size_t>(i)] = static_cast<float>(i - 16);  // -16 is the largest: d = 2
  std::byte block[34];
  REQUIRE(quantize(Format::q4_0, Method::rtn, w, block));
  CHECK(block[0] == std::byte{0x00});
  CHECK(block[1] == std::byte{0x40});
  CHECK(block[2] == std::byte{0x80});   // -16 -> 0, 0 -> 8
  CHECK(block[17] == std::byte{0xf8});  // -1 -> 8 (half up), 15 -> 15
  REQUIRE(quantize(Format::q8_0, Method::lsq, w, block));
  CHECK(block[2] == std::byte{0x81});  // -127
  CHECK(block[33] == std::byte{119});  // 15 * 127 / 16 = 119.06
}

TEST_CASE("quantizer: zeros, tiny and extreme weights") {
  for (const Format format : {Format::q4_0, Format::q8_0, Format::q6_k})
    for (const Method method : {Method::rtn, Method::lsq}) {
      CAPTURE(info(format).name);
      const std::vector<float> zeros(256, 0.0f);
      CHECK(round_trip(format, method, zeros) == zeros);
      for (const float size : {1e-40f, 1e-12f, 1e-7f, 6e4f}) {
        const std::vector<float> back = round_trip(format, method, weights(256, size));
        for (const float v : back) REQUIRE(std::isfinite(v));
      }
      std::vector<float> one(256, 0.0f);
      one[7] = -1.0f;
      CHECK(round_trip(format, method, one)[7] == Approx(-1.0f).epsilon(1e-3));
      CHECK(round_trip(format, method, one)[8] == 0.0f);
    }
}

TEST_CASE("quantizer: bad input") {
  std::byte out[1024];
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> w(256, 1.0f);
  CHECK(quantize(Format::q4_k, Method::rtn, w, out).error().code == Errc::unsupported);
  CHECK(quantize(Format::q4_0, Method::rtn, std::span(w).first(31), out).error().code == Errc::invalid_argument);
  CHECK(quantize(Format::q6_k, Method::rtn, std::span(w).first(32), out).error().code == Errc::invalid_argument);
  for (const float bad : {nan, infinity, -infinity, 1e30f}) {
    w[100] = bad;
    for (const Format format : {Format::f16, Format::q8_0, Format::q4_0, Format::q6_k})
      CHECK(quantize(format, Method::lsq, w, out).error().code == Errc::not_finite);
  }
  CHECK(quantize(Format::f32, Method::rtn, {}, nullptr));
}

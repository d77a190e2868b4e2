#include <kinglet/quant/quantizer.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include <kinglet/core/number.hpp>

#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/quant/random.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

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

/// The weights of make_fixtures.py.
std::vector<float> fixture_weights(std::size_t blocks) {
  test::SplitMix64 next(77);
  std::vector<float> w;
  for (std::size_t b = 0; b < blocks; ++b) {
    const float scale = std::ldexp(1.0f, static_cast<int>((next() >> 8) % 24) - 20);
    for (int i = 0; i < 32; ++i) {
      const std::uint64_t word = next();
      const float unit = static_cast<float>(word >> 40) * 0x1p-24f - 0.5f;
      const float integer = static_cast<float>((word >> 40) % 97) - 48.0f;
      const float sparse = (word & 6) == 0 && b % 64 != 2 ? unit : (word & 1) == 0 ? 0.0f : -0.0f;
      const float kinds[4] = {unit, integer, sparse, unit * unit * unit};
      w.push_back(kinds[b % 4] * scale);
    }
  }
  return w;
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

TEST_CASE("quantizer: F16, BF16, Q4_0 and Q8_0 equal the gguf package's, byte for byte") {
  std::ifstream file(test::fixture("quant/fixtures/quantize.txt"));
  std::string line;
  int lines = 0;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name, crc;
    std::size_t blocks = 0;
    words >> name >> blocks;
    const Format formats[] = {Format::f16, Format::bf16, Format::q4_0, Format::q8_0};
    const Format format = formats[lines++ % 4];
    REQUIRE(name == info(format).name);
    const std::vector<float> w = fixture_weights(blocks);
    std::vector<std::byte> bytes(format_bytes(format, w.size()));
    REQUIRE(quantize(format, Method::rtn, w, bytes.data()));
    for (std::size_t part = 0; part < 8; ++part) {
      REQUIRE(words >> crc);
      INFO(name << " " << part);
      CHECK(test::crc32(bytes.data() + part * bytes.size() / 8, bytes.size() / 8) == std::stoul(crc, nullptr, 16));
    }
  }
  CHECK(lines == 4);
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

TEST_CASE("quantizer: least squares is near the best scale there is") {
  // FP64 search over 20,000 scales a group, each judged as it would be stored.
  const std::vector<float> w = weights(32 * 40, 0.05f);
  double found = 0, best = 0;
  for (std::size_t at = 0; at < w.size(); at += 32) {
    const std::vector<float> group(w.begin() + static_cast<std::ptrdiff_t>(at),
                                   w.begin() + static_cast<std::ptrdiff_t>(at) + 32);
    float top = 0;
    for (const float v : group) top = std::max(top, std::fabs(v));
    const auto error = [&](double d) {
      double sum = 0;
      for (const float v : group) {
        const double q = std::clamp(std::nearbyint(static_cast<double>(v) / d), -8.0, 7.0);
        sum += std::pow(static_cast<double>(v) - d * q, 2);
      }
      return sum;
    };
    double least = error(1e30);
    for (int i = 1; i <= 10000; ++i) {
      const float size = core::fp16_to_float(core::float_to_fp16(top / 4.0f * static_cast<float>(i) / 10000.0f));
      if (size != 0.0f) least = std::min({least, error(static_cast<double>(size)), error(-static_cast<double>(size))});
    }
    const std::vector<float> back = round_trip(Format::q4_0, Method::lsq, group);
    found += std::pow(loss(group, back), 2);
    double all = 0;
    for (const float v : group) all += std::pow(static_cast<double>(v), 2);
    best += least / all;
  }
  CHECK(found >= best * 0.999999);
  CHECK(found < best * 1.02);
}

TEST_CASE("quantizer: a group of any size, 128 for instance") {
  const std::vector<float> w = weights(128 * 100, 0.02f);
  double off[2] = {}, all = 0;
  for (const Method method : {Method::rtn, Method::lsq}) {
    for (std::size_t at = 0; at < w.size(); at += 128) {
      std::int8_t q[128];
      const auto group = std::span(w).subspan(at, 128);
      const Result<float> d = quantize_int4(method, group, {}, q);
      REQUIRE(d);
      REQUIRE(*d == core::fp16_to_float(core::float_to_fp16(*d)));
      for (std::size_t i = 0; i < 128; ++i) {
        REQUIRE((q[i] >= -8 && q[i] <= 7));
        off[static_cast<int>(method)] += std::pow(static_cast<double>(group[i]) - static_cast<double>(*d) * q[i], 2);
        all += method == Method::rtn ? std::pow(static_cast<double>(group[i]), 2) : 0.0;
      }
    }
  }
  CHECK(std::sqrt(off[0] / all) < 0.13);
  CHECK(off[1] < 0.94 * off[0]);
  for (const std::size_t n : {1u, 7u, 31u, 33u}) {  // and the same integers as Q4_0's where the group is 32
    std::vector<std::int8_t> q(n);
    const Result<float> d = quantize_int4(Method::lsq, std::span(w).first(n), {}, q);
    REQUIRE(d);
    for (std::size_t i = 0; i < n; ++i) CHECK(std::fabs(*d * q[i] - w[i]) <= std::fabs(*d) * 1.5f);
  }
  std::int8_t q[4];
  CHECK(quantize_int4(Method::rtn, std::span(w).first(5), {}, q).error().code == Errc::invalid_argument);
  CHECK(quantize_int4(Method::rtn, {}, {}, {}).error().code == Errc::invalid_argument);
  const float bad[4] = {0, 1, std::numeric_limits<float>::quiet_NaN(), 0};
  CHECK(quantize_int4(Method::rtn, bad, {}, q).error().code == Errc::not_finite);
}

TEST_CASE("quantizer: what matters more is kept better") {
  const std::vector<float> w = weights(256 * 20, 0.02f);
  std::vector<float> importance(256, 1.0f);
  for (std::size_t i = 0; i < 256; i += 8) importance[i] = 100.0f;
  for (const Format format : {Format::q4_0, Format::q6_k}) {
    std::vector<std::byte> bytes(format_bytes(format, w.size()));
    REQUIRE(quantize(format, Method::lsq, w, importance, bytes.data()));
    std::vector<float> weighted(w.size());
    dequantize(format, bytes.data(), w.size(), weighted.data());
    const std::vector<float> plain = round_trip(format, Method::lsq, w);
    double with = 0, without = 0;
    for (std::size_t i = 0; i < w.size(); i += 8) {
      with += std::pow(static_cast<double>(w[i]) - static_cast<double>(weighted[i]), 2);
      without += std::pow(static_cast<double>(w[i]) - static_cast<double>(plain[i]), 2);
    }
    CHECK(with < 0.8 * without);
    REQUIRE(quantize(format, Method::lsq, w, std::vector<float>(256, 2.0f), bytes.data()));  // all the same: no change
    std::vector<float> same(w.size());
    dequantize(format, bytes.data(), w.size(), same.data());
    CHECK(same == plain);
    REQUIRE(quantize(format, Method::lsq, w, std::vector<float>(256, 0.0f), bytes.data()));
    const auto refused = [&](std::vector<float> h) {
      return quantize(format, Method::lsq, w, h, bytes.data()).error().code;
    };
    CHECK(refused(std::vector<float>(255, 1.0f)) == Errc::invalid_argument);
    CHECK(refused(std::vector<float>(w.size() * 2, 1.0f)) == Errc::invalid_argument);
    CHECK(refused(std::vector<float>(256, -1.0f)) == Errc::invalid_argument);
    CHECK(refused(std::vector<float>(256, std::numeric_limits<float>::infinity())) == Errc::invalid_argument);
  }
}

#if defined(__x86_64__)
TEST_CASE("quantizer: the host's floating-point settings change nothing") {
  const std::vector<float> w = fixture_weights(256);
  for (const Format format : {Format::q4_0, Format::q8_0, Format::q6_k, Format::f16}) {
    for (const Method method : {Method::rtn, Method::lsq}) {
      std::vector<std::byte> expected(format_bytes(format, w.size())), bytes(expected.size());
      REQUIRE(quantize(format, method, w, expected.data()));
      for (const unsigned setting : {0x9fc0u, 0x5f80u, 0xffc0u}) {
        const unsigned before = _mm_getcsr();
        _mm_setcsr(setting);
        const bool done = quantize(format, method, w, bytes.data()).ok();
        _mm_setcsr(before);
        CHECK(done);
        CHECK(bytes == expected);
      }
    }
  }
}
#endif

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

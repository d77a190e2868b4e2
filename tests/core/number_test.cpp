#include <kinglet/core/number.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/catch.hpp"
#include "tests/quant/random.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace kinglet::core;

namespace {

/// A small floating-point format by its definition, in double arithmetic.
struct Definition {
  int mantissa_bits;
  int least_exponent;  ///< of a normal number
  double largest;
};
constexpr Definition fp16{10, -14, 65504.0};
constexpr Definition bf16{7, -126, 0x1.fep127};
constexpr Definition e4m3{3, -6, 448.0};

/// The nearest multiple of the format's step at x, ties to even; may lie beyond the largest.
double nearest(double x, const Definition& f) {
  int exponent = 0;
  std::frexp(x, &exponent);  // |x| in [2^(exponent - 1), 2^exponent)
  const double step = std::ldexp(1.0, std::max(exponent - 1, f.least_exponent) - f.mantissa_bits);
  return std::nearbyint(x / step) * step;
}

/// FP32 numbers where rounding is decided: around every value of the format and every midpoint between two.
template <class Decode>
std::vector<float> awkward(std::uint32_t codes, Decode decode) {
  std::vector<float> values;
  for (std::uint32_t code = 0; code < codes; ++code) {
    const double a = decode(code);
    const double b = decode((code + 1) % codes);
    for (const double middle : {a, (a + b) / 2}) {
      if (!std::isfinite(middle)) continue;
      const float m = static_cast<float>(middle);
      for (const float x : {m, std::nextafterf(m, -HUGE_VALF), std::nextafterf(m, HUGE_VALF)}) values.push_back(x);
    }
  }
  for (const float x : {0.0f, -0.0f, 1e-45f, -1e-45f, 1e38f, -1e38f, 3.402823466e38f, -3.402823466e38f, 464.0f, 465.0f,
                        65519.996f, 65520.0f}) {
    values.push_back(x);
  }
  kinglet::test::SplitMix64 next(7);
  for (int i = 0; i < 300000; ++i) {
    const float x = bits_float(static_cast<std::uint32_t>(next()));
    if (std::isfinite(x)) values.push_back(x);
  }
  return values;
}

bool same_bits(double a, double b) { return a == b && std::signbit(a) == std::signbit(b); }

}  // namespace

TEST_CASE("one and its neighbours in each format") {
  CHECK(float_to_fp16(1.0f) == 0x3c00);
  CHECK(float_to_fp16(1.0f + 0x1p-11f) == 0x3c00);  // a tie goes to even
  CHECK(float_to_fp16(1.0f + 3 * 0x1p-11f) == 0x3c02);
  CHECK(float_to_bf16(1.0f) == 0x3f80);
  CHECK(float_to_e4m3(1.0f) == 0x38);
  CHECK(e4m3_to_float(0x7e) == 448.0f);
  CHECK(e4m3_to_int(0x01) == 1);
  CHECK(fp16_to_float(0x0001) == 0x1p-24f);
}

TEST_CASE("every FP16 value comes back, and is the one of the definition") {
  for (std::uint32_t code = 0; code < 0x10000u; ++code) {
    const auto half = static_cast<std::uint16_t>(code);
    const float x = fp16_to_float(half);
    const std::uint32_t exponent = (code >> 10) & 31u, mantissa = code & 0x3ffu;
    if (exponent == 31 && mantissa != 0) {
      REQUIRE(x != x);
      REQUIRE((float_to_fp16(x) & 0x7fffu) > 0x7c00u);
      continue;
    }
    const double size = exponent == 31  ? std::numeric_limits<double>::infinity()
                        : exponent == 0 ? std::ldexp(mantissa, -24)
                                        : std::ldexp(1024 + mantissa, static_cast<int>(exponent) - 25);
    REQUIRE(same_bits(x, (code & 0x8000u) != 0 ? -size : size));
    REQUIRE(float_to_fp16(x) == half);
  }
}

TEST_CASE("every BF16 value comes back") {
  for (std::uint32_t code = 0; code < 0x10000u; ++code) {
    const float x = bf16_to_float(static_cast<std::uint16_t>(code));
    REQUIRE(float_bits(x) == code << 16);
    if (x == x) {
      REQUIRE(float_to_bf16(x) == code);
    } else {
      const std::uint16_t back = float_to_bf16(x);
      REQUIRE(bf16_to_float(back) != bf16_to_float(back));
    }
  }
}

TEST_CASE("every E4M3 value comes back, and its integer is 2^9 times it") {
  for (std::uint32_t code = 0; code < 256; ++code) {
    const auto byte = static_cast<std::uint8_t>(code);
    const float x = e4m3_to_float(byte);
    if ((code & 0x7f) == 0x7f) {
      REQUIRE(x != x);
      REQUIRE((float_to_e4m3(x) & 0x7f) == 0x7f);
      continue;
    }
    const std::uint32_t exponent = (code >> 3) & 15u, mantissa = code & 7u;
    const double size =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, static_cast<int>(exponent) - 10);
    REQUIRE(same_bits(x, (code & 0x80) != 0 ? -size : size));
    REQUIRE(float_to_e4m3(x) == byte);
    REQUIRE(e4m3_to_int(byte) == static_cast<double>(x) * 512.0);
  }
}

TEST_CASE("conversion rounds to nearest even at every value and midpoint") {
  for (const float x :
       awkward(0x10000u, [](std::uint32_t c) { return fp16_to_float(static_cast<std::uint16_t>(c)); })) {
    double expected = nearest(x, fp16);
    if (std::fabs(expected) > fp16.largest) expected = std::copysign(HUGE_VAL, x);
    REQUIRE(same_bits(fp16_to_float(float_to_fp16(x)), expected == 0.0 ? std::copysign(0.0, x) : expected));
  }
  for (const float x :
       awkward(0x10000u, [](std::uint32_t c) { return bf16_to_float(static_cast<std::uint16_t>(c)); })) {
    double expected = nearest(x, bf16);
    if (std::fabs(expected) > bf16.largest) expected = std::copysign(HUGE_VAL, x);
    REQUIRE(same_bits(bf16_to_float(float_to_bf16(x)), expected == 0.0 ? std::copysign(0.0, x) : expected));
  }
  for (const float x : awkward(256, [](std::uint32_t c) { return e4m3_to_float(static_cast<std::uint8_t>(c)); })) {
    double expected = nearest(x, e4m3);
    if (std::fabs(expected) > e4m3.largest) expected = std::copysign(e4m3.largest, x);
    REQUIRE(same_bits(e4m3_to_float(float_to_e4m3(x)), expected == 0.0 ? std::copysign(0.0, x) : expected));
  }
}

TEST_CASE("infinity and NaN") {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(float_to_fp16(inf) == 0x7c00);
  CHECK(float_to_fp16(-inf) == 0xfc00);
  CHECK(float_to_bf16(inf) == 0x7f80);
  CHECK(float_to_e4m3(inf) == 0x7e);  // E4M3 has no infinity: it saturates
  CHECK(float_to_e4m3(-inf) == 0xfe);
  CHECK((float_to_fp16(nan) & 0x7fff) > 0x7c00);
  CHECK((float_to_bf16(bits_float(0x7f800001u)) & 0x7fff) > 0x7f80);  // a payload that rounding would lose
  CHECK((float_to_fp16(bits_float(0x7f800001u)) & 0x7fff) > 0x7c00);
  CHECK((float_to_e4m3(nan) & 0x7f) == 0x7f);
}

#if defined(__x86_64__)
TEST_CASE("the host's floating-point settings change nothing") {
  std::vector<std::uint32_t> inputs(200000);
  kinglet::test::SplitMix64 next(11);
  for (std::uint32_t& bits : inputs) bits = static_cast<std::uint32_t>(next());
  for (std::uint32_t i = 0; i < 65536; ++i) inputs[i] = i * 0x100u;  // subnormal and tiny numbers
  const auto all = [&] {
    std::vector<std::uint32_t> out;
    out.reserve(4 * inputs.size());
    for (const std::uint32_t bits : inputs) {
      const float x = bits_float(bits);
      out.push_back(float_to_fp16(x));
      out.push_back(float_to_bf16(x));
      out.push_back(float_to_e4m3(x));
      out.push_back(float_bits(fp16_to_float(static_cast<std::uint16_t>(bits))));
      out.push_back(float_bits(e4m3_to_float(static_cast<std::uint8_t>(bits))));
    }
    return out;
  };
  const auto expected = all();
  const unsigned before = _mm_getcsr();
  for (const unsigned setting : {0x9fc0u, 0x5f80u, 0x3f80u, 0xffc0u}) {
    _mm_setcsr(setting);
    const auto got = all();
    _mm_setcsr(before);
    CHECK(got == expected);
  }
}

__attribute__((target("f16c"))) static void check_against_f16c() {
  kinglet::test::SplitMix64 next(13);
  for (std::uint32_t i = 0; i < 1000000; ++i) {
    const float x = bits_float(i < 65536 ? i << 16 | 0x1000u : static_cast<std::uint32_t>(next()));
    REQUIRE(float_to_fp16(x) == (static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), 0))) & 0xffffu));
  }
  for (std::uint32_t i = 0; i < 65536; ++i) {
    REQUIRE(float_bits(fp16_to_float(static_cast<std::uint16_t>(i))) ==
            float_bits(_cvtsh_ss(static_cast<unsigned short>(i))));
  }
}

TEST_CASE("FP16 agrees with the processor's own conversion") {
  if (__builtin_cpu_supports("avx2")) check_against_f16c();  // a processor with AVX2 has F16C; Clang 14 cannot ask for that
}
#endif

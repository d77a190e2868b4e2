#include "random_weights.hpp"

#include <cmath>
#include <vector>

#include "sha256.hpp"
#include "tests/catch.hpp"

using namespace kinglet;
using namespace kinglet::cli;

TEST_CASE("random weights: every format has the deviation that was asked for") {
  using quant::Format;
  for (const Format format : {Format::f32, Format::f16, Format::bf16, Format::q8_0, Format::q4_0, Format::q6_k}) {
    CAPTURE(quant::info(format).name);
    REQUIRE(RandomWeights::knows(format));
    constexpr std::size_t n = 256 * 400;
    std::vector<std::byte> data(quant::format_bytes(format, n));
    RandomWeights(format, 0.02f, 5).fill(n, data.data());
    std::vector<float> values(n);
    quant::dequantize(format, data.data(), n, values.data());
    double sum = 0;
    double squares = 0;
    for (const float v : values) {
      REQUIRE(std::isfinite(v));
      REQUIRE(std::fabs(v) < 0.12f);
      sum += static_cast<double>(v);
      squares += static_cast<double>(v) * static_cast<double>(v);
    }
    CHECK(std::fabs(sum / n) < 0.0003);
    CHECK(std::sqrt(squares / n) == Approx(0.02).epsilon(0.05));
    std::vector<std::byte> again(data.size());
    RandomWeights(format, 0.02f, 5).fill(n, again.data());
    CHECK(again == data);
  }
  CHECK_FALSE(RandomWeights::knows(Format::q4_k));
}

TEST_CASE("sha256: the published examples") {
  // FIPS 180-4, examples of one block and of the empty message.
  Sha256 abc;
  abc.add("a", 1);
  abc.add("bc", 2);
  CHECK(abc.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(Sha256().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_of_file("/nonexistent/file").empty());
}

#include "tests/quant/int4_128.hpp"

#include "tests/catch.hpp"
#include "tests/quant/random.hpp"
#include "tests/random.hpp"

using namespace kinglet;
using namespace kinglet::quant;

namespace {

std::vector<float> values_of(Format format, const std::vector<std::byte>& bytes) {
  std::vector<float> values(bytes.size() / info(format).block_bytes * info(format).block);
  dequantize(format, bytes.data(), values.size(), values.data());
  return values;
}

}  // namespace

TEST_CASE("a block of INT4_128 is a scale and 128 nibbles") {
  std::vector<std::byte> block(format_bytes(Format::int4_128, 128), std::byte{0x88});
  REQUIRE(block.size() == test::int4_128_bytes);
  block[0] = std::byte{0x00};  // d = 0.5
  block[1] = std::byte{0x38};
  block[2] = std::byte{0xf0};   // weight 0: (0 - 8) * d, weight 16: (15 - 8) * d
  block[65] = std::byte{0x19};  // weight 111: (9 - 8) * d, weight 127: (1 - 8) * d
  const std::vector<float> w = values_of(Format::int4_128, block);
  for (std::size_t i = 0; i < 128; ++i) {
    CHECK(w[i] == (i == 0 ? -4.0f : i == 16 ? 3.5f : i == 111 ? 0.5f : i == 127 ? -3.5f : 0.0f));
  }
}

TEST_CASE("INT4_128 has a type number of its own, which no type of GGUF has") {
  const auto format = from_gguf_type(0x4b510080u);
  REQUIRE(format.ok());
  CHECK(*format == Format::int4_128);
  CHECK(gguf_type(0x4b510080u)->block == 128);
  CHECK(gguf_type(0x4b510080u)->block_bytes == 66);
  CHECK(from_gguf_type(0x4b510081u).error().code == Errc::bad_format);
}

// Q4_0 is held to the gguf package, bit for bit; every kind of FP16 comes by.
TEST_CASE("a block of INT4_128 has the weights of four blocks of Q4_0 with its scale, bit for bit") {
  const auto blocks = test::random_bytes(71, 4096 * test::int4_128_bytes);
  CHECK(test::crc_of_floats(values_of(Format::int4_128, blocks)) ==
        test::crc_of_floats(values_of(Format::q4_0, test::as_q4_0(blocks))));
}

TEST_CASE("the tests' packer rounds to nearest") {
  test::Random random{5};
  std::vector<float> w(128 * 33);
  for (float& x : w) x = random.normal();
  std::fill_n(w.begin() + 128, 128, 0.0f);
  const auto packed = test::pack_int4_128(w);
  const auto back = values_of(Format::int4_128, packed);
  for (std::size_t i = 0; i < w.size(); ++i) {
    std::uint16_t half;
    std::memcpy(&half, packed.data() + i / 128 * test::int4_128_bytes, 2);
    const float d = core::fp16_to_float(half);
    const float past = std::max(0.0f, w[i] / d - 7.0f);  // only +8 is out of reach
    CHECK(std::fabs(back[i] - w[i]) <= std::fabs(d) * (d == 0.0f ? 0.0f : std::max(0.5f, past)) * 1.001f);
  }
}

#include <kinglet/quant/format.hpp>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/quant/random.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using namespace kinglet;
using namespace kinglet::quant;

namespace {

std::vector<float> dequantized(Format format, const std::vector<std::byte>& bytes) {
  std::vector<float> values(bytes.size() / info(format).block_bytes * info(format).block);
  dequantize(format, bytes.data(), values.size(), values.data());
  return values;
}

/// Compares every format with the values that the gguf package gave.
void check_fixtures() {
  std::ifstream file(test::fixture("quant/fixtures/dequantize.txt"));
  std::string line;
  std::uint64_t seed = 0;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name, crc;
    std::size_t blocks = 0;
    words >> name >> blocks;
    REQUIRE(seed < format_count);
    const Format format = static_cast<Format>(seed);
    INFO(name);
    REQUIRE(name == info(format).name);
    const auto bytes = test::random_bytes(seed, blocks * info(format).block_bytes);
    const std::vector<float> values = dequantized(format, bytes);
    for (std::size_t part = 0; part < 8; ++part) {
      REQUIRE(words >> crc);
      const auto eighth = std::span(values).subspan(part * values.size() / 8, values.size() / 8);
      CHECK(test::crc_of_floats(eighth) == std::stoul(crc, nullptr, 16));
    }
    ++seed;
  }
  CHECK(seed == format_count - 1);  // INT4_128, the last, is our own
}

}  // namespace

TEST_CASE("a block of Q4_0 is a scale and 32 nibbles") {
  std::vector<std::byte> block(format_bytes(Format::q4_0, 32), std::byte{0x88});
  block[0] = std::byte{0x00};  // d = 0.5
  block[1] = std::byte{0x38};
  block[2] = std::byte{0xf0};  // weight 0: (0 - 8) * d, weight 16: (15 - 8) * d
  const std::vector<float> w = dequantized(Format::q4_0, block);
  CHECK(w[0] == -4.0f);
  CHECK(w[16] == 3.5f);
  for (std::size_t i = 1; i < 32; ++i) {
    if (i != 16) CHECK(w[i] == 0.0f);
  }
}

TEST_CASE("every format of GGUF gives the gguf package's values, bit for bit") { check_fixtures(); }

#if defined(__x86_64__)
TEST_CASE("de-quantization does not depend on the host's floating-point settings") {
  const unsigned before = _mm_getcsr();
  for (const unsigned setting : {0x9fc0u, 0x5f80u, 0x3f80u, 0xffc0u}) {  // FTZ + DAZ; up; down; toward zero with both
    for (std::uint64_t f = 0; f < format_count; ++f) {
      const Format format = static_cast<Format>(f);
      const auto bytes = test::random_bytes(f + 100, 64 * std::size_t{info(format).block_bytes});
      const auto expected = dequantized(format, bytes);
      std::vector<float> values(expected.size());
      _mm_setcsr(setting);
      dequantize(format, bytes.data(), values.size(), values.data());
      const unsigned after = _mm_getcsr();
      _mm_setcsr(before);
      CHECK(test::crc_of_floats(values) == test::crc_of_floats(expected));
      CHECK((after & ~0x3fu) == (setting & ~0x3fu));
    }
  }
}
#endif

TEST_CASE("data may lie at any address") {
  for (std::uint64_t f = 0; f < format_count; ++f) {
    const Format format = static_cast<Format>(f);
    const auto bytes = test::random_bytes(f + 200, 4 * std::size_t{info(format).block_bytes});
    std::vector<std::byte> moved(bytes.size() + 1);
    std::copy(bytes.begin(), bytes.end(), moved.begin() + 1);
    std::vector<float> values(4 * info(format).block);
    dequantize(format, moved.data() + 1, values.size(), values.data());
    CHECK(test::crc_of_floats(values) == test::crc_of_floats(dequantized(format, bytes)));
  }
  dequantize(Format::f32, nullptr, 0, nullptr);
  dequantize(Format::q6_k, nullptr, 0, nullptr);
}

TEST_CASE("every type number of GGUF has a name, and a format or a clear error") {
  for (std::uint64_t f = 0; f < format_count; ++f) {
    const FormatInfo& i = info(static_cast<Format>(f));
    CHECK(i.format == static_cast<Format>(f));
    const auto found = from_gguf_type(i.gguf_type);
    REQUIRE(found.ok());
    CHECK(*found == i.format);
    const GgufType* type = gguf_type(i.gguf_type);
    REQUIRE(type != nullptr);
    CHECK(std::string(type->name) == i.name);
    CHECK(type->block == i.block);
    CHECK(type->block_bytes == i.block_bytes);
  }
  const std::pair<std::uint32_t, const char*> others[] = {{4, "Q4_2"},    {9, "Q8_1"},   {15, "Q8_K"}, {16, "IQ2_XXS"},
                                                          {23, "IQ4_XS"}, {26, "I32"},   {28, "F64"},  {31, "Q4_0_4_4"},
                                                          {34, "TQ1_0"},  {40, "NVFP4"}, {41, "Q1_0"}};
  for (const auto& [number, name] : others) {
    const auto found = from_gguf_type(number);
    REQUIRE(!found.ok());
    CHECK(found.error().code == Errc::unsupported);
    CHECK(std::string(found.error().message).find(name) != std::string::npos);
  }
  for (const std::uint32_t number : {42u, 43u, 255u, 0x80000000u, 0xffffffffu}) {
    CHECK(from_gguf_type(number).error().code == Errc::bad_format);
    CHECK(gguf_type(number) == nullptr);
  }
}

#include "cuda/group.cuh"

#include <vector>

#include "tests/catch.hpp"
#include "tests/random.hpp"

using namespace kinglet;

// Each byte pattern of a block, read by both definitions.
TEST_CASE("a block's codes and scales are those of the CPU, for every format") {
  test::Random random{11};
  for (std::size_t f = 0; f < quant::format_count; ++f) {
    const auto format = static_cast<quant::Format>(f);
    quant::with_quantized(format, [&]<quant::Format F>() {
      constexpr std::size_t bytes = quant::format_info<F>.block_bytes;
      for (int round = 0; round < 200; ++round) {
        std::vector<std::uint8_t> block(bytes);
        for (auto& b : block) b = static_cast<std::uint8_t>(random.bits());
        const auto* p = static_cast<const std::uint8_t*>(block.data());
        for (unsigned g = 0; g < cuda::block_groups<F>; ++g) {
          quant::Group expected;
          quant::unpack<F>(p, g, expected);
          const cuda::Scales s = cuda::scales<F>(p, g);
          CHECK(core::float_bits(s.d) == core::float_bits(expected.d));
          CHECK(s.scale[0] == expected.scale[0]);
          CHECK(s.scale[1] == expected.scale[1]);
          if (quant::has_min(F)) {
            CHECK(core::float_bits(s.dmin) == core::float_bits(expected.dmin));
            CHECK(s.min[0] == expected.min[0]);
            CHECK(s.min[1] == expected.min[1]);
          }
          if (!cuda::has_half_scales(F)) CHECK(s.scale[0] == s.scale[1]);
          bool same = true;
          for (unsigned i = 0; i < 32; ++i) {
            same &= cuda::signed_byte(cuda::codes<F>(p, g, i / 4), i % 4) == expected.q[i];
          }
          CHECK(same);
        }
      }
    });
  }
}

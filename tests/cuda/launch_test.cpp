#include "cuda/launch.hpp"

#include "cuda/kernels.cuh"
#include "cuda/layout.hpp"
#include "tests/catch.hpp"

using namespace kinglet;
using namespace kinglet::cuda;

TEST_CASE("every launch fits every chip, from one row to the largest step") {
  struct Model {
    std::uint32_t dim, heads, kv_heads, head_dim, ffn, vocab;
  };
  const Model models[] = {{32, 4, 2, 8, 40, 260},
                          {576, 9, 3, 64, 1536, 49152},
                          {4096, 32, 8, 128, 14336, 128256},
                          {8192, 64, 8, 128, 28672, 152064},
                          {16384, 128, 8, max_head_dim, 53248, 262144},
                          {1u << 30, most_heads, most_heads, max_head_dim, 1u << 30, 1u << 30}};
  for (ChipLimits chip : chips) {
    chip.shared_of_block = shared_without_opt_in;  // no kernel asks for more
    CHECK(chip.compute >= 75);
    for (const Model& m : models) {
      for (const std::uint32_t rows : {1u, 7u, 8u, 9u, 63u, 64u, 65u, 4096u, most_rows}) {
        CHECK(fits(launch_rows(rows, PrepareRow<Form::int8>::shared_bytes), chip));
        CHECK(fits(launch_gate(rows, GateRow::shared_bytes), chip));
        CHECK(fits(launch_sample(rows, SampleRow::shared_bytes), chip));
        for (const std::uint32_t outputs : {m.dim, m.ffn, m.vocab, m.kv_heads * std::min(m.head_dim, 128u)}) {
          const Launch few = launch_product_few(outputs, rows, ProductOfGroups<Format::q4_k, Form::fp8>::shared_bytes);
          const Launch many = launch_product_many(outputs, rows);
          CHECK(fits(few, chip));
          CHECK(fits(many, chip));
          CHECK(std::uint64_t{few.grid[0]} * few_outputs >= outputs);
          CHECK(std::uint64_t{few.grid[1]} * few_rows >= rows);
          CHECK(std::uint64_t{many.grid[0]} * many_outputs >= outputs);
          CHECK(std::uint64_t{many.grid[1]} * many_rows >= rows);
          CHECK((few.grid[0] - 1) * few_outputs < outputs);
        }
        CHECK(fits(launch_rotate(rows, m.heads + 2 * m.kv_heads, RotateAndStore::shared_bytes(m.head_dim)), chip));
        CHECK(fits(launch_merge(rows, m.heads), chip));
        const std::uint64_t slots = partial_slots(most_rows, m.heads);
        for (const std::uint32_t stretches : {1u, 2u, 65536u}) {
          const std::uint32_t pass = stretches_of_pass(slots, rows, m.heads, stretches);
          CHECK(pass >= 1);
          CHECK(pass <= stretches);
          CHECK(std::uint64_t{pass} * rows * m.heads <= slots);
          CHECK(fits(launch_attend(rows, m.kv_heads, pass, AttendStretch::shared_bytes(m.head_dim)), chip));
        }
      }
    }
  }
}

TEST_CASE("every chip has its family's numbers, which fit its launches") {
  std::uint32_t before = 0;
  for (const Tuning& family : tunings) {
    CHECK(family.compute > before);
    before = family.compute;
    CHECK(family.int8_from >= 1);
    CHECK(family.int8_from <= most_rows);
  }
  for (ChipLimits chip : chips) {
    const Tuning& own = tuning_of(chip.compute);
    CHECK(own.compute <= chip.compute);
    for (const Tuning& family : tunings) CHECK((family.compute <= own.compute || family.compute > chip.compute));
    // Both sides of where a product changes its kernel.
    chip.shared_of_block = shared_without_opt_in;
    for (const std::uint32_t outputs : {1u, few_outputs, many_outputs + 1, 1u << 30}) {
      const std::uint32_t few = std::max(1u, own.int8_from - 1);
      CHECK(fits(launch_product_few(outputs, few, ProductOfGroups<Format::q4_k, Form::int8>::shared_bytes), chip));
      CHECK(fits(launch_product_many(outputs, own.int8_from), chip));
      CHECK(fits(launch_product_many(outputs, many_from), chip));
    }
  }
  CHECK(tuning_of(0).compute == 75);
  CHECK(tuning_of(89).compute == 80);
  CHECK(tuning_of(90).compute == 90);
  CHECK(tuning_of(120).compute == 100);
  CHECK(tuning_of(999).compute == 100);
  CHECK(many_from == 9);  // docs/numbers.md says so
}

TEST_CASE("the kernels' constants are those of their launches") {
  CHECK(launch_rows(1, 0).threads == PrepareRow<Form::fp8>::max_threads);
  CHECK(launch_rows(1, 0).threads == EmbedRows<Format::q4_0>::max_threads);
  CHECK(launch_product_few(1, 1, 0).threads == ProductOfGroups<Format::q4_0, Form::int8>::max_threads);
  CHECK(launch_product_few(1, 1, 0).threads == ProductOfFloats<Format::f16>::max_threads);
  CHECK(launch_product_many(1, 1).threads == ProductOfManyRows<Format::q4_0>::max_threads);
  CHECK(launch_product_many(1, 1).threads == ProductOfHalves<Format::q4_0>::max_threads);
  CHECK(launch_rows(1, 0).threads == PrepareRow<Form::halves>::max_threads);
  CHECK(launch_gate(1, 0).threads == GateRow::max_threads);
  CHECK(launch_sample(1, 0).threads == SampleRow::max_threads);
  CHECK(launch_rotate(1, 1, 0).threads == RotateAndStore::max_threads);
  CHECK(launch_attend(1, 1, 1, 0).threads == AttendStretch::max_threads);
  CHECK(launch_merge(1, 1).threads == MergeStretches::max_threads);
  CHECK_FALSE(fits(Launch{{1, 1, 1}, 33, 0}, chips[0]));
  CHECK_FALSE(fits(Launch{{1, 1, 1}, 2048, 0}, chips[0]));
  CHECK_FALSE(fits(Launch{{1, 65536, 1}, 32, 0}, chips[0]));
  CHECK_FALSE(fits(Launch{{1, 1, 1}, 32, 100 << 10}, chips[4]));
}

TEST_CASE("a shape beyond the largest grids has no plan") {
  ops::ContextShape shape;
  shape.dim = shape.ffn = shape.vocab = shape.layers = shape.max_logits = shape.max_sequences = shape.pages = 1;
  shape.head_dim = 2;
  shape.heads = shape.kv_heads = most_heads;
  shape.max_rows = most_rows;
  CHECK(device_layout(shape).ok);
  ++shape.max_rows;
  CHECK_FALSE(device_layout(shape).ok);
  --shape.max_rows;
  shape.heads = shape.kv_heads = most_heads + 1;
  CHECK_FALSE(device_layout(shape).ok);
}

// examples/cli/bench_attention.cpp: how fast is attention alone?
#include <algorithm>
#include <numeric>
#include <utility>

#include <kinglet/core/memory.hpp>
#include <kinglet/ops/backend.hpp>

#include "bench_run.hpp"
#include "failure.hpp"
#include "stopwatch.hpp"

namespace kinglet::cli {
namespace {

ops::ContextShape shape_of(const model::ModelConfig& m, const EngineOptions& options, std::uint32_t context,
                           std::uint32_t rows, std::span<const std::uint64_t> rotary) {
  ops::ContextShape shape;
  shape.dim = m.dim;
  shape.layers = 1;
  shape.heads = m.heads;
  shape.kv_heads = m.kv_heads;
  shape.head_dim = m.head_dim;
  shape.ffn = m.ffn;
  shape.vocab = m.vocab;
  shape.norm_eps = m.norm_eps;
  shape.rotary_pairs = m.rotary_pairs;
  shape.rotary_steps = rotary;
  shape.activations = options.activations;
  shape.kv = options.kv;
  shape.scores = options.scores;
  shape.max_rows = rows;
  shape.max_logits = 1;
  shape.max_sequences = 1;
  shape.pages = (context + ops::page_tokens - 1) / ops::page_tokens;
  shape.threads = options.threads;
  return shape;
}

/// All phases of the attention of one layer for the last `rows` of `context` positions, in seconds.
double time_step(ops::Backend& backend, std::span<const std::uint32_t> pages, std::uint32_t context,
                 std::uint32_t rows) {
  std::vector<ops::Row> row(rows);
  for (std::uint32_t i = 0; i < rows; ++i) row[i].position = context - rows + i;
  const ops::Sequence sequence{0, rows, context - rows, pages.data()};
  ops::Op op;
  op.kind = ops::OpKind::attention;
  check(backend.begin({row, {&sequence, 1}, {}, {}}), "attention");
  const Stopwatch watch;
  for (std::uint32_t phase = 0; phase < backend.phases(op); ++phase)
    check(backend.run(op, phase, 0, backend.work(op, phase).tiles), "attention");
  return watch.seconds();
}

}  // namespace

double attention_flops(const Engine& engine, const EngineOptions& options, std::uint32_t context, std::uint32_t rows) {
  const model::ModelConfig& m = engine.model();
  if (m.heads == 0 || m.kv_heads == 0 || context < 2 * rows) return 0;
  const auto info = ops::find_backend(engine.backend());
  if (!info) return 0;
  const std::vector<std::uint64_t> rotary(m.rotary_dim / 2, 0);
  core::Memory memory;
  ops::Backend* backend =
      take(info.value()->create(shape_of(m, options, context, rows, rotary), {}, memory), "attention");
  std::vector<std::uint32_t> pages((context + ops::page_tokens - 1) / ops::page_tokens);
  std::iota(pages.begin(), pages.end(), 0u);
  double seconds = 0;
  double flops = 0;
  try {
    // Pages that were never written are all one page of zeros, which a cache holds.
    for (const std::uint32_t page : pages)
      check(backend->copy_page(page == 0 ? 1 : 0, page, ops::page_tokens), "attention");
    for (const std::uint32_t at : {context, context / 2 + rows, context}) {
      const double each = 4.0 * m.head_dim * m.heads;  // two products, an fma for each channel
      seconds += time_step(*backend, pages, at, rows);
      flops += each * (static_cast<double>(at - rows) * rows + 0.5 * rows * (rows + 1.0));
    }
  } catch (...) {
    info.value()->destroy(backend, memory);
    throw;
  }
  info.value()->destroy(backend, memory);
  return seconds > 0 ? flops / seconds : 0;
}

}  // namespace kinglet::cli

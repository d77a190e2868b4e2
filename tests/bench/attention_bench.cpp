// tests/bench/attention_bench.cpp: how near is attention on its own to what the processor and the memory can give?
//
//   attention_bench [SHAPE] [THREADS] [CONTEXT] [BACKEND]     SHAPE: llama-3.2-1b | qwen2.5-0.5b | smollm2-135m
//
// Through the public kernel table: keys and values are written by attention_input of a model with 32 channels, then
// attention alone is timed, in turn with the limits of `kinglet bench`. GLIBC_TUNABLES=glibc.malloc.hugetlb=1 puts the
// pages into large ones, as EngineOptions::prefault does.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "examples/cli/limits.hpp"
#include "tests/ops/hand_model.hpp"

namespace {

using namespace kinglet;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

ops::ContextShape shape_of(std::string_view name) {
  ops::ContextShape s;
  s.dim = s.ffn = 32;
  s.vocab = 64;
  s.layers = 16, s.heads = 32, s.kv_heads = 8;
  if (name == "qwen2.5-0.5b") s.layers = 24, s.heads = 14, s.kv_heads = 2;
  if (name == "smollm2-135m") s.layers = 30, s.heads = 9, s.kv_heads = 3;
  s.head_dim = 64;
  s.max_rows = 256;
  s.max_logits = s.max_sequences = 1;
  return s;
}

/// Times the attention of one session, alone.
class Run {
 public:
  Run(const ops::BackendInfo& info, const ops::ContextShape& shape, std::uint32_t context)
      : model_(shape, {quant::Format::f32}, shape.head_dim),
        backend_(info, model_, model_.shape),
        session_(test::make_session(1, context, 0, shape)) {
    std::iota(session_.pages.begin(), session_.pages.end(), 0u);  // as a pool gives them
  }

  /// @return the seconds that attention took for `rows` further tokens at `from`
  double step(std::uint32_t from, std::uint32_t rows, bool attend) {
    const ops::Sequence sequence{0, rows, from, session_.pages.data()};
    std::vector<ops::Row> list;
    for (std::uint32_t i = 0; i < rows; ++i) list.push_back({session_.tokens[from + i], from + i, 0});
    check(backend_->begin({list, {&sequence, 1}, {}, {}}));
    double seconds = 0;
    for (const ops::Op& op : model_.ops) {
      if (op.kind != ops::OpKind::embed && op.kind != ops::OpKind::attention_input &&
          (!attend || op.kind != ops::OpKind::attention))
        continue;
      const auto start = Clock::now();
      for (std::uint32_t phase = 0; phase < backend_->phases(op); ++phase)
        check(backend_->run(op, phase, 0, backend_->work(op, phase).tiles));
      if (op.kind == ops::OpKind::attention) seconds += seconds_since(start);
    }
    return seconds;
  }
  /// A prompt of the whole context, `rows` tokens a step; timed(seconds, positions seen) after each.
  template <class F>
  void prefill(std::uint32_t rows, bool attend, F timed) {
    const auto context = static_cast<std::uint32_t>(session_.tokens.size());
    for (std::uint32_t at = 0; at < context; at += rows) {
      const std::uint32_t n = std::min(rows, context - at);
      timed(step(at, n, attend), n * (at + 0.5 * (n + 1.0)));
    }
  }

 private:
  static void check(const Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "%s\n", static_cast<const char*>(status.error().message));
    std::exit(1);
  }
  test::HandModel model_;
  test::Placed backend_;
  test::HandSession session_;
};

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "llama-3.2-1b";
  ops::ContextShape shape = shape_of(name);
  shape.threads = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 2;
  const auto context = static_cast<std::uint32_t>(argc > 3 ? std::atoi(argv[3]) : 8192);
  shape.pages = (context + ops::page_tokens - 1) / ops::page_tokens;
  const auto info = ops::find_backend(argc > 4 ? argv[4] : "");
  if (!info || shape.threads == 0 || context == 0) {
    std::fprintf(stderr, "attention_bench [SHAPE] [THREADS] [CONTEXT] [BACKEND]\n");
    return 2;
  }
  std::printf("%.*s, backend %s, %u threads, %u tokens of context\n", static_cast<int>(name.size()), name.data(),
              (*info)->name, shape.threads, context);
  // Each run is held against the higher of the limits before and after it.
  const auto against = [](cli::LimitGauge& gauge, cli::Limits& before) {
    const cli::Limits after = gauge.measure();
    return cli::best_of(std::exchange(before, after), after);
  };
  {
    ops::ContextShape one = shape;
    one.layers = 1;
    Run run(**info, one, context);
    cli::LimitGauge gauge((*info)->name, one.threads, std::size_t{1} << 20);
    cli::Limits before = gauge.measure();
    std::vector<double> rates, shares;
    for (int i = 0; i < 3; ++i) {
      double operations = 0, seconds = 0;
      run.prefill(one.max_rows, true, [&](double took, double pairs) {
        operations += pairs * 4e-9 * one.head_dim * one.heads;
        seconds += took;
      });
      const double limit = against(gauge, before).fp32_gflops;
      rates.push_back(operations / seconds);
      shares.push_back(rates.back() / limit);
      std::printf("  prefill %7.1f GFLOP/s, FP32 peak %7.1f, share %.3f\n", rates.back(), limit, shares.back());
    }
    std::printf("prefill, median: %.1f GFLOP/s, share of the FP32 peak %.3f\n", median(rates), median(shares));
  }
  Run run(**info, shape, context);
  run.prefill(shape.max_rows, false, [](double, double) {});
  const double bytes = 4.0 * shape.layers * shape.kv_heads * shape.head_dim * context;
  cli::LimitGauge gauge((*info)->name, shape.threads, static_cast<std::size_t>(bytes));
  cli::Limits before = gauge.measure();
  std::vector<double> rates, shares;
  for (int i = 0; i < 9; ++i) {
    const double seconds = run.step(context - 1, 1, true);
    const double limit = against(gauge, before).read_gb_per_s;
    rates.push_back(bytes / seconds * 1e-9);
    shares.push_back(rates.back() / limit);
    std::printf("  decode %6.2f GB/s, read %6.2f, share %.3f\n", rates.back(), limit, shares.back());
  }
  std::printf("decode, median: %.2f GB/s, share of the read bandwidth %.3f\n", median(rates), median(shares));
  return 0;
}

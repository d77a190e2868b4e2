// tests/bench/attention_bench.cpp: how near is attention on its own to what the processor and the memory can give?
//
//   attention_bench [SHAPE] [THREADS] [CONTEXT] [BACKEND]     SHAPE: llama-3.2-1b | qwen2.5-0.5b | smollm2-135m
//
// Through the public kernel table: keys and values are written by attention_input of a model with 32 channels, then
// attention alone is timed. Limits (a loop of fma in registers, a read of memory) are measured in turn with it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "tests/ops/hand_model.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

using namespace kinglet;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr int chains = 12;                  // enough for two fma a cycle of five cycles each
constexpr std::uint64_t turns = 1'000'000;  // some milliseconds

#if defined(__x86_64__)
__attribute__((target("avx512f"))) double fma_loop_512() {
  __m512 x[chains], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1.0f);
  for (auto& v : x) v = b;
  for (std::uint64_t i = 0; i < turns; ++i) {
    for (auto& v : x) v = _mm512_fmadd_ps(v, a, b);
    __asm__ volatile("" : "+v"(a));
  }
  for (auto& v : x) b = _mm512_add_ps(b, v);
  float sum[16];
  _mm512_storeu_ps(sum, b);
  return static_cast<double>(sum[0]);
}
__attribute__((target("avx2,fma"))) double fma_loop_256() {
  __m256 x[chains], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.0f);
  for (auto& v : x) v = b;
  for (std::uint64_t i = 0; i < turns; ++i) {
    for (auto& v : x) v = _mm256_fmadd_ps(v, a, b);
    __asm__ volatile("" : "+x"(a));
  }
  for (auto& v : x) b = _mm256_add_ps(b, v);
  return static_cast<double>(_mm256_cvtss_f32(b));
}
#elif defined(__aarch64__)
double fma_loop_128() {
  float32x4_t x[chains], a = vdupq_n_f32(0.5f), b = vdupq_n_f32(1.0f);
  for (auto& v : x) v = b;
  for (std::uint64_t i = 0; i < turns; ++i) {
    for (auto& v : x) v = vfmaq_f32(b, v, a);
    __asm__ volatile("" : "+w"(a));
  }
  for (auto& v : x) b = vaddq_f32(b, v);
  return static_cast<double>(vaddvq_f32(b));
}
#endif

template <class F>
double on_threads(unsigned threads, F body) {
  std::atomic<unsigned> ready{0};
  std::vector<double> took(threads);
  std::vector<std::thread> all;
  for (unsigned t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      for (++ready; ready != threads;) {
      }
      const auto start = Clock::now();
      body(t);
      took[t] = seconds_since(start);
    });
  }
  for (std::thread& t : all) t.join();
  return *std::max_element(took.begin(), took.end());
}

/// GFLOP/s of `threads` threads that do nothing but fma; 0 where there is no loop for the backend.
double fp32_gflops([[maybe_unused]] std::string_view backend, unsigned threads) {
  double (*loop)() = nullptr;
  double lanes = 0;
#if defined(__x86_64__)
  if (backend == "avx512") loop = fma_loop_512, lanes = 16;
  if (backend == "avx2") loop = fma_loop_256, lanes = 8;
#elif defined(__aarch64__)
  if (backend == "neon") loop = fma_loop_128, lanes = 4;
#endif
  if (loop == nullptr) return 0;
  std::atomic<double> keep{0};
  const double seconds = on_threads(threads, [&](unsigned) { keep = loop(); });
  return 2.0 * lanes * chains * static_cast<double>(turns) * threads / seconds * 1e-9;
}

/// GB/s of `threads` threads that read a buffer: the faster of a plain and a prefetched loop.
double read_gb_per_s(unsigned threads, const std::vector<std::uint64_t>& buffer) {
  std::atomic<std::uint64_t> keep{0};
  const std::size_t part = buffer.size() / threads / 64 * 64;
  double best = 1e9;
  for (const std::size_t ahead : {0u, 512u}) {
    best = std::min(best, on_threads(threads, [&](unsigned t) {
                      const std::uint64_t* p = buffer.data() + t * part;
                      std::uint64_t sum[8] = {};
                      for (std::size_t i = 0; i < part; i += 8) {
                        if (ahead != 0) __builtin_prefetch(p + i + ahead);
                        for (std::size_t j = 0; j < 8; ++j) sum[j] += p[i + j];
                      }
                      for (const std::uint64_t s : sum) keep += s;
                    }));
  }
  return static_cast<double>(part * threads * 8) / best * 1e-9;
}

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
        session_(test::make_session(1, context, 0, shape)) {}

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
  const std::string_view backend = (*info)->name;
  std::printf("%.*s, backend %s, %u threads, %u tokens of context\n", static_cast<int>(name.size()), name.data(),
              (*info)->name, shape.threads, context);
  {
    ops::ContextShape one = shape;
    one.layers = 1;
    Run run(**info, one, context);
    std::vector<double> rates, shares;
    for (int i = 0; i < 3; ++i) {
      double operations = 0, seconds = 0, limit = 0;  // what the peak would have done meanwhile
      run.prefill(one.max_rows, true, [&](double took, double pairs) {
        operations += pairs * 4e-9 * one.head_dim * one.heads;
        seconds += took;
        limit += took * fp32_gflops(backend, one.threads);
      });
      rates.push_back(operations / seconds);
      shares.push_back(limit > 0 ? operations / limit : 0);
      std::printf("  prefill %7.1f GFLOP/s, FP32 peak %7.1f, share %.3f\n", rates.back(), limit / seconds,
                  shares.back());
    }
    std::printf("prefill, median: %.1f GFLOP/s, share of the FP32 peak %.3f\n", median(rates), median(shares));
  }
  Run run(**info, shape, context);
  run.prefill(shape.max_rows, false, [](double, double) {});
  const std::vector<std::uint64_t> buffer(std::size_t{128} << 17, 1);  // 128 MiB
  const double bytes = 4.0 * shape.layers * shape.kv_heads * shape.head_dim * context;
  std::vector<double> rates, shares;
  for (int i = 0; i < 15; ++i) {
    const double seconds = run.step(context - 1, 1, true);
    const double limit = read_gb_per_s(shape.threads, buffer);
    rates.push_back(bytes / seconds * 1e-9);
    shares.push_back(rates.back() / limit);
    std::printf("  decode %6.2f GB/s, read %6.2f, share %.3f\n", rates.back(), limit, shares.back());
  }
  std::printf("decode, median: %.2f GB/s, share of the read bandwidth %.3f\n", median(rates), median(shares));
  return 0;
}

// examples/window_attention.cpp: what does attention see through a window, with and without a few global tokens?
//
// Attention by the CPU's kernel table alone, without a model or an engine: 4,096 tokens of one head. As in trained
// models, every query pays much attention to the first token, which says nothing: it takes the weight that no other
// token deserves. A window that loses it gives that weight to whoever is left.
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include <kinglet/ops/backend.hpp>

namespace {

using namespace kinglet;

constexpr std::uint32_t tokens = 4096, chunk = 256, dim = 64;

struct Seen {
  std::vector<float> out;  ///< [tokens][dim] what attention adds to each token
  double milliseconds = 0.0;
};

/// @param x        [tokens][dim], one row for each token
/// @param q, k, v  [dim][dim]
Result<Seen> attend(std::uint32_t window, std::uint32_t globals, const std::vector<float>& x,
                    const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v) {
  const auto info = ops::find_backend("");
  if (!info) return info.error();
  std::array<std::uint64_t, 16> turns{};  // the first 32 channels rotate with the position, the others do not
  ops::rotary_steps(10000.0f, 1.0f, {}, turns);
  const ops::ContextShape shape{.dim = dim,
                                .layers = 1,
                                .heads = 1,
                                .kv_heads = 1,
                                .head_dim = dim,
                                .ffn = 32,
                                .vocab = tokens,
                                .norm_eps = 1e-5f,
                                .rotary_steps = turns,
                                .activations = ops::Activations::fp32,
                                .window = window,
                                .globals = globals,
                                .max_rows = chunk,
                                .max_logits = 1,
                                .max_sequences = 1,
                                .pages = tokens / ops::page_tokens};
  core::Memory memory;
  const auto created = (*info)->create(shape, {}, memory);
  if (!created) return created.error();
  ops::Backend& backend = **created;

  // Four operations: look up, queries and keys and values, attention, add what it gave to the row.
  std::vector<float> ones(dim, 1.0f), identity(dim * dim);
  for (std::uint32_t i = 0; i < dim; ++i) identity[i * dim + i] = 1.0f;
  const auto matrix = [](const std::vector<float>& values) {
    return ops::WeightView{quant::Format::f32, static_cast<std::uint32_t>(values.size() / dim), dim,
                           dim * sizeof(float), reinterpret_cast<const std::byte*>(values.data())};
  };
  std::array<ops::Op, 4> all;
  all[1].kind = ops::OpKind::attention_input;
  all[2].kind = ops::OpKind::attention;
  all[3].kind = ops::OpKind::project;
  all[0].weight[0] = matrix(x);
  all[1].weight[0] = matrix(q);
  all[1].weight[1] = matrix(k);
  all[1].weight[2] = matrix(v);
  all[3].weight[0] = matrix(identity);
  Status status;
  for (ops::Op& op : all) {
    for (ops::WeightView& w : op.weight) {
      if (w && status)
        status = backend.place({&w, 1}, &op == &all[0] ? ops::WeightUse::lookup : ops::WeightUse::product);
    }
  }
  if (const auto norm = backend.place(ones.data(), dim); norm) all[1].norm = *norm;

  std::vector<std::uint32_t> pages(shape.pages);
  for (std::uint32_t i = 0; i < shape.pages; ++i) pages[i] = i;
  Seen seen{std::vector<float>(tokens * dim)};
  std::vector<ops::Row> rows(chunk);
  for (std::uint32_t at = 0; status && at < tokens; at += chunk) {
    for (std::uint32_t i = 0; i < chunk; ++i) rows[i] = {static_cast<std::int32_t>(at + i), at + i, 0};
    const ops::Sequence sequence{0, chunk, at, pages.data()};
    status = backend.begin({rows, {&sequence, 1}, {}, {}});
    for (const ops::Op& op : all) {
      const auto begin = std::chrono::steady_clock::now();
      for (std::uint32_t phase = 0; status && phase < backend.phases(op); ++phase)
        status = backend.run(op, phase, 0, backend.work(op, phase).tiles);
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
      if (op.kind == ops::OpKind::attention) seen.milliseconds += took.count();
    }
    if (status) status = backend.read_rows(std::span(seen.out).subspan(at * dim, chunk * dim));
  }
  (*info)->destroy(&backend, memory);
  if (!status) return status.error();
  for (std::size_t i = 0; i < seen.out.size(); ++i) seen.out[i] -= x[i];
  return seen;
}

int fail(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message);
  return 1;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  // The last channel is what queries look for; the first token has nothing else, the others a little of it.
  constexpr std::uint32_t last = dim - 1;
  std::vector<float> x(tokens * dim), q(dim * dim), k(dim * dim), v(dim * dim);
  for (std::uint32_t t = 0; t < tokens; ++t) {
    for (std::uint32_t i = 0; i < dim; ++i) x[t * dim + i] = i == last ? 2.0f : t == 0 ? 0.0f : normal(random);
  }
  for (std::uint32_t i = 0; i < dim; ++i) {
    q[i * dim + i] = i == last ? 6.0f : 1.0f;
    k[i * dim + i] = 1.0f;
    v[i * dim + i] = i == last ? 0.0f : 1.0f;
  }

  struct Setting {
    const char* name;
    std::uint32_t window, globals;
  };
  const Setting settings[] = {{"everything", 0, 0},
                              {"window 2048, 8 globals", 2048, 8},
                              {"window 1024, 8 globals", 1024, 8},
                              {"window 1024 alone", 1024, 0},
                              {"window 256, 8 globals", 256, 8}};
  std::printf("%u tokens, one head of %u channels; difference from full attention in the last 1,024\n\n", tokens, dim);
  std::printf("sees                    attention  difference\n");
  std::vector<float> full;
  for (const Setting& s : settings) {
    const auto seen = attend(s.window, s.globals, x, q, k, v);
    if (!seen) return fail(seen.error());
    if (full.empty()) full = seen->out;
    double difference = 0.0, size = 0.0;
    for (std::size_t i = (tokens - 1024) * dim; i < full.size(); ++i) {
      difference += std::pow(static_cast<double>(seen->out[i]) - static_cast<double>(full[i]), 2);
      size += std::pow(static_cast<double>(full[i]), 2);
    }
    std::printf("%-22s  %6.1f ms  %8.1f %%\n", s.name, seen->milliseconds, 100.0 * std::sqrt(difference / size));
  }
  return 0;
}

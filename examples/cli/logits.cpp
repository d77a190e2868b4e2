// examples/cli/logits.cpp: kinglet logits: what does a model think comes after each of these tokens?
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <numeric>
#include <vector>

#include "evaluation.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "numbers.hpp"
#include "options.hpp"
#include "program.hpp"
#include "progress.hpp"

namespace kinglet::cli {
namespace {

struct LogitsFlags {
  ModelFlags model;
  std::string path;
  std::string ids;
  std::uint32_t top = 0;
};

/// The shortest text that reads back as the same FP32 number.
void print(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  std::fwrite(text, 1, static_cast<std::size_t>(end - text), stdout);
}

void print_row(std::span<const float> logits) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    std::fputc(i == 0 ? '[' : ',', stdout);
    print(logits[i]);
  }
  std::fputc(']', stdout);
}

void print_top(std::span<const float> logits, std::size_t top) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t n = std::min(top, order.size());
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
      [&](std::size_t a, std::size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  for (std::size_t i = 0; i < n; ++i) {
    std::fprintf(stdout, "%s[%zu,", i == 0 ? "[" : ",", order[i]);
    print(logits[order[i]]);
    std::fputc(']', stdout);
  }
  std::fputc(']', stdout);
}

void logits(LogitsFlags flags) {
  const std::vector<std::int32_t> tokens = parse_ids(flags.ids, "--tokens");
  if (flags.model.context_given && flags.model.context < tokens.size())
    bad_usage("--ctx {}: {} tokens do not fit; leave --ctx out, or give {} at least", flags.model.context,
              tokens.size(), tokens.size());
  if (!flags.model.context_given) flags.model.context = static_cast<std::uint32_t>(tokens.size());
  Engine engine = load_engine(flags.path, evaluating(engine_options(flags.model)));
  for (const std::int32_t token : tokens)
    if (static_cast<std::uint32_t>(token) >= engine.model().vocab)
      bad_input("--tokens: {} is no token of {}; ids go from 0 to {}", token, flags.path, engine.model().vocab - 1);
  Session session = take(engine.open_session({.format = PromptFormat::text}), flags.path);
  Progress bar("logits");
  std::fputs("{\"logits\": [", stdout);
  const bool whole = evaluate(session, tokens, flags.path, [&](std::size_t i, std::span<const float> row) {
    if (i != 0) std::fputs(", ", stdout);
    if (flags.top != 0)
      print_top(row, flags.top);
    else
      print_row(row);
    bar.show(static_cast<double>(i) / static_cast<double>(tokens.size()));
  });
  bar.clear();
  std::fputs(whole ? "]}\n" : "], \"interrupted\": true}\n", stdout);
}

}  // namespace

void add_logits(Program& program) {
  auto flags = std::make_shared<LogitsFlags>();
  CLI::App* app = program.app.add_subcommand("logits", "The logits after each of some tokens, as JSON");
  app->add_option("model", flags->path, "GGUF file")->required();
  app->add_option("--tokens", flags->ids, "Token ids: 1,2,3")->required();
  app->add_option("--top", flags->top, "Only the N largest, as [id, logit]; default: the whole row")
      ->transform(whole(1, 1 << 24));
  add_model_flags(*app, flags->model, 1);
  app->callback([&program, flags] { program.action = [flags] { logits(*flags); }; });
}

}  // namespace kinglet::cli

// examples/cli/eval.cpp: kinglet eval: how well does a model foretell a text?
#include <cstdio>
#include <memory>
#include <memory_resource>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "evaluation.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "generation.hpp"
#include "json_line.hpp"
#include "numbers.hpp"
#include "options.hpp"
#include "pieces.hpp"
#include "program.hpp"
#include "progress.hpp"
#include "scores.hpp"

namespace kinglet::cli {
namespace {

struct EvalFlags {
  ModelFlags model;
  std::string path;
  std::string text;
  std::string reference;
  std::size_t limit = 0;
};

/// The reference model beside the one that is scored, a few rows at a time.
struct Reference {
  Engine engine;
  Session session;
  std::vector<float> rows;  ///< [rows_at_once][vocab]
};

std::pmr::vector<std::int32_t> tokens_of(const text::Tokenizer& tokenizer, const EvalFlags& flags) {
  const std::string text = read_text(flags.text);
  std::pmr::vector<std::int32_t> tokens(std::pmr::new_delete_resource());
  check(tokenizer.encode(text, {.add_special = false}, tokens), flags.text);
  if (tokens.empty()) bad_input("{}: the text is empty; there is nothing to score", flags.text);
  if (flags.limit != 0 && tokens.size() > flags.limit) tokens.resize(flags.limit);
  return tokens;
}

Reference open_reference(const EvalFlags& flags, const EngineOptions& options, const Engine& engine) {
  Reference reference;
  reference.engine = load_engine(flags.reference, options);
  if (reference.engine.model().vocab != engine.model().vocab)
    bad_input("--reference {}: {} pieces of vocabulary, but {} has {}; both must use the same one", flags.reference,
              reference.engine.model().vocab, flags.path, engine.model().vocab);
  reference.session = take(reference.engine.open_session({.format = PromptFormat::text}), flags.reference);
  reference.rows.resize(std::size_t{rows_at_once} * engine.model().vocab);
  return reference;
}

/// One piece through both models. False where Ctrl-C ended it.
bool score_both(const Piece& piece, Session& session, Reference& other, const EvalFlags& flags, Score& score) {
  check(session.reset(), flags.path);
  check(other.session.reset(), flags.reference);
  const std::span<const std::int32_t> tokens = piece.tokens;
  for (std::size_t at = 0; at + 1 < tokens.size(); at += rows_at_once) {
    if (interrupted()) return false;
    const auto part = tokens.subspan(at, std::min<std::size_t>(rows_at_once, tokens.size() - 1 - at));
    check(other.session.evaluate(part,
                                 [&](std::uint32_t i, std::span<const float> logits) {
                                   std::copy(logits.begin(), logits.end(),
                                             other.rows.begin() + static_cast<std::ptrdiff_t>(i * logits.size()));
                                 }),
          flags.reference);
    check(session.evaluate(part,
                           [&](std::uint32_t i, std::span<const float> logits) {
                             score.add(logits, tokens[at + i + 1]);
                             score.compare({other.rows.data() + i * logits.size(), logits.size()}, logits);
                           }),
          flags.path);
  }
  return true;
}

void print(const Score& score, const EvalFlags& flags, double seconds) {
  nlohmann::ordered_json out;
  out["nll"] = score.mean_nll();
  out["perplexity"] = score.perplexity();
  out["tokens"] = score.tokens;
  out["ctx"] = flags.model.context;
  if (!flags.reference.empty()) {
    out["kl_divergence"] = score.mean_divergence();
    out["top1_agreement"] = score.agreement();
  }
  out["tokens_per_s"] = seconds > 0 ? static_cast<double>(score.tokens) / seconds : 0.0;
  if (interrupted()) out["interrupted"] = true;
  if (flags.model.json) {
    print_line(out);
    return;
  }
  for (const auto& [key, value] : out.items()) std::printf("%-16s %s\n", key.c_str(), value.dump().c_str());
}

void eval(const EvalFlags& flags) {
  if (flags.model.context < 2) bad_usage("--ctx 1: a piece needs at least two tokens, one to read and one to score");
  const EngineOptions options = evaluating(engine_options(flags.model));
  Engine engine = load_engine(flags.path, options);
  Session session = take(engine.open_session({.format = PromptFormat::text}), flags.path);
  const text::Tokenizer& tokenizer = engine.tokenizer();
  const auto tokens = tokens_of(tokenizer, flags);
  std::optional<Reference> reference;
  if (!flags.reference.empty()) reference = open_reference(flags, options, engine);

  const std::int32_t bos = tokenizer.add_bos() ? tokenizer.bos() : -1;
  Score score;
  Progress bar("scoring");
  const Stopwatch watch;
  std::size_t done = 0;
  for (const Piece& piece : cut_pieces(tokens, bos, flags.model.context)) {
    const std::span<const std::int32_t> read(piece.tokens.data(), piece.tokens.size() - 1);
    const bool whole = reference
                           ? score_both(piece, session, *reference, flags, score)
                           : evaluate(session, read, flags.path, [&](std::size_t i, std::span<const float> logits) {
                               score.add(logits, piece.tokens[i + 1]);
                               bar.show(static_cast<double>(done + i) / static_cast<double>(tokens.size()));
                             });
    if (!whole) break;
    done += piece.tokens.size();
    bar.show(static_cast<double>(done) / static_cast<double>(tokens.size()));
  }
  bar.clear();
  print(score, flags, watch.seconds());
}

}  // namespace

void add_eval(Program& program) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* app = program.app.add_subcommand("eval", "Mean loss and perplexity of a model on a text");
  app->add_option("model", flags->path, "GGUF file")->required();
  app->add_option("--text", flags->text, "UTF-8 text file")->required();
  app->add_option("--reference", flags->reference, "A second model: adds KL divergence and top-1 agreement with it");
  app->add_option("--limit", flags->limit, "Only the first so many tokens of the text")->transform(whole(2, 1 << 30));
  add_model_flags(*app, flags->model, 512);
  app->callback([&program, flags] { program.action = [flags] { eval(*flags); }; });
}

}  // namespace kinglet::cli

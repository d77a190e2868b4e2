// Does a real model say what it says with FP32 arithmetic elsewhere? The reference values are of transformers with the
// weights de-quantized to FP32.
#include <kinglet/kinglet.hpp>

#include <chrono>
#include <cmath>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "examples/cli/pieces.hpp"
#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/sanitized.hpp"

using namespace kinglet;

namespace {

constexpr const char* question = "Name three colours of the rainbow.";
constexpr const char* system_message = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

EngineOptions reference_setting() {
  EngineOptions options;
  options.activations = Activations::fp32;
  options.kv = KvFormat::fp32;
  options.scores = ScoreFormat::fp32;
  return options;
}

/// The numbers of a JSON array that holds nothing else, the first one of this key.
std::vector<std::int32_t> numbers(const std::string& json, const std::string& key) {
  std::vector<std::int32_t> list;
  std::size_t at = json.find("\"" + key + "\"");
  REQUIRE(at != std::string::npos);
  at = json.find('[', at);
  const std::size_t end = json.find(']', at);
  REQUIRE(end != std::string::npos);
  while (at < end) {
    list.push_back(std::stoi(json.substr(at + 1)));
    at = std::min(json.find(',', at + 1), end);
  }
  return list;
}

double number(const std::string& json, const std::string& key) {
  const std::size_t at = json.find("\"" + key + "\"");
  REQUIRE(at != std::string::npos);
  return std::stod(json.substr(json.find(':', at) + 1));
}

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// -ln of the probability of a token. Source: the definition of the softmax, in FP64.
double nll(std::span<const float> logits, std::int32_t token) {
  double largest = -1e300, sum = 0;
  for (const float l : logits) largest = std::max(largest, static_cast<double>(l));
  for (const float l : logits) sum += std::exp(static_cast<double>(l) - largest);
  return largest + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

/// Mean nll of the first `limit` tokens of a text, in pieces of 512 tokens; `all` receives the text's tokens.
double loss(EngineOptions options, const std::string& text, std::size_t limit, std::vector<std::int32_t>& all) {
  constexpr std::size_t context = 512, rows = 64;
  options.context = context;
  options.max_sessions = 1;
  options.max_rows = rows;
  options.max_logits = rows;
  options.threads = 2;
  options.pre_tokenizer = "gpt-2";  // the reference's tokens; the file names "smollm", which cuts digits apart
  auto engine = Engine::load(test::model_cache(test::smollm2), options);
  REQUIRE(engine.ok());
  std::pmr::vector<std::int32_t> tokens(std::pmr::new_delete_resource());
  REQUIRE(engine->tokenizer().encode(text, {.add_special = false}, tokens).ok());
  all.assign(tokens.begin(), tokens.end());
  auto session = engine->open_session({.format = PromptFormat::text});
  REQUIRE(session.ok());

  const std::int32_t bos = engine->tokenizer().add_bos() ? engine->tokenizer().bos() : -1;
  double sum = 0;
  std::size_t scored = 0;
  for (const auto& piece : cli::cut_pieces(std::span(all).first(std::min(limit, all.size())), bos, context)) {
    REQUIRE(session->reset().ok());
    const std::span<const std::int32_t> read(piece.tokens.data(), piece.tokens.size() - 1);
    REQUIRE(session
                ->evaluate(read,
                           [&](std::uint32_t i, std::span<const float> logits) {
                             sum += nll(logits, piece.tokens[i + 1]);
                             ++scored;
                           })
                .ok());
  }
  REQUIRE(scored > 0);
  return sum / static_cast<double>(scored);
}

}  // namespace

TEST_CASE("SmolLM2 answers as its FP32 reference does, token for token", "[slow]") {
  const std::string model = test::model_cache(test::smollm2), path = test::data("models/reference.json");
  if (model.empty()) return test::skip("the answer of a real model", test::smollm2);
  if (path.empty()) return test::skip("the answer of a real model", "models/reference.json");
  const std::string reference = contents(path);
  const std::vector<std::int32_t> prompt = numbers(reference, "prompt_tokens");
  const std::vector<std::int32_t> answer = numbers(reference, "greedy_tokens");
  REQUIRE(answer.size() > 40);

  EngineOptions options = reference_setting();
  options.context = 256;
  options.threads = 2;
  auto engine = Engine::load(model, options);
  REQUIRE(engine.ok());
  GenerateOptions generate;
  generate.max_new_tokens = static_cast<std::uint32_t>(answer.size());
  const std::vector<std::int32_t> whole = [&] {
    std::vector<std::int32_t> list = prompt;
    list.insert(list.end(), answer.begin(), answer.end());
    return list;
  }();

  SECTION("from the prompt's tokens") {
    auto session = engine->open_session({.format = PromptFormat::text});
    REQUIRE(session.ok());
    REQUIRE(session->submit_tokens(prompt, generate).ok());
    while (session->state() == SessionState::running) REQUIRE(engine->step(std::chrono::seconds(1)).ok());
    CHECK(session->finish_reason() == FinishReason::length);
    CHECK(std::vector<std::int32_t>(session->history().begin(), session->history().end()) == whole);
  }
  SECTION("through the model's chat template, with its own or a given system message") {
    for (const char* system : {"", system_message}) {
      auto session = engine->open_session({.format = PromptFormat::chat, .system = system});
      REQUIRE(session.ok());
      const auto reason = session->generate(question, generate, [](const Token&) { return true; });
      REQUIRE(reason.ok());
      CHECK(*reason == FinishReason::length);
      CHECK(std::vector<std::int32_t>(session->history().begin(), session->history().end()) == whole);
    }
  }
}

TEST_CASE("SmolLM2's loss on a whole text: the reference's, and near it by default", "[slow]") {
  const std::string text = test::data("models/valid-small.txt"), path = test::data("models/reference.json");
  if (test::model_cache(test::smollm2).empty()) return test::skip("the loss of a real model", test::smollm2);
  if (text.empty() || path.empty()) return test::skip("the loss of a real model", "models/valid-small.txt");
  const std::string reference = contents(path);
  const double expected = number(reference, "ctx512");
#ifdef KINGLET_TEST_SANITIZED
  constexpr std::size_t scored = 1000;  // a sanitizer takes an hour for all, and would find no more
#else
  constexpr std::size_t scored = SIZE_MAX;
#endif
  std::vector<std::int32_t> tokens;
  const double exact = loss(reference_setting(), contents(text), scored, tokens);
  CHECK(tokens.size() == static_cast<std::size_t>(number(reference, "tokens")));
  const std::vector<std::int32_t> first = numbers(reference, "first_tokens");
  CHECK(std::vector<std::int32_t>(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(first.size())) == first);
  const double usual = loss({}, contents(text), scored, tokens);
  CAPTURE(exact, usual);
  if (scored < tokens.size()) {
    CHECK(usual == Approx(exact).epsilon(0.01));
    return;
  }
  CHECK(exact == Approx(expected).epsilon(0.0002));
  CHECK(usual == Approx(expected).epsilon(0.002));
}

// examples/cli/tokenize.cpp: kinglet tokenize: into which tokens does a model cut a text?
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <memory_resource>
#include <string>
#include <vector>

#include <kinglet/core/memory.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/model/vocabulary.hpp>
#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "files.hpp"
#include "json_line.hpp"
#include "program.hpp"

namespace kinglet::cli {
namespace {

struct TokenizeFlags {
  std::string path;
  std::string pre_tokenizer;
  bool no_bos = false;
  bool special = false;
  bool decode = false;
  bool json = false;
};

/// Ids from stdin, separated by spaces, line ends or commas.
std::vector<std::int32_t> read_ids() {
  const std::string text = read_text("-");
  std::vector<std::int32_t> ids;
  for (std::size_t at = 0; (at = text.find_first_not_of(" \t\r\n,", at)) != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(" \t\r\n,", at), text.size());
    std::int32_t id = 0;
    const auto parsed = std::from_chars(text.data() + at, text.data() + end, id);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + end)
      bad_input("stdin: '{}' is no token id; give numbers separated by spaces",
                text.substr(at, std::min<std::size_t>(end - at, 40)));
    ids.push_back(id);
    at = end;
  }
  return ids;
}

void decode(const text::Tokenizer& tokenizer, const TokenizeFlags& flags) {
  const std::vector<std::int32_t> ids = read_ids();
  std::pmr::string text;
  check(tokenizer.decode(ids, flags.special, text), "stdin");
  if (flags.json)
    print_line({{"text", std::string(text)}});
  else
    std::fwrite(text.data(), 1, text.size(), stdout);
}

void encode(const text::Tokenizer& tokenizer, const TokenizeFlags& flags) {
  const std::string text = read_text("-");
  std::pmr::vector<std::int32_t> ids;
  check(tokenizer.encode(text, {.add_special = !flags.no_bos, .parse_special = flags.special}, ids), "stdin");
  if (flags.json) return print_line({{"tokens", std::vector<std::int32_t>(ids.begin(), ids.end())}});
  for (std::size_t i = 0; i < ids.size(); ++i) std::printf(i == 0 ? "%d" : " %d", ids[i]);
  std::fputc('\n', stdout);
}

void tokenize(const TokenizeFlags& flags) {
  core::Memory memory;
  const model::Gguf file = take(model::Gguf::open(flags.path, memory), flags.path);
  const text::Tokenizer tokenizer = take(model::load_tokenizer(file, flags.pre_tokenizer, &memory), flags.path);
  flags.decode ? decode(tokenizer, flags) : encode(tokenizer, flags);
}

}  // namespace

void add_tokenize(Program& program) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* app = program.app.add_subcommand("tokenize", "Text on stdin to token ids, or back");
  app->add_option("model", flags->path, "GGUF file; one without weights will do")->required();
  CLI::Option* no_bos = app->add_flag("--no-bos", flags->no_bos, "Add no BOS (and no EOS), whatever the model says");
  CLI::Option* decode = app->add_flag("--decode", flags->decode, "Ids on stdin to text")->excludes(no_bos);
  app->add_flag("--special", flags->special, "Take (or spell) control tokens as such");
  app->add_option("--pre-tokenizer", flags->pre_tokenizer, "Cut text as this pre-tokenizer does, not as the file says")
      ->excludes(decode);
  app->add_flag("--json", flags->json, "One JSON object on stdout");
  app->callback([&program, flags] { program.action = [flags] { tokenize(*flags); }; });
}

}  // namespace kinglet::cli

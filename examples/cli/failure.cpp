#include "failure.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace kinglet::cli {
namespace {

/// What the library tells a programmer to do, as the command's user does it.
std::string rename_calls(std::string message) {
  constexpr std::pair<std::string_view, std::string_view> names[] = {
      {"open the session with PromptFormat::text", "'kinglet run --format text' continues a text"},
      {"the option pre_tokenizer (--pre-tokenizer NAME)", "--pre-tokenizer NAME"},
      {"; see Engine::plan()", "; 'kinglet inspect' tells what takes how much"},
  };
  for (const auto& [from, to] : names)
    if (const std::size_t at = message.find(from); at != std::string::npos) message.replace(at, from.size(), to);
  return message;
}

/// Options of the library (EngineOptions::gpu_layers, say) as options of the command.
std::string rename_options(std::string_view message) {
  constexpr std::string_view prefix = "EngineOptions::";
  std::string out;
  for (std::size_t at = 0; at < message.size();) {
    if (message.substr(at, prefix.size()) != prefix) {
      out += message[at++];
      continue;
    }
    at += prefix.size();
    const std::size_t end = std::min(message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at), message.size());
    const std::string_view name = message.substr(at, end - at);
    out += "--";
    for (const char c : name == "context" || name == "kv_tokens" ? std::string_view("ctx") : name)
      out += c == '_' ? '-' : c;
    at = end;
  }
  return out;
}

}  // namespace

std::string in_words(const Error& error, const std::string& where) {
  const std::string said = rename_calls(rename_options(error.message));
  constexpr std::size_t shown = 120;  // of a path, in the library's messages
  return said.compare(0, std::min(where.size(), shown), where, 0, shown) == 0 ? said : where + ": " + said;
}

}  // namespace kinglet::cli

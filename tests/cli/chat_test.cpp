// kinglet chat as a user meets it: a conversation that goes on, whatever is said.
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/cli/command.hpp"

using namespace kinglet::cli_test;

namespace {

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) out.push_back(nlohmann::json::parse(line));
  return out;
}

std::string tiny_model(const Folder& folder) {
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights int4").code == 0);
  return model;
}

}  // namespace

TEST_CASE("chat: a full context forgets the oldest turns and goes on") {
  const Folder folder;
  const std::string chat = "kinglet chat -m " + tiny_model(folder) + " --ctx 192 --json --system 'a smith'";
  std::string said;
  for (int i = 0; i < 12; ++i) said += "is the sword number " + std::to_string(i) + " ready\\n";
  for (const char* n : {" -n 8", ""}) {
    const Ran ran = shell(folder, "printf '" + said + "' | " + chat + n);
    INFO(ran.err);
    CHECK(ran.code == 0);
    const auto answers = lines_of(ran.out);
    REQUIRE(answers.size() == 12);
    for (const auto& answer : answers) {
      CHECK(answer.contains("text"));
      CHECK(answer["prompt_tokens"] < 192);
    }
    // One line of stderr for each time, and between two of them more than one turn.
    const auto notes = std::count(ran.err.begin(), ran.err.end(), '\n');
    CHECK(notes >= 1);
    CHECK(notes <= 6);
    CHECK(has(ran.err, "context of 192 tokens is full"));
    CHECK(has(ran.err, "oldest turns"));
  }
}

TEST_CASE("chat: after forgetting, an answer is what it is in a conversation that begins there") {
  const Folder folder;
  const std::string chat = "kinglet chat -m " + tiny_model(folder) + " --json -n 4 --ctx ";
  const std::string line = "is the sword ready, or shall I come back";
  const auto fresh = lines_of(shell(folder, "printf '" + line + "\\n/reset\\n" + line + "\\n' | " + chat + "256").out);
  REQUIRE(fresh.size() == 2);
  CHECK(fresh[0]["tokens"] == fresh[1]["tokens"]);
  const int context = fresh[0]["prompt_tokens"].get<int>() + 4;  // room for one message, and no past
  const Ran ran =
      shell(folder, "printf '" + line + "\\n" + line + "\\n" + line + "\\n' | " + chat + std::to_string(context));
  INFO(ran.err);
  const auto answers = lines_of(ran.out);
  REQUIRE(answers.size() == 3);
  for (const auto& answer : answers) {
    CHECK(answer["tokens"] == fresh[0]["tokens"]);
    CHECK(answer["prompt_tokens"] == fresh[0]["prompt_tokens"]);
  }
  CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') == 2);
}

TEST_CASE("chat: a message that cannot be answered is said to be so, and the next one is answered") {
  const Folder folder;
  const std::string model = tiny_model(folder);
  std::string long_line;
  for (int i = 0; i < 400; ++i) long_line += "gold ";
  write(folder / "said", "hello\n" + long_line + "\ncaf\xe9\nhello\n");
  const Ran ran = shell(folder, "kinglet chat -m " + model + " --ctx 128 -n 4 --json <" + folder.path + "/said");
  INFO(ran.err);
  CHECK(ran.code == 1);
  const auto answers = lines_of(ran.out);
  REQUIRE(answers.size() == 4);
  CHECK(answers[0].contains("text"));
  CHECK(has(answers[1]["error"].get<std::string>(), "--ctx"));
  CHECK(has(answers[2]["error"].get<std::string>(), "UTF-8"));
  CHECK(answers[3].contains("text"));
  CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') >= 2);
  check_error(shell(folder, "echo hello | kinglet chat -m " + model + " --ctx 128 -n 128"), 1, "-n 128");
  const Ran plain = shell(folder, "printf 'hello\\n\\n/exit\\nhello\\n' | kinglet chat -m " + model + " -n 4");
  CHECK(plain.code == 0);
  CHECK(plain.err.empty());
}

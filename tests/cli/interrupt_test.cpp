// Ctrl-C and long work at a terminal: what is shown meanwhile, and how it ends.
#include <string>

#include <nlohmann/json.hpp>

#include "tests/cli/command.hpp"
#include "tests/cli/terminal.hpp"

using namespace kinglet;
using namespace kinglet::cli_test;

namespace {

/// Takes a tiny model many seconds to read, with one thread of plain code.
std::string long_text() {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "all the gold of the king ";
  return text;
}

std::string tiny_model(const Folder& folder) {
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights int4").code == 0);
  return model;
}

}  // namespace

TEST_CASE("terminal: a long prompt shows its progress, and Ctrl-C ends it with what there is") {
  const Folder folder;
  const std::string model = tiny_model(folder);
  write(folder / "text", long_text());
  const std::string run =
      "run -m " + model + " --threads 1 --backend scalar --ctx 200000 --format text --json <" + folder.path + "/text";
  const Ran ran = at_terminal(folder, run, {{"reading [", ctrl_c}});
  INFO(ran.err);
  CHECK(ran.code == 130);
  CHECK(has(ran.err, " %"));
  const auto json = nlohmann::json::parse(ran.out);
  CHECK(json["finish_reason"] == "stopped");
  CHECK(json["prompt_tokens"] == 68003);
  CHECK(json["new_tokens"] == 0);
  CHECK(ran.err.substr(ran.err.size() - 4) == "\r\033[K");  // the bar is gone
}

TEST_CASE("terminal: eval and bench show their progress") {
  const Folder folder;
  const std::string model = tiny_model(folder);
  write(folder / "text", long_text());
  const Ran score = at_terminal(
      folder, "eval " + model + " --text " + folder.path + "/text --threads 1 --backend scalar --ctx 200000 --json",
      {{"scoring [", ctrl_c}});
  CHECK(score.code == 130);
  CHECK(nlohmann::json::parse(score.out)["interrupted"] == true);
  const Ran rate =
      at_terminal(folder, "bench " + model + " --threads 1 --backend scalar --prompt-tokens 30000 --repeats 9 --json",
                  {{"prefill and decode [", ctrl_c}});
  INFO(rate.err);
  CHECK(rate.code == 130);
  CHECK(nlohmann::json::parse(rate.out)["interrupted"] == true);
}

TEST_CASE("terminal: in a chat Ctrl-C stops one answer, and Ctrl-D ends it") {
  const Folder folder;
  write(folder / "system", long_text());
  const std::string chat = "chat -m " + tiny_model(folder) +
                           " --threads 1 --backend scalar --ctx 200000 -n 8 --json --system \"$(cat '" + folder.path +
                           "/system')\"";
  const Ran ran = at_terminal(folder, chat, {{"> ", "hello\n"}, {"reading [", ctrl_c}, {"> ", "/exit\n"}});
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(nlohmann::json::parse(ran.out)["finish_reason"] == "stopped");
  const std::string small = "chat -m " + quoted(folder / "tiny.gguf") + " -n 8 --json";
  CHECK(at_terminal(folder, small, {{"> ", "hello\n"}, {"> ", ctrl_d}}).code == 0);
  CHECK(at_terminal(folder, small, {{"> ", "hello\n"}, {"> ", ctrl_c}}).code == 130);
}

TEST_CASE("command: Ctrl-C while stdin is read ends at once with 130") {
  const Folder folder;
  tiny_model(folder);
  for (const char* command : {"run -m", "tokenize", "tokenize --decode", "chat -m"}) {
    // The shell holds both ends of the pipe: nothing ever comes, and no end.
    const Ran ran = shell(folder, "cd " + folder.path + " && rm -f pipe && mkfifo pipe && exec 3<>pipe && " +
                                      "timeout --preserve-status -k 20 -s INT 1 '" KINGLET_COMMAND "' " + command +
                                      " tiny.gguf <pipe");
    INFO(command << ": " << ran.err);
    CHECK(ran.code == 130);
    CHECK(ran.out.empty());
    CHECK(ran.err.empty());
  }
}

TEST_CASE("command: Ctrl-C at any moment of a load ends with 130", "[slow]") {
  if (test::model_cache(test::smollm2).empty()) return test::skip("Ctrl-C in a load", test::smollm2);
  const Folder folder;
  for (const char* after : {"0.02", "0.05", "0.1", "0.15", "0.2", "0.3", "0.5", "1"}) {
    const Ran ran = shell(folder, std::string("timeout --preserve-status -k 20 -s INT ") + after +
                                      " '" KINGLET_COMMAND "' run -p 'Once' -n 0 --format text --temp 5");
    INFO(after << ": " << ran.err);
    CHECK(ran.code == 130);
    CHECK(ran.err.empty());
  }
}

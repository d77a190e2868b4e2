// Ctrl-C and long work at a terminal: what is shown meanwhile, and how it ends.
#include <string>

#include <nlohmann/json.hpp>

#include "tests/cli/command.hpp"
#include "tests/cli/terminal.hpp"

using namespace kinglet;
using namespace kinglet::cli_test;

TEST_CASE("command: Ctrl-C while stdin is read ends at once with 130") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights int4").code == 0);
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

// How the command reads its options: numbers as they are spelt, defaults that fit, and what makes no sense together.
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "failure.hpp"
#include "numbers.hpp"
#include "tests/cli/command.hpp"

using namespace kinglet;
using namespace kinglet::cli_test;

namespace {

/// What a check makes of a text, or "no".
std::string checked(const CLI::Validator& check, std::string text) { return check(text).empty() ? text : "no"; }

}  // namespace

TEST_CASE("command: numbers are what they look like, or an error") {
  const Folder folder;
  const std::string run = "run -m " + small_model() + " -p x -n 1 ";
  CHECK(kinglet_command(folder, run + "--seed 18446744073709551615 --memory-limit 1G --ctx 64").code == 0);
  for (const char* value : {"-1", "-5", "-18446744073709551615", "99999999999999999999999", "1.5", "1e3", "0x10", "",
                            "k", "5q", "17179869184g", "nan"})
    check_error(kinglet_command(folder, run + "--memory-limit '" + value + "'"), 2, "--memory-limit");
  for (const char* value : {"-1", "18446744073709551616", "12345678901234567890123", "1.5", "nan", "", " 1", "0x10"}) {
    check_error(kinglet_command(folder, run + "--seed '" + value + "'"), 2, "--seed");
    check_error(kinglet_command(folder, "synth tiny-llama x --weights f16 --seed '" + std::string(value) + "'"), 2,
                "--seed");
    check_error(kinglet_command(folder, "bench x --seed '" + std::string(value) + "'"), 2, "--seed");
  }
  for (const char* option : {"--threads", "--ctx", "-n", "--window", "--top-k"})
    for (const char* value : {"-1", "-18446744073709551615", "18446744073709551617", "1.5", "nan"})
      check_error(kinglet_command(folder, run + option + " " + value), 2, option);
  for (const char* option : {"--temp", "--gate", "--top-p", "--min-p", "--typical-p", "--repeat-penalty",
                             "--presence-penalty", "--frequency-penalty"})
    for (const char* value : {"nan", "inf", "-inf", "1e999", "x", ""})
      check_error(kinglet_command(folder, run + option + " '" + value + "'"), 2, option);
}

TEST_CASE("command: how numbers are spelt") {
  CHECK(checked(cli::whole(0, 100), "010") == "10");  // CLI11 alone reads an octal number
  CHECK(checked(cli::whole(3, 100), "3") == "3");
  CHECK(checked(cli::whole(3, 100), "2") == "no");
  CHECK(checked(cli::whole(3, 100), "101") == "no");
  CHECK(checked(cli::whole(3, 100), "+5") == "no");
  CHECK(checked(cli::real(-1, 1), "-0.5") == "-0.5");
  CHECK(checked(cli::real(-1, 1), "1e-3") == "1e-3");
  CHECK(checked(cli::real(-1, 1), "1.0001") == "no");
  CHECK(checked(cli::real(-1, 1), "0.5x") == "no");
  CHECK(checked(cli::size(), "0") == "0");
  CHECK(checked(cli::size(), "7b") == "7");
  CHECK(checked(cli::size(), "2k") == "2048");
  CHECK(checked(cli::size(), "2KiB") == "2048");
  CHECK(checked(cli::size(), "3mb") == "3145728");
  CHECK(checked(cli::size(), "512M") == "536870912");
  CHECK(checked(cli::size(), "1t") == "1099511627776");
  CHECK(checked(cli::size(), "17179869183g") == "18446744072635809792");
  CHECK(checked(cli::size(), "1 k") == "no");
  CHECK(checked(cli::size(), "1kk") == "no");
  CHECK(cli::parse_ids("5,0,2147483647", "--tokens") == std::vector<std::int32_t>{5, 0, 2147483647});
}

TEST_CASE("command: logits takes a list of ids and nothing else") {
  const Folder folder;
  const std::string logits = "logits " + small_model() + " ";
  CHECK(kinglet_command(folder, logits + "--tokens 1,2,3 --top 1 --ctx 3").code == 0);
  for (const char* list : {"", ",", "1,,2", ",1", "1,", "1 2", "1,-2", "1,a", "1.5", "99999999999", "nan"})
    check_error(kinglet_command(folder, logits + "--tokens '" + list + "'"), 2, "--tokens");
  check_error(kinglet_command(folder, logits + "--tokens 1,2 --ctx 1"), 2, "--ctx 1");
  check_error(kinglet_command(folder, logits + "--tokens 1 --top 0"), 2, "--top");
}

TEST_CASE("command: without -n as much is generated as fits, with it as much as it says") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights int4").code == 0);
  const std::string run = "run -m " + model + " -p hello --ctx 64 --format text --json";
  const Ran fits = kinglet_command(folder, run);
  INFO(fits.err);
  REQUIRE(fits.code == 0);
  const bool whole = has(fits.out, "\"finish_reason\":\"length\"");
  CHECK((!whole || number(fits.out, "prompt_tokens") + number(fits.out, "new_tokens") == 64));
  CHECK(kinglet_command(folder, run + " -n 0").out.substr(0, 40) == fits.out.substr(0, 40));
  check_error(kinglet_command(folder, run + " -n 64"), 1, "-n 64");
  check_error(kinglet_command(folder, run + " -n 64"), 1, "room for");
  write(folder / "long", std::string(900, 'a') + " b c d e f g h i j k l m n o p");
  check_error(shell(folder, "kinglet run -m " + model + " --ctx 16 <" + folder.path + "/long"), 1, "--ctx");
}

TEST_CASE("command: what this build does not have is refused, and so is what makes no sense together") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights int4").code == 0);
  const std::string run = "run -p x -n 1 -m " + model;
  for (const std::string kv : {"fp8", "int4"}) {
    check_error(kinglet_command(folder, run + " --kv " + kv), 2, "--kv " + kv);
    check_error(kinglet_command(folder, "eval " + model + " --text x --kv " + kv), 2, "fp16 and fp32");
  }
  check_error(kinglet_command(folder, run + " --stop ''"), 2, "--stop");
  check_error(kinglet_command(folder, run + " --stop \"$(printf '\\351')\""), 2, "--stop");
  std::string stops;
  for (int i = 0; i < 17; ++i) stops += " --stop " + std::to_string(i);
  check_error(kinglet_command(folder, run + stops), 2, "--stop");
  check_error(kinglet_command(folder, run + " --format text --system 'a smith'"), 2, "--system");
  check_error(kinglet_command(folder, run + " --system \"$(printf '\\351')\""), 1, "--system");

  check_error(kinglet_command(folder, "inspect " + model + " --weights f16"), 2, "--weights");
  check_error(kinglet_command(folder, "inspect " + model + " --output-type f16"), 2, "--output-type");
  check_error(kinglet_command(folder, "tokenize " + model + " --decode --pre-tokenizer gpt-2"), 2, "--pre-tokenizer");
  const std::string out = quoted(folder / "out.gguf");
  check_error(kinglet_command(folder, "quantize " + model + " " + out + " --weights f16 --method rtn"), 2, "--method");
  const std::string bench = "bench " + model + " ";
  for (const std::string option :
       {"--weights f16", "--output-type f16", "--arrival-rate 3", "--long-prompt 600",
        "--suite decode --long-prompt 600", "--suite decode --budget-ms 3", "--suite decode --sessions 3",
        "--suite all --prompt-tokens 3", "--suite all --arrivals poisson", "--ctx 16", "--first-token --sessions 2"})
    check_error(kinglet_command(folder, bench + option), 2, "--");

  for (const std::string option : {"--top-k 3", "--top-p 0.9", "--min-p 0.1", "--typical-p 0.9"}) {
    const Ran ran = kinglet_command(folder, run + " " + option);
    CHECK(ran.code == 0);
    CHECK(has(ran.err, option.substr(0, option.find(' ')) + " changes nothing at --temp 0"));
    CHECK(kinglet_command(folder, run + " --temp 1 " + option).err.empty());
  }
  CHECK(kinglet_command(folder, run + " --seed 7 --repeat-penalty 1.1").err.empty());
}

TEST_CASE("command: messages speak of options and files, each once") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights int4").code == 0);
  const Ran directory = kinglet_command(folder, "run -p x -m " + folder.path);
  check_error(directory, 1, "kinglet: " + folder.path + ": is a directory");
  check_error(kinglet_command(folder, "synth tiny-llama " + folder.path + " --weights f16"), 1, "is a directory");
  check_error(kinglet_command(folder, "run -p x --memory-limit 100000 -m " + model), 1, "--memory-limit 100000");
  const double total = number(kinglet_command(folder, "inspect --json " + model).out, "plan_total_bytes");
  check_error(kinglet_command(folder, "run -p x --memory-limit 100000 -m " + model), 1,
              "takes " + std::to_string(static_cast<long>(total)) + " bytes");
  const std::string enough = std::to_string(static_cast<long>(total));
  CHECK(kinglet_command(folder, "run -n 1 -p x --memory-limit " + enough + " -m " + model).code == 0);
  check_error(kinglet_command(folder, "run -p x --system y -m " + small_model()), 1, "no chat template");
  check_error(kinglet_command(folder, "run -p x --format chat -m " + small_model()), 1, "--format text");

  const Error api{Errc::invalid_argument, "EngineOptions::gpu_layers is 3; see EngineOptions::context"};
  CHECK(cli::in_words(api, "a.gguf") == "a.gguf: --gpu-layers is 3; see --ctx");
  CHECK(cli::in_words({Errc::io_error, "a.gguf: is empty"}, "a.gguf") == "a.gguf: is empty");
  CHECK(cli::in_words({Errc::io_error, "is empty"}, "a.gguf") == "a.gguf: is empty");
  const std::string path(300, 'p');
  CHECK(cli::in_words({Errc::io_error, (path.substr(0, 120) + ": is empty").c_str()}, path) ==
        path.substr(0, 120) + ": is empty");
}

TEST_CASE("command: a prompt of 10 MB is refused in one line") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights int4").code == 0);
  write(folder / "prompt", std::string(10 << 20, 'a'));
  for (const char* format : {"text", "chat"}) {
    const Ran ran = shell(folder, "kinglet run -m " + model + " --format " + format + " <" + folder.path + "/prompt");
    check_error(ran, 1, "10485760 bytes");
    check_error(ran, 1, "--ctx");
  }
}

// kinglet pack as a user meets it: what it makes, and what is said of a file that is not as it made it.
#include <filesystem>
#include <string>

#include "tests/cli/command.hpp"

using namespace kinglet::cli_test;

TEST_CASE("command: a packed file runs as its original does, and a bad one says how to make it anew") {
  const Folder folder;
  const std::string in = quoted(folder / "in.gguf");
  const std::string out = quoted(folder / "out.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + in + " --weights int4").code == 0);
  const Ran packed = kinglet_command(folder, "pack " + in + " " + out + " --json");
  INFO(packed.err);
  REQUIRE(packed.code == 0);
  CHECK(number(packed.out, "bytes") == static_cast<double>(std::filesystem::file_size(folder / "out.gguf")));
  CHECK(number(packed.out, "bytes_before") == static_cast<double>(std::filesystem::file_size(folder / "in.gguf")));
  CHECK(has(kinglet_command(folder, "inspect " + out + " --json").out, "\"packed\":true"));
  CHECK(kinglet_command(folder, "inspect --check " + out).code == 0);
  const Ran logits = kinglet_command(folder, "logits " + in + " --tokens 1,2,3");
  CHECK(logits.code == 0);
  CHECK(kinglet_command(folder, "logits " + out + " --tokens 1,2,3").out == logits.out);
  check_error(kinglet_command(folder, "pack " + in + " " + in), 2, "same file");
  check_error(kinglet_command(folder, "pack " + out + " " + quoted(folder / "again.gguf")), 1, "original");
  check_error(kinglet_command(folder, "quantize " + out + " " + quoted(folder / "again.gguf") + " --weights int4"), 1,
              "original");
  CHECK_FALSE(std::filesystem::exists(folder / "again.gguf"));
  CHECK_FALSE(std::filesystem::exists(folder / "again.gguf.part"));

  const std::string whole = slurp(folder / "out.gguf");
  const std::size_t version = whole.find("kinglet.pack.version") + 20 + 4;
  REQUIRE(version < whole.size());
  std::string other = whole;
  other[version] = 9;
  write(folder / "version.gguf", other);
  check_error(kinglet_command(folder, "run -p x -m " + quoted(folder / "version.gguf")), 1, "kinglet pack");
  write(folder / "short.gguf", whole.substr(0, whole.size() / 2));
  check_error(kinglet_command(folder, "run -p x -m " + quoted(folder / "short.gguf")), 1, "kinglet pack");
  other = whole;
  other[whole.size() / 2] = static_cast<char>(other[whole.size() / 2] ^ 1);
  write(folder / "altered.gguf", other);
  const Ran altered = kinglet_command(folder, "inspect --check " + quoted(folder / "altered.gguf"));
  CHECK(altered.code == 1);
  CHECK(has(altered.err, "kinglet pack"));
}

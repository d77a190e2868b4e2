// What --json prints is JSON: one flat object, whatever the command and however it ends.
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/cli/command.hpp"

using namespace kinglet;
using namespace kinglet::cli_test;

namespace {

using Json = nlohmann::json;

/// The one object on stdout, which holds values and lists of values alone.
Json object_of(const Ran& ran) {
  INFO(ran.out.substr(0, 2000) << ran.err);
  const Json json = Json::parse(ran.out, nullptr, false);
  REQUIRE(json.is_object());
  for (const auto& [key, value] : json.items()) {
    INFO(key);
    CHECK_FALSE(value.is_object());
    if (!value.is_array()) continue;
    for (const Json& one : value) CHECK(one.is_primitive());
  }
  return json;
}

Json run_json(const Folder& folder, const std::string& arguments) {
  const Ran ran = kinglet_command(folder, arguments);
  CHECK(ran.code == 0);
  return object_of(ran);
}

std::string tiny_model(const Folder& folder) {
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights f16").code == 0);
  return model;
}

/// Ends `arguments` with Ctrl-C once `part` exists.
Ran interrupt_writing(const Folder& folder, const std::string& arguments, const std::string& part) {
  return shell(folder, "'" KINGLET_COMMAND "' " + arguments + " & for i in $(seq 3000); do [ -e " + part +
                           " ] && break; sleep 0.01; done; kill -INT $!; wait $!");
}

}  // namespace

TEST_CASE("json: every command that makes a model") {
  const Folder folder;
  const Json made = run_json(folder, "synth tiny-qwen3 " + quoted(folder / "a.gguf") + " --weights f16 --json");
  CHECK(made["bytes"] == std::filesystem::file_size(folder / "a.gguf"));
  const std::string in = quoted(folder / "a.gguf");
  const Json quantized =
      run_json(folder, "quantize " + in + " " + quoted(folder / "b.gguf") + " --weights int4 --json");
  CHECK(quantized["bytes"] == std::filesystem::file_size(folder / "b.gguf"));
  CHECK(quantized["relative_error"] > 0);
  const Json packed =
      run_json(folder, "pack " + quoted(folder / "b.gguf") + " " + quoted(folder / "c.gguf") + " --json");
  CHECK(packed["bytes_before"] == quantized["bytes"]);
}

TEST_CASE("json: every command that runs a model") {
  const Folder folder;
  const std::string model = tiny_model(folder);
  const Json run = run_json(folder, "run -m " + model + " -p 'the \"sword\"' -n 4 --temp 2 --json");
  CHECK(run["tokens"].size() == run["new_tokens"]);
  const Ran talk = shell(folder, "echo hello | kinglet chat -m " + model + " -n 4 --json");
  CHECK(object_of(talk)["prompt_tokens"] > 1);
  write(folder / "text", "hello there, who goes");
  CHECK(run_json(folder, "eval " + model + " --text " + folder.path + "/text --json")["tokens"] > 3);
  CHECK(object_of(shell(folder, "kinglet tokenize " + model + " --json <" + folder.path + "/text"))["tokens"].size() >
        3);
  const Ran text = shell(folder, "echo 300 34 400 | kinglet tokenize " + model + " --decode --json");
  CHECK(object_of(text)["text"].is_string());
  const Json rows = Json::parse(kinglet_command(folder, "logits " + model + " --tokens 1,2,3 --json").out);
  REQUIRE(rows["logits"].size() == 3);
  CHECK(rows["logits"][2].size() == 512);
  const Json top = Json::parse(kinglet_command(folder, "logits " + model + " --tokens 1,2,3 --top 2").out);
  CHECK(top["logits"][1].size() == 2);
  CHECK(top["logits"][1][0].size() == 2);
}

TEST_CASE("json: bench prints an object, and a list of them where it sweeps") {
  const Folder folder;
  const std::string bench = "bench " + tiny_model(folder) + " --threads 1 --repeats 1 --json ";
  const Ran one = kinglet_command(folder, bench + "--prompt-tokens 16 -n 4");
  CHECK(measured(one));
  CHECK(object_of(one)["decode_tokens_per_s"] > 0);
  const Ran ran = kinglet_command(folder, bench + "--suite decode,prefill -n 4");
  CHECK(measured(ran));
  const Json list = Json::parse(ran.out);
  REQUIRE(list.size() == 2);
  CHECK(list[0]["work"] == "decode");
  for (const Json& row : list)
    for (const auto& [key, value] : row.items()) CHECK(value.is_primitive());
}

TEST_CASE("json: inspect tells of a shape what it tells of a file of that shape") {
  const Folder folder;
  for (const std::string shape : {"tiny-llama", "tiny-qwen2", "tiny-qwen3"}) {
    for (const std::string weights : {"int4", "f16"}) {
      for (const std::string more :
           {"", " --ctx 5000 --kv fp32 --activations fp32 --threads 3 --output-weights int8"}) {
        const std::string model = quoted(folder / (shape + weights + ".gguf"));
        REQUIRE(kinglet_command(folder, "synth " + shape + " " + model + " --weights " + weights).code == 0);
        Json file = run_json(folder, "inspect " + model + " --json" + more);
        Json plan = run_json(folder, "inspect --shape " + shape + " --weights " + weights + " --json" + more);
        CHECK(file["plan_total_bytes"] > file["file_bytes"]);
        CHECK(file["tensor_names"].size() == file["tensor_sizes"].size());
        CHECK(plan["shape"] == shape);
        plan.erase("shape");
        file.erase("path");
        CHECK(plan == file);
      }
    }
  }
  const std::string inspect = "inspect --shape tiny-llama ";
  CHECK(kinglet_command(folder, inspect + "--backend quantum").code == 1);
  check_error(kinglet_command(folder, inspect + "--globals 3"), 2, "--window");
  check_error(kinglet_command(folder, inspect + "--check"), 2, "--check");
  check_error(kinglet_command(folder, inspect + "--kv fp8"), 2, "--kv fp8");
  check_error(kinglet_command(folder, inspect + "--weights int4 --output-type q6_k"), 2, "64 columns");
  const Ran above = kinglet_command(folder, inspect + "--memory-limit 100k");
  CHECK(above.code == 1);
  CHECK(has(above.err, "--memory-limit 102400"));
  CHECK(has(above.out, "plan_total_bytes"));
}

TEST_CASE("json: what Ctrl-C ends says so, and leaves no file") {
  const Folder folder;
  const std::string out = folder / "big.gguf";
  const Ran made = interrupt_writing(folder, "synth llama-3-8b " + out + " --weights f32 --json", out + ".part");
  CHECK(made.code == 130);
  const Json json = object_of(made);
  CHECK(json["interrupted"] == true);
  CHECK(json["path"] == out);
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK_FALSE(std::filesystem::exists(out + ".part"));
}

TEST_CASE("json: quantize and pack that Ctrl-C ends say so", "[slow]") {
  const std::string model = test::model_cache(test::smollm2);
  if (model.empty()) return test::skip("Ctrl-C in quantize and pack", test::smollm2);
  const Folder folder;
  const std::string out = folder / "out.gguf";
  for (const char* command : {"quantize ", "pack "}) {
    const std::string more = *command == 'q' ? " --weights int4 --json" : " --json";
    const Ran ran = interrupt_writing(folder, command + quoted(model) + " " + out + more, out + ".part");
    const Json json = object_of(ran);
    CHECK(json["path"] == out);
    CHECK((ran.code == 130) == (json.contains("interrupted")));
    CHECK(std::filesystem::exists(out) == (ran.code == 0));
    CHECK_FALSE(std::filesystem::exists(out + ".part"));
    std::filesystem::remove(out);
  }
}

// The command as a user meets it: what it prints, what it says when something is wrong, and with which code it ends.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <kinglet/ops/backend.hpp>
#include <nlohmann/json.hpp>

#include "sha256.hpp"
#include "tests/cli/command.hpp"

using namespace kinglet;
using namespace kinglet::cli_test;

namespace {

/// What `inspect --json` says of a tensor: shape, format, bytes.
std::string tensor_of(const std::string& text, const std::string& name) {
  const auto json = nlohmann::json::parse(text);
  const auto& names = json["tensor_names"];
  const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  if (at == names.size()) return "";
  return json["tensor_shapes"][at].get<std::string>() + " " + json["tensor_formats"][at].get<std::string>() + " " +
         json["tensor_sizes"][at].dump();
}

}  // namespace

TEST_CASE("command: a tiny model is made, looked at, and runs") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  const Ran made = kinglet_command(folder, "synth tiny-llama " + model + " --weights int4 --json");
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK(number(made.out, "bytes") > 50000);

  const Ran seen = kinglet_command(folder, "inspect " + model + " --check --ctx 128 --json");
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(has(seen.out, "\"architecture\":\"llama\""));
  CHECK(number(seen.out, "vocab") == 512);
  CHECK(number(seen.out, "plan_total_bytes") > number(seen.out, "file_bytes"));
  CHECK(number(seen.out, "checked_values") == number(seen.out, "parameters"));

  const std::string run = "run -m " + model + " -p 'the sword' -n 8";
  const Ran first = kinglet_command(folder, run + " --json");
  INFO(first.err);
  REQUIRE(first.code == 0);
  CHECK(number(first.out, "new_tokens") <= 8);
  const Ran text = kinglet_command(folder, run);
  CHECK(text.code == 0);
  CHECK(kinglet_command(folder, run + " --threads 2").out == text.out);
  CHECK(kinglet_command(folder, run + " --temp 1 --seed 3").out ==
        kinglet_command(folder, run + " --temp 1 --seed 3").out);
  CHECK(shell(folder, "printf 'the sword' | kinglet run -m " + model + " -n 8 --threads 1").out == text.out);

  const Ran talk =
      shell(folder, "printf 'hello\\n/reset\\nhello\\n' | kinglet chat -m " + model + " -n 4 --json --ctx 256");
  INFO(talk.err);
  CHECK(talk.code == 0);
  CHECK(std::count(talk.out.begin(), talk.out.end(), '\n') == 2);
  CHECK(talk.out.substr(0, talk.out.find("\"prefill")) ==
        talk.out.substr(talk.out.find('\n') + 1).substr(0, talk.out.find("\"prefill")));

  const Ran measured = kinglet_command(
      folder, "bench " + model + " --prompt-tokens 16 -n 4 --sessions 2 --budget-ms 1 --repeats 2 --threads 1 --json");
  INFO(measured.err);
  REQUIRE(kinglet::cli_test::measured(measured));
  for (const char* key : {"prefill_tokens_per_s", "decode_tokens_per_s", "weight_bytes_per_token", "kv_bytes_per_token",
                          "read_gb_per_s", "vnni_gops", "vnni_group32_gops", "fp32_gflops", "decode_bandwidth_fraction",
                          "prefill_peak_fraction", "prefill_group32_fraction", "step_p99_ms", "step_p999_ms",
                          "spin_p99_ms", "spin_p999_ms", "longest_wait_ms", "peak_rss_bytes", "load_ms"})
    CHECK(number(measured.out, key) > 0);
  CHECK(number(measured.out, "rows") == 2);

  // A large KV cache is in memory from the start where that is asked for.
  const std::string roomy = "bench " + model + " --prompt-tokens 16 -n 4 --ctx 100000 --repeats 1 --threads 1 --json";
  const Ran lazy = kinglet_command(folder, roomy), ready = kinglet_command(folder, roomy + " --prefault");
  REQUIRE(kinglet::cli_test::measured(lazy));
  REQUIRE(kinglet::cli_test::measured(ready));
  CHECK(number(ready.out, "peak_rss_bytes") > number(lazy.out, "peak_rss_bytes") + 1e7);
}

TEST_CASE("command: bench measures every row, beside a peer's results, and draws them") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights int4").code == 0);
  write(folder / "other.json", "[{\"n_prompt\": 512, \"n_gen\": 0, \"avg_ts\": 0.5}]");
  const std::string suite = "bench " + model +
                            " --suite all --prefault --long-prompt 600 --repeats 1 -n 8 --threads 1 --compare " +
                            quoted(folder / "other.json");
  const Ran rows = kinglet_command(folder, suite + " --json --plot " + quoted(folder / "roofs.svg"));
  INFO(rows.err);
  REQUIRE(measured(rows));
  CHECK(rows.out.substr(0, 2) == "[{");
  for (const char* work : {"\"decode\"", "\"prefill 512\"", "\"decode of 8\"", "\"decode of 32\"", "\"at 600\"",
                           "\"steps of 2 ms\"", "\"start to first token\""})
    CHECK(rows.out.find(std::string("\"work\":") + work) != std::string::npos);
  CHECK(number(rows.out, "start_to_first_token_ms") > 0);
  CHECK(number(rows.out, "attention_peak_fraction") > 0);
  CHECK(number(rows.out, "peer_other_prefill_ratio") > 0);
  CHECK(slurp(folder / "roofs.svg").substr(0, 4) == "<svg");

  const Ran arriving =
      kinglet_command(folder, "bench " + model + " --prompt-tokens 16 -n 4 --sessions 3 --repeats 1 " +
                                  "--arrivals poisson --arrival-rate 100 --budget-ms 1 --threads 1 --json");
  INFO(arriving.err);
  REQUIRE(measured(arriving));
  CHECK(number(arriving.out, "first_token_p99_ms") > 0);

  write(folder / "bad.json", "[{\"n_prompt\": 512, \"n_gen\": 0, \"avg_ts\": -1}]");
  check_error(kinglet_command(folder, "bench " + model + " --compare " + quoted(folder / "bad.json")), 1, "avg_ts");
  check_error(kinglet_command(folder, "bench " + model + " --compare nowhere.json"), 1, "nowhere.json");
  check_error(kinglet_command(folder, "bench " + model + " --suite decode,dance"), 2, "--suite");
  check_error(kinglet_command(folder, "bench " + model + " --suite all --arrivals poisson"), 2, "--arrivals");
  check_error(
      kinglet_command(folder, "bench " + model + " --suite prefill --repeats 1 --threads 1 --plot /nowhere/x.svg"), 1,
      "/nowhere/x.svg");
}

TEST_CASE("command: tokenize goes there and back") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights f16").code == 0);
  const std::string text = "The smith's sword, 12 gold \xc3\xa9\xe2\x82\xac!\n";
  write(folder / "text", text);
  const Ran ids = shell(folder, "kinglet tokenize " + model + " <" + folder.path + "/text");
  const Ran plain = shell(folder, "kinglet tokenize " + model + " --no-bos <" + folder.path + "/text");
  REQUIRE(ids.code == 0);
  CHECK(ids.out == "500 " + plain.out);
  CHECK(shell(folder, "kinglet tokenize " + model + " --no-bos <" + folder.path + "/text | kinglet tokenize " + model +
                          " --decode")
            .out == text);
  CHECK(shell(folder, "echo '<|im_end|>' | kinglet tokenize " + model + " --special --no-bos").out.substr(0, 4) ==
        "503 ");
  check_error(shell(folder, "echo 1 two 3 | kinglet tokenize " + model + " --decode"), 1, "'two'");
  check_error(shell(folder, "echo 512 | kinglet tokenize " + model + " --decode"), 1, "512");
  check_error(shell(folder, "echo a | kinglet tokenize " + model + " --pre-tokenizer nonsense"), 1, "nonsense");
  check_error(shell(folder, "kinglet tokenize " + model + " --decode --no-bos </dev/null"), 2, "--no-bos");
}

TEST_CASE("command: logits and eval agree with each other") {
  const Folder folder;
  const std::string model = quoted(folder / "tiny.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-qwen2 " + model + " --weights q8_0").code == 0);
  write(folder / "text", "hello there, who goes");
  const Ran ids = shell(folder, "kinglet tokenize " + model + " --no-bos <" + folder.path + "/text");
  std::istringstream stream(ids.out);
  std::vector<int> tokens;
  for (int id = 0; stream >> id;) tokens.push_back(id);
  REQUIRE(tokens.size() > 3);
  std::string list;
  for (const int id : tokens) list += std::to_string(id) + ",";
  list.pop_back();

  const Ran rows = kinglet_command(folder, "logits " + model + " --tokens " + list);
  REQUIRE(rows.code == 0);
  CHECK(std::count(rows.out.begin(), rows.out.end(), '[') == static_cast<long>(tokens.size()) + 1);
  double nll = 0;
  const char* at = rows.out.c_str() + rows.out.find('[');
  for (std::size_t row = 0; row + 1 < tokens.size(); ++row) {  // the model adds no BOS: the first token is not scored
    std::vector<double> logits;
    at = std::strchr(at + 1, '[') + 1;
    for (char* end = nullptr; logits.size() < 512; at = end + 1) logits.push_back(std::strtod(at, &end));
    double sum = 0;
    for (const double l : logits) sum += std::exp(l);
    nll += std::log(sum) - logits[static_cast<std::size_t>(tokens[row + 1])];
    --at;
  }
  const Ran score = kinglet_command(folder, "eval " + model + " --text " + folder.path + "/text --json");
  INFO(score.err);
  REQUIRE(score.code == 0);
  CHECK(number(score.out, "tokens") == static_cast<double>(tokens.size() - 1));
  CHECK(number(score.out, "nll") == Approx(nll / static_cast<double>(tokens.size() - 1)).epsilon(1e-5));
  CHECK(number(score.out, "perplexity") == Approx(std::exp(number(score.out, "nll"))).epsilon(1e-9));

  const Ran same =
      kinglet_command(folder, "eval " + model + " --text " + folder.path + "/text --json --reference " + model);
  CHECK(number(same.out, "kl_divergence") == Approx(0).margin(1e-9));
  CHECK(number(same.out, "top1_agreement") == 1);
  const Ran top = kinglet_command(folder, "logits " + model + " --tokens 1,2 --top 3");
  CHECK(std::count(top.out.begin(), top.out.end(), '[') == 1 + 2 + 6);
}

TEST_CASE("command: quantize keeps what a model says of itself") {
  const Folder folder;
  const std::string in = quoted(folder / "in.gguf");
  const std::string out = quoted(folder / "out.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-qwen3 " + in + " --weights f16").code == 0);
  const Ran rtn = kinglet_command(folder, "quantize " + in + " " + out + " --weights int4 --method rtn --json");
  INFO(rtn.err);
  REQUIRE(rtn.code == 0);
  const Ran lsq = kinglet_command(folder, "quantize " + in + " " + out + " --weights int4 --json");
  CHECK(number(lsq.out, "relative_error") < number(rtn.out, "relative_error"));
  const Ran seen = kinglet_command(folder, "inspect " + out + " --json");
  CHECK(seen.code == 0);
  CHECK(tensor_of(seen.out, "blk.0.ffn_up.weight") == "192 x 64 Q4_0 6912");
  CHECK(tensor_of(seen.out, "token_embd.weight") == "512 x 64 Q8_0 34816");  // the output layer
  CHECK(tensor_of(seen.out, "output_norm.weight") == "64 F32 256");
  CHECK(has(seen.out, "\"chat_template\":true"));
  CHECK(kinglet_command(folder, "run -m " + out + " -p hello -n 2").code == 0);
  check_error(kinglet_command(folder, "quantize " + in + " " + in + " --weights int4"), 2, "same file");
  check_error(kinglet_command(folder, "quantize " + in + " " + out + " --weights int5"), 2, "int5");
  check_error(kinglet_command(folder, "quantize " + in + " " + out + " --weights int4 --group 128"), 2, "--group 128");
  check_error(kinglet_command(folder, "quantize " + in + " /nonexistent/x.gguf --weights int4"), 1,
              "/nonexistent/x.gguf");
  CHECK_FALSE(std::filesystem::exists(folder / "out.gguf.part"));
}

TEST_CASE("command: bad usage ends with 2 and one line") {
  const Folder folder;
  check_error(kinglet_command(folder, ""), 2, "ubcommand");
  check_error(kinglet_command(folder, "dance"), 2, "dance");
  check_error(kinglet_command(folder, "run --no-such-option"), 2, "--no-such-option");
  check_error(kinglet_command(folder, "run -m x -p y --threads 0"), 2, "--threads");
  check_error(kinglet_command(folder, "run -m x -p y --threads many"), 2, "--threads");
  check_error(kinglet_command(folder, "run -m x -p y --ctx 99999999999"), 2, "--ctx");
  check_error(kinglet_command(folder, "run -m x -p y --temp -1"), 2, "--temp");
  check_error(kinglet_command(folder, "run -m x -p y --gate 1"), 2, "--gate");
  check_error(kinglet_command(folder, "run -m x -p y --activations int3"), 2, "--activations");
  check_error(kinglet_command(folder, "run -m x -p y --globals 8"), 2, "--window");
  const bool has_cuda = kinglet::ops::find_backend("cuda").error().code != kinglet::Errc::not_found;
  if (!has_cuda) check_error(kinglet_command(folder, "run -m x -p y --gpu-layers 3"), 2, "GPU");
  if (!has_cuda) check_error(kinglet_command(folder, "run -m x -p y --bits device"), 2, "--bits");
  check_error(kinglet_command(folder, "inspect"), 2, "MODEL");
  check_error(kinglet_command(folder, "inspect x --shape tiny-llama"), 2, "MODEL");
  check_error(kinglet_command(folder, "inspect --shape gpt-9"), 2, "tiny-llama");
  check_error(kinglet_command(folder, "eval x"), 2, "--text");
  check_error(kinglet_command(folder, "eval x --text y --ctx 1"), 2, "--ctx");
  check_error(kinglet_command(folder, "logits x --tokens 1,a"), 2, "--tokens");
  check_error(kinglet_command(folder, "synth tiny-llama x --weights q9"), 2, "q9");
  check_error(kinglet_command(folder, "synth nothing x --weights f16"), 2, "nothing");
  check_error(kinglet_command(folder, "synth tiny-llama " + folder.path + "/x --weights q4_0 --output-type q6_k"), 2,
              "64 columns");
  check_error(kinglet_command(folder, "bench"), 2, "--synthetic");
}

TEST_CASE("command: bad input ends with 1 and one line") {
  const Folder folder;
  const std::string model = small_model();
  if (!kinglet::ops::find_backend("cuda"))
    check_error(kinglet_command(folder, "run -m " + model + " -p y --backend cuda"), 1, "cuda");
  write(folder / "binary", std::string("text\0more", 9));
  write(folder / "latin1", "caf\xe9");
  write(folder / "empty", "");
  check_error(kinglet_command(folder, "run -m /nonexistent/model.gguf -p x"), 1, "/nonexistent/model.gguf");
  check_error(kinglet_command(folder, "run -m " + folder.path + " -p x"), 1, folder.path);
  check_error(kinglet_command(folder, "run -m " + folder.path + "/binary -p x"), 1, "binary");
  check_error(kinglet_command(folder, "eval " + model + " --text /nonexistent.txt"), 1, "/nonexistent.txt");
  check_error(kinglet_command(folder, "eval " + model + " --text " + folder.path + "/binary"), 1, "offset 4");
  check_error(kinglet_command(folder, "eval " + model + " --text " + folder.path + "/latin1"), 1, "offset 3");
  check_error(kinglet_command(folder, "eval " + model + " --text " + folder.path + "/empty"), 1, "empty");
  check_error(kinglet_command(folder, "eval " + model + " --text " + folder.path), 1, "directory");
  check_error(kinglet_command(folder, "run -m " + model + " -p x --backend quantum"), 1, "quantum");
  check_error(kinglet_command(folder, "run -m " + model + " -p x --memory-limit 1k"), 1, "memory");
  check_error(kinglet_command(folder, "run -m " + model + " -p ''"), 1, "prompt");
  check_error(kinglet_command(folder, "run -m " + model + " -p \"$(printf '\\351')\""), 1, "UTF-8");
  check_error(kinglet_command(folder, "run -m " + model + " -p aaaa -n 8 --ctx 4"), 1, "4");
  check_error(kinglet_command(folder, "chat -m " + model), 1, "template");
  {
    const Ran ran = kinglet_command(folder, "logits " + model + " --tokens 1,999999");
    check_error(ran, 1, "999999");
  }
  check_error(shell(folder, "KINGLET_CACHE=" + folder.path + " kinglet run -p x"), 1, "examples/run.sh");
  write(folder / "SmolLM2-135M-Instruct.Q4_1.gguf", "not the model");
  check_error(shell(folder, "KINGLET_CACHE=" + folder.path + " kinglet run -p x"), 1, "SHA-256");
}

TEST_CASE("command: an unknown family is named") {
  const Folder folder;
  std::string bytes = slurp(test::fixture("model/fixtures/llama-gqa-tied.gguf"));
  const std::string key = "general.architecture";
  const std::size_t at = bytes.find(key);
  REQUIRE(at != std::string::npos);
  bytes.replace(at + key.size() + 4 + 8, 5, "mamba");
  write(folder / "mamba.gguf", bytes);
  check_error(kinglet_command(folder, "run -m " + folder.path + "/mamba.gguf -p x"), 1, "mamba");
  const Ran seen = kinglet_command(folder, "inspect " + folder.path + "/mamba.gguf");
  CHECK(seen.code == 1);
  CHECK(has(seen.err, "mamba"));
  CHECK(has(seen.out, "token_embd.weight"));
}

TEST_CASE("command: Ctrl-C ends it with what there is") {
  const Folder folder;
  const std::string model = quoted(folder / "model.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights f32").code == 0);
  std::string text;
  for (int i = 0; i < 60000; ++i) text += "all the gold of the king ";
  write(folder / "text", text);
  Ran ran;
  for (int seconds = 2; seconds <= 32; seconds *= 2) {  // a slow machine needs longer for its first tokens
    ran = shell(folder, "timeout --preserve-status -s INT " + std::to_string(seconds) + " '" KINGLET_COMMAND "' eval " +
                            model + " --text " + folder.path + "/text --threads 1 --json");
    if (ran.code != 130 || number(ran.out, "tokens") > 0) break;
  }
  INFO(ran.err);
  CHECK(ran.code == 130);
  CHECK(has(ran.out, "\"interrupted\":true"));
  CHECK(ran.err.empty());  // no bar where there is no terminal
  CHECK(number(ran.out, "tokens") > 0);
}

TEST_CASE("examples: hello answers on a tiny model, and is the README's first program") {
  const Folder folder;
  const std::string model = quoted(folder / "model.gguf");
  REQUIRE(kinglet_command(folder, "synth tiny-llama " + model + " --weights q8_0").code == 0);
  const Ran ran = shell(folder, std::string("'") + KINGLET_EXAMPLES + "/hello' " + model + " 'Is the sword ready?'");
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(ran.out.size() > 1);
  const std::string readme = slurp(std::string(KINGLET_SOURCE_DIR) + "/README.md");
  const std::string program = slurp(std::string(KINGLET_SOURCE_DIR) + "/examples/hello.cpp");
  CHECK(has(readme, "```cpp\n" + program + "```\n"));
}

TEST_CASE("command: SmolLM2 answers as the reference does", "[slow]") {
  const std::string model = test::model_cache(test::smollm2);
  const std::string text = test::data("models/valid-small.txt");
  if (model.empty()) return test::skip("the command on SmolLM2", test::smollm2);
  if (text.empty()) return test::skip("the command on SmolLM2", "models/valid-small.txt");
  const Folder folder;
  const std::string reference = "--activations fp32 --kv fp32 --scores fp32";
  const Ran answer = kinglet_command(folder, "run -p 'Name three colours of the rainbow.' -n 48 --json " + reference);
  INFO(answer.err);
  REQUIRE(answer.code == 0);
  CHECK(has(answer.out,
            "\"tokens\":[504,24594,314,253,3953,6968,28,564,357,506,441,915,563,260,4683,282,260,24594,30,1385,359"));
  CHECK(number(answer.out, "prompt_tokens") == 37);
  const Ran ids =
      shell(folder, "kinglet tokenize " + quoted(model) + " --no-bos --pre-tokenizer gpt-2 <" + quoted(text));
  cli::Sha256 hash;
  hash.add(ids.out.data(), ids.out.size() - 1);
  CHECK(hash.hex() == "c97f017a6f25ce66ab0801773a83279e09f8ee5ad311212f8c65febf61a94075");
}

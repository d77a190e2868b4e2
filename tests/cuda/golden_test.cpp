// The golden hashes of tests/golden/hashes.txt, made by the GPU's kernels on the emulator.
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <kinglet/model/config.hpp>
#include <kinglet/model/forward.hpp>
#include <kinglet/model/gguf.hpp>

#include "ops/split.hpp"
#include "tests/catch.hpp"
#include "tests/cuda/emulated.hpp"
#include "tests/data.hpp"
#include "tests/sha256.hpp"

using namespace kinglet;
using namespace kinglet::test;

namespace {

/// A model file on the emulated GPU, but for the embedding and the layers below `cut`, which the CPU has (0 = it has
/// nothing).
class Loaded {
 public:
  /// @param lent  the GPU reads the file where it is mapped
  Loaded(const std::string& name, ops::Activations activations, std::uint32_t rows, std::uint32_t cut = 0,
         bool lent = false)
      : steps_(&memory_), forward_(&memory_) {
    auto file = model::Gguf::open(fixture("golden/models/" + name + ".gguf"), memory_,
                                  lent ? model::FileAccess::map : model::FileAccess::copy);
    REQUIRE(file.ok());
    file_ = std::move(*file);
    const auto config = model::read_config(file_);
    REQUIRE(config.ok());
    REQUIRE(model::read_rotary_steps(file_, *config, steps_).ok());
    shape.dim = config->dim;
    shape.layers = config->layers;
    shape.heads = config->heads;
    shape.kv_heads = config->kv_heads;
    shape.head_dim = config->head_dim;
    shape.ffn = config->ffn;
    shape.vocab = config->vocab;
    shape.norm_eps = config->norm_eps;
    shape.rotary_pairs = config->rotary_pairs;
    shape.rotary_steps = steps_;
    shape.activations = activations;
    shape.max_rows = shape.max_logits = rows;
    shape.max_sequences = 1;
    shape.pages = 32;
    shape.lent = lent;
    model::Placement placement;
    placement.info = &emulated_cuda;
    placement.shape = cut == 0 ? shape : ops::SplitBackend::last_shape(shape, cut);
    placement.memory = &memory_;
    const auto made = emulated_cuda.create(placement.shape, {}, memory_);
    REQUIRE(made.ok());
    gpu_ = backend_ = placement.backend = *made;
    const std::span<const std::byte> file_bytes = file_.mapping(0);
    if (lent) REQUIRE(gpu_->lend({&file_bytes, 1}).ok());
    if (cut != 0) {
      placement.first_layers = cut;
      placement.first.info = &cpu_;
      placement.first.shape = ops::SplitBackend::first_shape(shape, cut);
      const auto first = cpu_.create(placement.first.shape, {}, memory_);
      REQUIRE(first.ok());
      first_ = placement.first.backend = *first;
      split_.emplace(*first_, *gpu_, shape, cut, &memory_);
      backend_ = &*split_;
    }
    const Status built = model::build_forward(file_, *config, {}, placement, forward_);
    REQUIRE(std::string(built.error().message) == "");
    if (lent) REQUIRE(placement.bytes == 0);
    for (std::uint32_t i = 0; i < 32; ++i) pages_.push_back(31 - i);
  }
  ~Loaded() {
    split_.reset();
    if (gpu_ != nullptr) emulated_cuda.destroy(gpu_, memory_);
    if (first_ != nullptr) cpu_.destroy(first_, memory_);
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  /// Adds the logits of `count` tokens, from position `first` on, to the hash.
  void step(const std::vector<std::int32_t>& tokens, std::uint32_t first, std::uint32_t count, Sha256& hash) {
    std::vector<ops::Row> rows;
    std::vector<std::uint32_t> all;
    for (std::uint32_t i = 0; i < count; ++i) {
      rows.push_back({tokens[first + i], first + i, 0});
      all.push_back(i);
    }
    const ops::Sequence sequence{0, count, first, pages_.data()};
    REQUIRE(backend_->begin({rows, {&sequence, 1}, all, {}}).ok());
    for (const ops::Op& op : forward_.ops) {
      for (std::uint32_t phase = 0; phase < backend_->phases(op); ++phase) {
        REQUIRE(backend_->run(op, phase, 0, backend_->work(op, phase).tiles).ok());
      }
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto logits = backend_->logits(i);
      REQUIRE(logits.ok());
      hash.add(std::as_bytes(*logits));
    }
  }

  ops::ContextShape shape;

 private:
  core::Memory memory_;
  std::pmr::vector<std::uint64_t> steps_;
  model::Gguf file_;
  model::Forward forward_;
  const ops::BackendInfo& cpu_ = **ops::find_backend("");
  ops::Backend* gpu_ = nullptr;
  ops::Backend* first_ = nullptr;
  std::optional<ops::SplitBackend> split_;
  ops::Backend* backend_ = nullptr;
  std::vector<std::uint32_t> pages_;
};

std::vector<std::int32_t> golden_tokens(std::uint32_t vocab) {
  std::vector<std::int32_t> tokens;
  std::uint32_t x = 1;
  for (int i = 0; i < 512; ++i) {
    x = 1664525u * x + 1013904223u;
    tokens.push_back(static_cast<std::int32_t>((x >> 16) % vocab));
  }
  return tokens;
}

std::string golden(const std::string& model, const std::string& activations) {
  std::ifstream file(fixture("golden/hashes.txt"));
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, form, hash;
    if (words >> name >> form >> hash && name == model && form == activations) return hash;
  }
  return "";
}

}  // namespace

TEST_CASE("the golden hashes hold on the GPU's kernels", "[golden]") {
  const std::pair<ops::Activations, const char*> forms[] = {
      {ops::Activations::int8, "int8"}, {ops::Activations::fp32, "fp32"}, {ops::Activations::fp8, "fp8"}};
  for (const char* name : {"plain", "groups", "super", "q4"}) {
    for (const auto& [form, text] : forms) {
      // Float weights have one form; that of Q4_0 is read in groups.gguf too.
      if ((std::string(name) == "plain" || std::string(name) == "q4") && form != ops::Activations::int8) continue;
      emulator::Machine machine(std::size_t{1} << 30, false);  // watched in the shorter tests
      constexpr std::uint32_t chunk = 128;
      Loaded loaded(name, form, chunk);
      const std::vector<std::int32_t> tokens = golden_tokens(loaded.shape.vocab);
      Sha256 hash;
      for (std::uint32_t at = 0; at < 512; at += chunk) loaded.step(tokens, at, chunk, hash);
      INFO(name << " " << text);
      CHECK(hash.hex() == golden(name, text));
      CHECK(machine.device.reports.text() == "");
    }
  }
}

TEST_CASE("the golden hashes hold where an integrated GPU reads the mapped file", "[golden]") {
  for (const std::string name : {"plain", "groups", "super", "q4"}) {
    emulator::Machine machine(std::size_t{1} << 30, false);
    machine.integrated = true;
    constexpr std::uint32_t chunk = 128;
    {
      Loaded loaded(name, ops::Activations::int8, chunk, 0, true);
      CHECK(machine.device.allocations() == 1);
      const std::vector<std::int32_t> tokens = golden_tokens(loaded.shape.vocab);
      Sha256 hash;
      for (std::uint32_t at = 0; at < 512; at += chunk) loaded.step(tokens, at, chunk, hash);
      INFO(name);
      CHECK(hash.hex() == golden(name, "int8"));
    }
    CHECK(machine.lent.count() == 0);
    CHECK(machine.device.reports.text() == "");
  }
}

TEST_CASE("the golden hashes hold wherever a model is cut", "[golden]") {
  for (const std::string name : {"q4", "super"}) {
    for (std::uint32_t cut = 1; cut < (name == "q4" ? 3u : 2u); ++cut) {
      emulator::Machine machine(std::size_t{1} << 30, false);
      constexpr std::uint32_t chunk = 128;
      Loaded loaded(name, ops::Activations::int8, chunk, cut);
      REQUIRE(cut < loaded.shape.layers);
      const std::vector<std::int32_t> tokens = golden_tokens(loaded.shape.vocab);
      Sha256 hash;
      for (std::uint32_t at = 0; at < 512; at += chunk) loaded.step(tokens, at, chunk, hash);
      INFO(name << " cut at " << cut);
      CHECK(hash.hex() == golden(name, "int8"));
    }
  }
}

TEST_CASE("a whole model, watched, token by token and in a chunk") {
  for (const char* name : {"plain", "groups"}) {
    std::vector<std::string> hashes;
    for (const std::uint32_t chunk : {1u, 6u}) {
      emulator::Machine machine;
      machine.device.order = emulator::Order::shuffled;
      Loaded loaded(name, ops::Activations::int8, chunk);
      const std::vector<std::int32_t> tokens = {3, 1, 4, 1, 5, 9};
      Sha256 hash;
      for (std::uint32_t at = 0; at < 6; at += chunk) loaded.step(tokens, at, chunk, hash);
      hashes.push_back(hash.hex());
      CHECK(machine.device.reports.text() == "");
    }
    CHECK(hashes[0] == hashes[1]);
  }
}

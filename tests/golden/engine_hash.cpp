// tests/golden/engine_hash.cpp: does a foreign machine give the pinned bits, under a hostile host too?
//
//   engine_hash FOLDER BACKEND [ACTIVATIONS]   every line of FOLDER/hashes.txt (or those of one kind of activations) on
//                                              that backend, two threads; says each, and exits 1 where one differs
//
// A program of its own, without a test framework, so that it can be cross-compiled and run under an emulator (neon.sh).
// The caller flushes subnormals to zero, makes every NaN the default one and rounds upwards.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <kinglet/engine.hpp>

#include "tests/sha256.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using namespace kinglet;

namespace {

std::uint64_t control() {
  std::uint64_t value = 0;
#if defined(__aarch64__)
  __asm__ volatile("mrs %0, fpcr" : "=r"(value));
#else
  value = _mm_getcsr() & ~0x3fu;
#endif
  return value;
}

void make_hostile() {
#if defined(__aarch64__)
  const std::uint64_t hostile = 1u << 24 | 1u << 25 | 1u << 22;  // FZ, DN, RMode = towards plus infinity
  __asm__ volatile("msr fpcr, %0" : : "r"(hostile));
#else
  _mm_setcsr(0x1f80 | 0x8000 | 0x0040 | 0x4000);  // FTZ, DAZ, rounding up
#endif
}

/// Does this machine, emulated or not, obey make_hostile()?
bool is_hostile() {
  volatile float one = 1.0f, little = 1e-9f, smallest = 1e-40f;
  return one + little > one && smallest * one == 0.0f;
}

/// "" where something failed, with a line on stderr.
std::string hash_of(const std::string& path, const EngineOptions& options) {
  auto engine = Engine::load(path, options);
  if (!engine) return std::fprintf(stderr, "%s\n", engine.error().message), "";
  auto session = engine->open_session();
  if (!session) return std::fprintf(stderr, "%s\n", session.error().message), "";
  std::vector<std::int32_t> tokens(512);
  std::uint32_t x = 1;
  for (std::int32_t& token : tokens) {
    x = 1664525u * x + 1013904223u;
    token = static_cast<std::int32_t>((x >> 16) % engine->model().vocab);
  }
  test::Sha256 hash;
  const Status status =
      session->evaluate(tokens, [&](std::uint32_t, std::span<const float> row) { hash.add(std::as_bytes(row)); });
  if (!status) return std::fprintf(stderr, "%s\n", status.error().message), "";
  return hash.hex();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string folder = argv[1], only = argc > 3 ? argv[3] : "";
  make_hostile();
  if (!is_hostile()) return std::fprintf(stderr, "this machine keeps its floating-point environment\n"), 1;
  const std::uint64_t hostile = control();
  std::ifstream file(folder + "/hashes.txt");
  int checked = 0, wrong = 0;
  for (std::string line; std::getline(file, line);) {
    std::string model, activations, pinned;
    if (line.starts_with('#') || !(std::istringstream(line) >> model >> activations >> pinned)) continue;
    if (!only.empty() && activations != only) continue;
    const std::string hash =
        hash_of(folder + "/models/" + model + ".gguf", {.backend = argv[2],
                                                        .threads = 2,
                                                        .context = 528,
                                                        .max_sessions = 1,
                                                        .activations = activations == "fp32"  ? Activations::fp32
                                                                       : activations == "fp8" ? Activations::fp8
                                                                                              : Activations::int8});
    const bool same = hash == pinned && control() == hostile;
    std::printf("%s %s %s\n", model.c_str(), activations.c_str(), same ? "pinned bits" : "OTHER BITS");
    checked += 1;
    wrong += same ? 0 : 1;
  }
  std::printf("%d of %d have the pinned bits\n", checked - wrong, checked);
  return checked > 0 && wrong == 0 ? 0 : 1;
}

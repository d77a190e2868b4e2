// On a real device, in a host that uses CUDA itself: its contexts, its device, its errors and its work are its own.
// Built only with the cuda backend, and in one program with the runtime that this uses too.
#include <cuda_runtime_api.h>

#include <string>
#include <thread>
#include <vector>

#include <kinglet/kinglet.hpp>

#include "tests/catch.hpp"
#include "tests/data.hpp"

using namespace kinglet;
using namespace kinglet::test;

namespace {

bool has_device() {
  const auto found = ops::find_backend("cuda");
  return found.ok();
}

/// The driver's idea of the calling thread's context.
void* current_context() {
  using GetCurrent = int (*)(void**);
  void *function = nullptr, *context = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  (void)cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &function, 12000, cudaEnableDefault, &result);
#else
  (void)cudaGetDriverEntryPoint("cuCtxGetCurrent", &function, cudaEnableDefault, &result);
#endif
  REQUIRE(function != nullptr);
  REQUIRE(reinterpret_cast<GetCurrent>(function)(&context) == 0);
  return context;
}

/// What a model answers. @param after_step  between steps, on the host's side
template <class AfterStep>
std::vector<std::int32_t> answer(const EngineOptions& options, AfterStep after_step) {
  auto engine = Engine::load(fixture("golden/models/plain.gguf"), options);
  REQUIRE(std::string(engine.error().message) == "");
  auto session = engine->open_session({.format = PromptFormat::text});
  REQUIRE(session.ok());
  std::vector<std::int32_t> ids;
  GenerateOptions generate;
  generate.max_new_tokens = 24;
  generate.ignore_end = true;
  REQUIRE(session->submit("x", generate).ok());
  while (session->state() == SessionState::running) {
    REQUIRE(engine->step(std::chrono::milliseconds(1)).ok());
    for (const Token& token : session->tokens()) ids.push_back(token.id);
    after_step();
  }
  return ids;
}

}  // namespace

TEST_CASE("on a GPU, a host without a context has none afterwards", "[gpu]") {
  if (!has_device()) return skip("a host beside the backend", "a build with KINGLET_CUDA=ON and an NVIDIA GPU");
  EngineOptions options;
  options.backend = "scalar";
  const auto expected = answer(options, [] {});
  options.backend = "cuda";
  std::vector<std::int32_t> got;
  std::vector<void*> contexts;
  std::thread([&] { got = answer(options, [&] { contexts.push_back(current_context()); }); }).join();
  CHECK(got == expected);
  for (void* const context : contexts) CHECK(context == nullptr);
}

TEST_CASE("on a GPU, a host's context, stream, memory and errors are its own", "[gpu]") {
  if (!has_device()) return skip("a host beside the backend", "a build with KINGLET_CUDA=ON and an NVIDIA GPU");
  int devices = 0;
  REQUIRE(cudaGetDeviceCount(&devices) == cudaSuccess);
  const int device = devices - 1;  // another one than the engine's, where there are two
  REQUIRE(cudaSetDevice(device) == cudaSuccess);
  cudaStream_t stream = nullptr;
  unsigned char* memory = nullptr;
  constexpr std::size_t bytes = std::size_t{1} << 24;
  REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&memory), bytes) == cudaSuccess);
  void* const context = current_context();
  REQUIRE(context != nullptr);

  EngineOptions options;
  options.backend = "cuda";
  (void)answer(options, [] {});  // the context, the kernels
  std::size_t before = 0, after = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&before, &total) == cudaSuccess);

  void* never = nullptr;
  REQUIRE(cudaMalloc(&never, ~std::size_t{0} / 2) != cudaSuccess);
  const cudaError_t pending = cudaPeekAtLastError();
  CHECK(pending != cudaSuccess);
  int steps = 0;
  (void)answer(options, [&] {
    CHECK(cudaPeekAtLastError() == pending);  // what a host has not asked for yet is still there
    CHECK(current_context() == context);
    int now = -1;
    CHECK(cudaGetDevice(&now) == cudaSuccess);
    CHECK(now == device);
    CHECK(cudaMemsetAsync(memory, ++steps % 256, bytes, stream) == cudaSuccess);
  });
  CHECK(cudaGetLastError() == pending);
  std::vector<unsigned char> copy(bytes);
  REQUIRE(cudaMemcpyAsync(copy.data(), memory, bytes, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(copy == std::vector<unsigned char>(bytes, static_cast<unsigned char>(steps % 256)));
  for (int i = 0; i < 8; ++i) (void)answer(options, [] {});
  REQUIRE(cudaMemGetInfo(&after, &total) == cudaSuccess);
  if (devices == 1) CHECK(after + (std::size_t{4} << 20) >= before);  // nothing of nine engines is left

  if (device == 0) {  // the engine's work on the host's own stream
    const auto expected = answer(options, [] {});
    options.stream = stream;
    CHECK(answer(options, [] {}) == expected);
    CHECK(cudaStreamQuery(stream) == cudaSuccess);  // which is still there
  }
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

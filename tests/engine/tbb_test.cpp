// May a job system that is not ours carry the work, and are the bits the same? oneTBB stands for the host's.
#include <cstring>
#include <vector>

#include "tests/bench/tbb_hooks.hpp"
#include "tests/data.hpp"
#include "tests/engine/tiny_engine.hpp"
#include "tests/sanitized.hpp"

using namespace kinglet;

#ifndef KINGLET_TEST_SANITIZED  // Debian's oneTBB synchronizes where no sanitizer sees it
TEST_CASE("oneTBB's threads give the bits that ours do") {
  for (const char* model : {"golden/models/q4.gguf", "golden/models/super.gguf"}) {
    for (const unsigned threads : {2u, 3u, 7u}) {
      std::vector<float> logits[2];
      test::TbbHost host;
      for (const bool lent : {false, true}) {
        EngineOptions options = test::small_options();
        options.threads = threads;
        if (lent) options.hooks = host.hooks();
        auto engine = Engine::load(test::fixture(model), options);
        REQUIRE(engine.ok());
        auto session = engine->open_session({.format = PromptFormat::text});
        REQUIRE(session.ok());
        std::vector<std::int32_t> tokens;
        for (std::int32_t i = 0; i < 37; ++i) tokens.push_back(i * 41 % 90);
        const Status status = session->evaluate(tokens, [&](std::uint32_t, std::span<const float> row) {
          logits[lent].insert(logits[lent].end(), row.begin(), row.end());
        });
        INFO(test::message(status.error()));
        REQUIRE(status.ok());
      }
      REQUIRE(logits[0].size() == logits[1].size());
      CHECK(std::memcmp(logits[0].data(), logits[1].data(), logits[0].size() * sizeof(float)) == 0);
    }
  }
}
#endif

// Whom does a number harm that is not finite?
#include <cstring>
#include <limits>

#include "tests/engine/tiny_engine.hpp"

using namespace kinglet;
using namespace std::chrono_literals;
using test::answer_of;
using test::TinyEngine;

TEST_CASE("a number that is not finite poisons its own session alone, and the layer is named") {
  test::GgufBytes file = test::tiny_model();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  SECTION("in the embedding of one token") {
    std::memcpy(file.find("token_embd.weight").data.data() + std::size_t{4} * 32 * 'Z', &nan, 4);
    TinyEngine tiny(test::small_options(), file);
    Session good = tiny.open(), bad = tiny.open();
    const auto expected = test::say(good, "abc", answer_of(20));
    REQUIRE(good.reset().ok());
    REQUIRE(good.submit("abc", answer_of(20)).ok());
    REQUIRE(bad.submit("abZc", answer_of(20)).ok());
    std::vector<std::int32_t> said;
    while (good.state() == SessionState::running) {
      REQUIRE(tiny.engine.step(1h).ok());
      for (const Token& token : good.tokens()) said.push_back(token.id);
    }
    CHECK(said == expected);
    CHECK(bad.state() == SessionState::poisoned);
    CHECK(bad.finish_reason() == FinishReason::failed);
    CHECK(bad.error().code == Errc::not_finite);
    CHECK(test::message(bad.error()) == "the embedding of position 2, which enters layer 0, is not finite");
    CHECK(bad.submit("abc").error().code == Errc::poisoned);
    CHECK(bad.rewind(0).error().code == Errc::poisoned);
    CHECK(bad.fork().error().code == Errc::poisoned);
    REQUIRE(bad.reset().ok());
    CHECK(bad.error().code == Errc::ok);
    CHECK(test::say(bad, "abc", answer_of(20)) == expected);
  }
  struct Place {
    const char* tensor;
    const char* says;
  };
  const auto [tensor, says] = GENERATE(values<Place>(
      {{"blk.0.attn_q.weight", "position 0 is not finite where it leaves layer 0, before layer 1"},
       {"blk.0.ffn_down.weight", "position 0 is not finite where it leaves layer 0, before layer 1"},
       {"blk.1.attn_output.weight", "position 0 is not finite where it leaves layer 1, before the output layer"},
       {"output.weight", "the output layer, or its norm, makes position 2 not finite"}}));
  SECTION(std::string("in ") + tensor) {
    std::memcpy(file.find(tensor).data.data(), &nan, 4);
    TinyEngine tiny(test::small_options(), file);
    Session session = tiny.open();
    const auto reason = session.generate("abc", answer_of(5), [](const Token&) { return true; });
    CHECK(reason.error().code == Errc::not_finite);
    CHECK(test::message(reason.error()) == says);
    CHECK(session.finish_reason() == FinishReason::failed);
    CHECK(session.reset().ok());
    const std::int32_t tokens[] = {1, 2, 3};
    const Error error = session.evaluate(tokens, [](std::uint32_t, std::span<const float>) {}).error();
    CHECK(error.code == Errc::not_finite);
    CHECK(test::says(error, std::strstr(says, "not finite")));
    CHECK(test::says(error, "layer"));
    CHECK(session.state() == SessionState::poisoned);
  }
}

// tests/model/vocabulary_faults_test.cpp: does a file that lies about its vocabulary get a clear answer?
#include <functional>
#include <string>
#include <vector>

#include <kinglet/engine.hpp>
#include <kinglet/model/vocabulary.hpp>

#include "tests/catch.hpp"
#include "tests/model/raw_gguf.hpp"
#include "tests/tiny_model.hpp"

using namespace kinglet;
using namespace kinglet::model;
using test::RawGguf;

namespace {

const std::vector<std::string> pieces = {"a", "b", "ab", "<|end|>"};

/// A vocabulary of four pieces, in which `write` gives one key's value itself; the key may be one that it has or a
/// further one.
RawGguf vocabulary(const std::string& key, const std::function<void(RawGguf&)>& write) {
  RawGguf file;
  const std::vector<std::pair<std::string, std::function<void(RawGguf&)>>> keys = {
      {"model", [](RawGguf& f) { f.key("tokenizer.ggml.model", ValueType::string).string("gpt2"); }},
      {"pre", [](RawGguf& f) { f.key("tokenizer.ggml.pre", ValueType::string).string("gpt-2"); }},
      {"tokens",
       [](RawGguf& f) {
         f.array("tokenizer.ggml.tokens", ValueType::string, pieces.size());
         for (const std::string& piece : pieces) f.string(piece);
       }},
      {"token_type",
       [](RawGguf& f) {
         f.array("tokenizer.ggml.token_type", ValueType::i32, 4);
         for (const std::int32_t type : {1, 1, 1, 3}) f.put(type);
       }},
      {"merges", [](RawGguf& f) { f.array("tokenizer.ggml.merges", ValueType::string, 1).string("a b"); }},
  };
  std::uint64_t count = keys.size() + 1;
  for (const auto& [name, usual] : keys) count -= name == key ? 1u : 0u;
  file.header(0, key.empty() ? count - 1 : count);
  for (const auto& [name, usual] : keys) {
    if (name != key) usual(file);
  }
  if (!key.empty()) write(file);
  return file;
}

Error error_of(const RawGguf& file) {
  core::Memory memory;
  const auto gguf = Gguf::from_memory(file.bytes, memory);
  INFO(gguf.error().message);
  REQUIRE(gguf.ok());
  return load_tokenizer(*gguf, "", &memory).error();
}

void refused(const RawGguf& file, const std::string& key) {
  const Error error = error_of(file);
  INFO(error.message);
  CHECK(error.code == Errc::bad_format);
  CHECK(std::string(error.message).find("tokenizer.ggml." + key) != std::string::npos);
}

std::size_t size_of(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean: return 1;
    case ValueType::u16:
    case ValueType::i16: return 2;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64: return 8;
    default: return 4;
  }
}

/// Four elements of a type, the number one each (or the string "x", or an array of one).
void put_elements(RawGguf& file, ValueType type, std::size_t n = 4) {
  for (std::size_t i = 0; i < n; ++i) {
    if (type == ValueType::string) {
      file.string("x");
    } else if (type == ValueType::array) {
      file.put(static_cast<std::uint32_t>(ValueType::u8)).put(std::uint64_t{1}).put(std::uint8_t{1});
    } else {
      const std::uint64_t one = 1;
      file.text({reinterpret_cast<const char*>(&one), size_of(type)});
    }
  }
}

constexpr ValueType all_types[] = {ValueType::u8,     ValueType::i8,    ValueType::u16, ValueType::i16,
                                   ValueType::u32,    ValueType::i32,   ValueType::f32, ValueType::boolean,
                                   ValueType::string, ValueType::array, ValueType::u64, ValueType::i64,
                                   ValueType::f64};

}  // namespace

TEST_CASE("vocabulary faults: the small file that the others are made from is whole") {
  CHECK(error_of(vocabulary("", {})).code == Errc::ok);
}

TEST_CASE("vocabulary faults: lists of the wrong type") {
  const auto allowed = [](const std::string& key, ValueType type) {
    if (key == "token_type") return type == ValueType::i32 || type == ValueType::u32;
    return type == (key == "scores" ? ValueType::f32 : ValueType::string);
  };
  for (const std::string key : {"tokens", "token_type", "merges", "scores"}) {
    for (const ValueType type : all_types) {
      CAPTURE(key, static_cast<int>(type));
      const std::string name = "tokenizer.ggml." + key;
      if (!allowed(key, type)) {
        refused(vocabulary(key, [&](RawGguf& f) { put_elements(f.array(name, type, 4), type); }), key);
        refused(vocabulary(key, [&](RawGguf& f) { f.array(name, type, 0); }), key);
      }
      if (type == ValueType::array) continue;
      refused(vocabulary(key, [&](RawGguf& f) { put_elements(f.key(name, type), type, 1); }), key);
    }
  }
}

TEST_CASE("vocabulary faults: lists of the wrong length") {
  for (const std::uint64_t n : {0u, 1u, 3u, 5u}) {
    CAPTURE(n);
    const auto list = [&](const char* key, ValueType type) {
      return vocabulary(key, [&](RawGguf& f) {
        put_elements(f.array(std::string("tokenizer.ggml.") + key, type, n), type, static_cast<std::size_t>(n));
      });
    };
    if (n == 0) {
      CHECK(error_of(list("token_type", ValueType::i32)).code == Errc::ok);  // as a file without types
      CHECK(error_of(list("scores", ValueType::f32)).code == Errc::ok);
      refused(list("tokens", ValueType::string), "tokens");
    } else {
      refused(list("token_type", ValueType::i32), "token_type");
      refused(list("scores", ValueType::f32), "scores");
      refused(list("tokens", ValueType::string), "token_type");
    }
  }
  for (const std::int32_t type : {0, 7, -1, 0x7fffffff}) {
    refused(vocabulary("token_type",
                       [&](RawGguf& f) {
                         f.array("tokenizer.ggml.token_type", ValueType::i32, 4).put(1).put(1).put(type).put(3);
                       }),
            "token_type[2]");
  }
}

TEST_CASE("vocabulary faults: names and switches of the wrong type") {
  for (const std::string key : {"pre", "add_bos_token", "add_eos_token", "add_space_prefix"}) {
    for (const ValueType type : all_types) {
      if (type == (key == "pre" ? ValueType::string : ValueType::boolean) || type == ValueType::array) continue;
      refused(vocabulary(key, [&](RawGguf& f) { put_elements(f.key("tokenizer.ggml." + key, type), type, 1); }), key);
    }
  }
}

TEST_CASE("vocabulary faults: ids of special tokens out of range") {
  for (const std::string which : {"bos", "eos", "eot", "eom", "unknown", "padding"}) {
    const std::string key = which + "_token_id", name = "tokenizer.ggml." + key;
    CAPTURE(key);
    const auto with = [&](ValueType type, auto value) {
      return vocabulary(key, [&](RawGguf& f) { f.key(name, type).put(value); });
    };
    for (const std::uint32_t id : {4u, 5u, 0x7fffffffu, 0x80000000u, 0xfffffffeu})
      refused(with(ValueType::u32, id), key);
    for (const std::uint64_t id : {std::uint64_t{1} << 32, (std::uint64_t{1} << 32) + 1, std::uint64_t{1} << 63,
                                   ~std::uint64_t{0} - 1, (std::uint64_t{1} << 32) - 1}) {
      refused(with(ValueType::u64, id), key);
    }
    for (const std::int32_t id : {-2, -100, INT32_MIN, 4, INT32_MAX}) refused(with(ValueType::i32, id), key);
    refused(with(ValueType::u8, std::uint8_t{255}), key);
    refused(with(ValueType::u16, std::uint16_t{65535}), key);
    refused(with(ValueType::f32, 1.0f), key);
    refused(with(ValueType::boolean, std::uint8_t{1}), key);
    refused(vocabulary(key, [&](RawGguf& f) { f.key(name, ValueType::string).string("3"); }), key);
    refused(vocabulary(key, [&](RawGguf& f) { f.array(name, ValueType::u32, 1).put(std::uint32_t{3}); }), key);
    // Converters' "none", and a good one in every width.
    CHECK(error_of(with(ValueType::i32, std::int32_t{-1})).code == Errc::ok);
    CHECK(error_of(with(ValueType::u32, std::uint32_t{0xffffffff})).code == Errc::ok);
    CHECK(error_of(with(ValueType::i64, std::int64_t{-1})).code == Errc::ok);
    CHECK(error_of(with(ValueType::u8, std::uint8_t{3})).code == Errc::ok);
    CHECK(error_of(with(ValueType::i64, std::int64_t{3})).code == Errc::ok);
  }
}

namespace {

/// A tiny model with a piece of so many bytes, of this type.
std::string with_piece(std::size_t bytes, std::int32_t type) {
  test::TinyShape shape;
  shape.piece = std::string(bytes, 'x');
  shape.piece_type = type;
  return test::tiny_model(shape).bytes();
}

}  // namespace

TEST_CASE("vocabulary faults: a piece of a megabyte") {
  for (const std::int32_t type : {1, 2, 3, 4, 5, 6}) {
    for (const std::size_t bytes : {std::size_t{65537}, std::size_t{1} << 20}) {
      CAPTURE(type, bytes);
      const std::string file = with_piece(bytes, type);
      const Error error = Engine::load(test::as_bytes(file)).error();
      CHECK(error.code == Errc::bad_format);
      CHECK(std::string(error.message).find("tokenizer.ggml.tokens[256]") != std::string::npos);
    }
  }
}

TEST_CASE("vocabulary faults: the longest pieces that may be") {
  // The engine's memory follows the longest piece, and a prompt is measured by it before it is cut up.
  for (const std::int32_t type : {1, 2, 3, 4, 5, 6}) {
    const std::size_t most = type >= 2 && type <= 4 ? 1024 : 65536;
    CAPTURE(type);
    CHECK_FALSE(Engine::load(test::as_bytes(with_piece(most + 1, type))).ok());
    const std::string bytes = with_piece(most, type);
    auto engine = Engine::load(test::as_bytes(bytes), {.context = 64, .max_sessions = 1});
    INFO(engine.error().message);
    REQUIRE(engine.ok());
    auto session = engine->open_session({.format = PromptFormat::text});
    REQUIRE(session.ok());
    std::string said;
    const auto reason =
        session->generate("over and over", {.max_new_tokens = 8, .ignore_end = true}, [&](const Token& token) {
          said.append(token.text);
          return true;
        });
    CHECK(reason.ok());
    REQUIRE(session->reset().ok());
    // As much text as might just fit, were it all of that piece; it is none of that piece's, but begins like it
    // everywhere.
    const std::string close = std::string(most - 1, 'x') + 'y';
    std::string text;
    for (int i = 0; i < 60; ++i) text += close;
    CHECK(session->submit(text, {.max_new_tokens = 1}).error().code == Errc::context_full);
    // The piece itself is one token where text may be it as it stands.
    const Status one = session->submit(std::string(most, 'x'), {.max_new_tokens = 1});
    CHECK((type == 4 ? one.ok() : one.error().code == Errc::context_full));
    // And the memory is what the plan says, to the byte.
    const test::TemporaryFile on_disk(bytes);
    EngineOptions options{.context = 64, .max_sessions = 1};
    const auto plan = Engine::plan(on_disk.path(), options);
    REQUIRE(plan.ok());
    options.memory_limit = plan->total;
    CHECK(Engine::load(on_disk.path(), options).ok());
    options.memory_limit -= 1;
    CHECK(Engine::load(on_disk.path(), options).error().code == Errc::out_of_memory);
  }
}

#include <kinglet/model/gguf_writer.hpp>

#include <array>
#include <cstring>
#include <vector>

#include "tests/catch.hpp"
#include "tests/counting.hpp"

using namespace kinglet;
using namespace kinglet::model;

namespace {

struct Bytes {
  std::vector<std::byte> data;
  std::size_t limit = SIZE_MAX;

  ByteSink sink() {
    return {this, [](void* user, const std::byte* p, std::size_t n) {
              auto& self = *static_cast<Bytes*>(user);
              if (self.data.size() + n > self.limit) return false;
              self.data.insert(self.data.end(), p, p + n);
              return true;
            }};
  }
};

std::vector<std::byte> count(std::size_t n) {
  std::vector<std::byte> bytes(n);
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

constexpr std::array<std::uint64_t, 2> matrix = {32, 3};
constexpr std::array<std::uint64_t, 1> vector = {5};

}  // namespace

TEST_CASE("gguf writer: what it writes, the reader reads") {
  Bytes out;
  core::Memory memory;
  GgufWriter writer(out.sink(), &memory);
  const std::array<std::string_view, 3> words = {"a", "", "longer"};
  const std::array<std::int32_t, 2> numbers = {-1, 7};
  REQUIRE(writer.add("general.architecture", "llama"));
  REQUIRE(writer.add("n", 42u));
  REQUIRE(writer.add("x", 0.5f));
  REQUIRE(writer.add("yes", true));
  REQUIRE(writer.add("words", words));
  REQUIRE(writer.add("numbers", numbers));
  REQUIRE(writer.add_tensor("v", vector, quant::Format::f32));
  REQUIRE(writer.add_tensor("m", matrix, quant::Format::q4_0));
  REQUIRE(writer.begin());
  const auto data = count(5 * 4 + 3 * 18);
  REQUIRE(writer.write(std::span(data).first(7)));  // in parts of any size, across tensors
  REQUIRE(writer.write(std::span(data).subspan(7)));
  REQUIRE(writer.finish());

  const auto file = Gguf::from_memory(out.data, memory);
  INFO(static_cast<const char*>(file.error().message));
  REQUIRE(file);
  CHECK(file->version() == 3);
  CHECK(file->get_string("general.architecture") == "llama");
  CHECK(file->get_uint("n") == 42u);
  CHECK(file->get_float("x") == 0.5);
  CHECK(file->get_bool("yes") == true);
  std::pmr::vector<std::string_view> read;
  REQUIRE(file->get_strings("words", read));
  CHECK(std::vector<std::string_view>(read.begin(), read.end()) ==
        std::vector<std::string_view>(words.begin(), words.end()));
  REQUIRE(file->get_array("numbers"));
  CHECK(std::memcmp(file->get_array("numbers")->data.data(), numbers.data(), sizeof numbers) == 0);
  const TensorInfo* v = file->find("v");
  const TensorInfo* m = file->find("m");
  REQUIRE(v != nullptr);
  REQUIRE(m != nullptr);
  CHECK(std::memcmp(v->data, data.data(), 20) == 0);
  CHECK(m->format == quant::Format::q4_0);
  CHECK(m->dims[0] == 32);
  CHECK(m->dims[1] == 3);
  CHECK(std::memcmp(m->data, data.data() + 20, 54) == 0);

  Bytes copy;  // metadata goes over unchanged
  GgufWriter second(copy.sink(), &memory);
  for (const Gguf::Entry& entry : file->entries()) REQUIRE(second.add(entry));
  REQUIRE(second.begin());
  REQUIRE(second.finish());
  const auto again = Gguf::from_memory(copy.data, memory);
  INFO(static_cast<const char*>(again.error().message));
  REQUIRE(again);
  CHECK(again->get_string("general.architecture") == "llama");
  REQUIRE(again->get_strings("words", read));
  CHECK(read.size() == 3);
}

TEST_CASE("gguf writer: misuse is an error") {
  Bytes out;
  core::Memory memory;
  GgufWriter writer(out.sink(), &memory);
  REQUIRE(writer.add("n", 1u));
  CHECK(writer.add("n", 2u).error().code == Errc::invalid_argument);
  CHECK(writer.add("", 2u).error().code == Errc::invalid_argument);
  CHECK(writer.add("general.alignment", 64u).error().code == Errc::invalid_argument);
  CHECK(writer.add_tensor("", vector, quant::Format::f32).error().code == Errc::invalid_argument);
  CHECK(writer.add_tensor(std::string(64, 'x'), vector, quant::Format::f32).error().code == Errc::invalid_argument);
  CHECK(writer.add_tensor("odd", vector, quant::Format::q4_0).error().code == Errc::invalid_argument);
  CHECK(writer.add_tensor("none", {}, quant::Format::f32).error().code == Errc::invalid_argument);
  const std::array<std::uint64_t, 2> huge = {std::uint64_t{1} << 40, std::uint64_t{1} << 40};
  CHECK(writer.add_tensor("huge", huge, quant::Format::f32).error().code == Errc::invalid_argument);
  REQUIRE(writer.add_tensor("v", vector, quant::Format::f32));
  CHECK(writer.add_tensor("v", vector, quant::Format::f32).error().code == Errc::invalid_argument);
  const auto data = count(21);
  CHECK(writer.write(data).error().code == Errc::invalid_argument);
  CHECK(writer.finish().error().code == Errc::invalid_argument);
  REQUIRE(writer.begin());
  CHECK(writer.begin().error().code == Errc::invalid_argument);
  CHECK(writer.add("late", 1u).error().code == Errc::invalid_argument);
  CHECK(writer.add_tensor("late", vector, quant::Format::f32).error().code == Errc::invalid_argument);
  CHECK(writer.finish().error().code == Errc::invalid_argument);
  CHECK(writer.write(data).error().code == Errc::invalid_argument);  // one byte too many
  REQUIRE(writer.finish());
}

TEST_CASE("gguf writer: a full disk and a full memory are errors") {
  core::Memory memory;
  for (const std::size_t limit : {0u, 10u, 60u, 100u}) {
    Bytes out;
    out.limit = limit;
    GgufWriter writer(out.sink(), &memory);
    REQUIRE(writer.add("n", 1u));
    REQUIRE(writer.add_tensor("v", vector, quant::Format::f32));
    const Status begun = writer.begin();
    const Status written = begun ? writer.write(count(20)) : begun;
    CHECK(written.error().code == Errc::io_error);
  }
  core::Memory small({}, 64);
  Bytes out;
  GgufWriter writer(out.sink(), &small);
  CHECK(writer.add("key", std::string(100, 'x')).error().code == Errc::out_of_memory);
}

TEST_CASE("gguf writer: every allocation may fail") {
  test::CountingHeap heap;
  const std::array<std::string_view, 2> words = {"a", "a string too long to be kept in place"};
  const auto data = count(20);
  long allowed = 0;
  for (bool done = false; !done; ++allowed) {
    REQUIRE(allowed < 100);
    heap.countdown = allowed;
    {
      core::Memory memory(heap.hooks());
      Bytes out;
      GgufWriter writer(out.sink(), &memory);
      Status s = writer.add("a key too long to be kept in place", "value");
      if (s) s = writer.add("words", words);
      if (s) s = writer.add_tensor("v", vector, quant::Format::f32);
      if (s) s = writer.begin();
      if (s) s = writer.write(data);
      if (s) s = writer.finish();
      done = s.ok();
      if (!done) CHECK(s.error().code == Errc::out_of_memory);
    }
    CHECK(heap.used == 0);
  }
  CHECK(allowed > 5);
}

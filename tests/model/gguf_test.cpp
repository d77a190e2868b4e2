#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <kinglet/model/gguf.hpp>

#include "tests/catch.hpp"
#include "tests/data.hpp"
#include "tests/model/gguf_builder.hpp"

using namespace kinglet;
using namespace kinglet::model;
using kinglet::test::Bytes;

namespace {

Errc read(const Bytes& file) {
  core::Memory memory;
  const auto gguf = Gguf::from_memory(file.bytes(), memory);
  return gguf.error().code;
}

std::string message(const Bytes& file) {
  core::Memory memory;
  return Gguf::from_memory(file.bytes(), memory).error().message;
}

constexpr std::uint64_t huge = ~std::uint64_t{0};

/// A folder that goes with the test.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("kinglet_gguf_" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file(const char* name, const Bytes& bytes) const {
    std::ofstream out(path / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.bytes().data()), static_cast<std::streamsize>(bytes.bytes().size()));
    return (path / name).string();
  }
};

Bytes small_file() {
  Bytes b;
  b.header(2, 3);
  b.key("general.architecture", ValueType::string).string("llama");
  b.key("llama.block_count", ValueType::u32).put<std::uint32_t>(2);
  b.key("tokenizer.ggml.tokens", ValueType::array).put<std::uint32_t>(8).put<std::uint64_t>(2).string("a").string("");
  b.tensor("x", {3, 5}, 0, 0).tensor("y", {32, 1}, 2, 64);
  return b.data(64 + 18);
}

}  // namespace

TEST_CASE("a file's metadata and tensors are there by name") {
  const Bytes file = small_file();
  core::Memory memory;
  auto gguf = Gguf::from_memory(file.bytes(), memory);
  REQUIRE(gguf);
  CHECK(gguf->get_string("general.architecture") == "llama");
  CHECK(gguf->get_uint("llama.block_count") == 2u);
  CHECK_FALSE(gguf->get_uint("general.architecture"));  // of another type
  CHECK_FALSE(gguf->get_uint("llama.embedding_length"));
  std::pmr::vector<std::string_view> pieces;
  REQUIRE(gguf->get_strings("tokenizer.ggml.tokens", pieces));
  REQUIRE(pieces.size() == 2);
  CHECK(pieces[0] == "a");
  CHECK(gguf->get_strings("general.architecture", pieces).error().code == Errc::bad_format);

  REQUIRE(gguf->tensors().size() == 2);
  const TensorInfo* y = gguf->find("y");
  REQUIRE(y != nullptr);
  CHECK(y->format == quant::Format::q4_0);
  CHECK(y->bytes == 18);
  CHECK(gguf->find("x")->elements() == 15);
  CHECK(gguf->find("z") == nullptr);

  *gguf = Gguf();
  CHECK(memory.used() == 0);
}

TEST_CASE("a real file, mapped and copied, takes its bytes from the limit") {
  const std::string path = test::fixture("model/fixtures/qwen3.gguf");
  const std::size_t size = std::filesystem::file_size(path);
  for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
    core::Memory memory;
    auto gguf = Gguf::open(path, memory, access);
    REQUIRE(gguf);
    CHECK(gguf->bytes() == size);
    CHECK(gguf->mapped() == (access == FileAccess::map));
    CHECK(memory.used() >= size);
    CHECK(gguf->unchanged());
    core::Memory tight({}, size - 1);
    CHECK(Gguf::open(path, tight, access).error().code == Errc::out_of_memory);
    CHECK(tight.used() == 0);
  }
}

TEST_CASE("a file cut anywhere is an error") {
  const auto whole = small_file().bytes();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    core::Memory memory;
    INFO(n);
    CHECK(Gguf::from_memory(std::span(whole).first(n), memory).error().code == Errc::bad_format);
    CHECK(memory.used() == 0);
  }
}

// CVE-2024-21802, CVE-2024-23605, CVE-2024-32878, CVE-2025-49847, CVE-2025-52566, CVE-2025-53630, CVE-2026-7482,
// CVE-2026-21869, CVE-2026-27940, CVE-2026-33298, CVE-2026-43629: counts, lengths and products that wrap.
TEST_CASE("counts and lengths near the ends of their types are errors, and take no memory") {
  for (const std::uint64_t n :
       {huge, huge - 7, huge / 2, huge / 8, huge / 56 + 1, std::uint64_t{1} << 32, std::uint64_t{0xffffffff}}) {
    INFO(n);
    CHECK(read(Bytes().header(n, 0)) == Errc::bad_format);
    CHECK(read(Bytes().header(0, n)) == Errc::bad_format);
    CHECK(read(Bytes().header(0, 1).put(n).raw("key")) == Errc::bad_format);
    CHECK(read(Bytes().header(0, 1).key("k", ValueType::string).put(n).raw("value")) == Errc::bad_format);
    for (const ValueType type :
         {ValueType::u8, ValueType::u16, ValueType::f32, ValueType::f64, ValueType::string, ValueType::array}) {
      Bytes b;
      b.header(0, 1).key("k", ValueType::array).put(type).put(n).raw("0123456789abcdef");
      CHECK(read(b) == Errc::bad_format);
    }
    CHECK(read(Bytes().header(1, 0).put(n).raw("name").data(64)) == Errc::bad_format);
    CHECK(read(Bytes().header(1, 0).tensor("x", {n}, 0, 0).data(64)) == Errc::bad_format);
    CHECK(read(Bytes().header(1, 0).tensor("x", {4, n}, 0, 0).data(64)) == Errc::bad_format);
    CHECK(read(Bytes().header(1, 0).tensor("x", {4}, 0, n).data(64)) == Errc::bad_format);
    CHECK(read(Bytes().header(1, 0).tensor("x", {4}, 0, n & ~std::uint64_t{31}).data(64)) == Errc::bad_format);
  }
  const std::uint64_t square = std::uint64_t{1} << 32;  // its square is 2^64: zero, if it wrapped
  CHECK(read(Bytes().header(1, 0).tensor("x", {square, square}, 0, 0).data(64)) == Errc::bad_format);
  CHECK(read(Bytes().header(1, 0).tensor("x", {1 << 16, 1 << 16, 1 << 16, 1 << 16}, 0, 0).data(64)) ==
        Errc::bad_format);
}

TEST_CASE("tensors that make no sense are named") {
  const auto one = [](std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset) {
    return Bytes().header(1, 0).tensor("x.weight", std::move(dims), type, offset).data(128);
  };
  CHECK(read(one({}, 0, 0)) == Errc::bad_format);
  CHECK(read(one({1, 1, 1, 1, 1}, 0, 0)) == Errc::bad_format);
  CHECK(read(one({0}, 0, 0)) == Errc::bad_format);
  CHECK(read(one({4, 0}, 0, 0)) == Errc::bad_format);
  CHECK(read(one({4}, 0, 4)) == Errc::bad_format);    // not aligned
  CHECK(read(one({4}, 0, 128)) == Errc::bad_format);  // after the end
  CHECK(read(one({33}, 2, 0)) == Errc::bad_format);   // not a multiple of Q4_0's block
  CHECK(read(one({4}, 0xffff, 0)) == Errc::bad_format);
  CHECK(message(one({33}, 2, 0)).find("x.weight") != std::string::npos);

  // A type that exists but is not handled can be listed, not used.
  const Bytes iq = one({256}, 16, 0);
  core::Memory memory;
  const auto gguf = Gguf::from_memory(iq.bytes(), memory);
  REQUIRE(gguf);
  CHECK_FALSE(gguf->tensors()[0].format);

  CHECK(read(Bytes().header(2, 0).tensor("x", {8}, 0, 0).tensor("y", {8}, 0, 0).data(64)) ==
        Errc::bad_format);  // overlap
  CHECK(read(Bytes().header(2, 0).tensor("x", {16}, 0, 0).tensor("y", {8}, 0, 32).data(64)) == Errc::bad_format);
  CHECK(read(Bytes().header(2, 0).tensor("x", {8}, 0, 0).tensor("x", {8}, 0, 32).data(64)) ==
        Errc::bad_format);  // twice
  CHECK(read(Bytes().header(2, 0).tensor("x", {8}, 0, 32).tensor("y", {8}, 0, 0).data(64)) == Errc::ok);
}

TEST_CASE("metadata that makes no sense is an error") {
  const auto u8 = [](const char* key) { return Bytes().header(0, 1).key(key, ValueType::u8).put<std::uint8_t>(1); };
  CHECK(read(u8("k")) == Errc::ok);
  CHECK(read(u8("")) == Errc::bad_format);
  CHECK(read(Bytes()
                 .header(0, 2)
                 .key("k", ValueType::u8)
                 .put<std::uint8_t>(1)
                 .key("k", ValueType::u8)
                 .put<std::uint8_t>(2)) == Errc::bad_format);
  CHECK(read(Bytes().header(0, 1).key("k", static_cast<ValueType>(13)).put<std::uint64_t>(1)) == Errc::bad_format);
  CHECK(read(Bytes()
                 .header(0, 1)
                 .key("k", ValueType::array)
                 .put<std::uint32_t>(99)
                 .put<std::uint64_t>(1)
                 .put<std::uint64_t>(1)) == Errc::bad_format);
  Bytes nested;
  nested.header(0, 1).key("k", ValueType::array);
  for (int depth = 0; depth < 100; ++depth) nested.put<std::uint32_t>(9).put<std::uint64_t>(1);
  CHECK(read(nested) == Errc::bad_format);

  for (const std::uint32_t alignment : {0u, 1u, 3u, 33u, 0x80000000u}) {
    CHECK(read(Bytes().header(0, 1).key("general.alignment", ValueType::u32).put(alignment)) == Errc::bad_format);
  }
  CHECK(read(Bytes().header(0, 1).key("general.alignment", ValueType::string).string("32")) == Errc::bad_format);

  CHECK(read(Bytes().raw("GGML").put<std::uint32_t>(3)) == Errc::bad_format);
  CHECK(read(Bytes().header(0, 0, 1)) == Errc::unsupported);
  CHECK(read(Bytes().header(0, 0, 4)) == Errc::unsupported);
  CHECK(read(Bytes().header(0, 0, 0x03000000)) == Errc::unsupported);  // big endian
  CHECK(read(Bytes().header(0, 0, 2)) == Errc::ok);
}

TEST_CASE("what is no readable file says why") {
  const Folder folder;
  core::Memory memory;
  CHECK(Gguf::open((folder.path / "none.gguf").string(), memory).error().code == Errc::not_found);
  CHECK(Gguf::open(folder.path.string(), memory).error().code == Errc::io_error);
  CHECK(Gguf::open("/dev/null", memory).error().code == Errc::io_error);
  CHECK(Gguf::open(folder.file("empty.gguf", Bytes()), memory).error().code == Errc::bad_format);
  CHECK(Gguf::open(std::string("a\0b", 3), memory).error().code == Errc::invalid_argument);
  const std::string secret = folder.file("secret.gguf", small_file());
  REQUIRE(::chmod(secret.c_str(), 0) == 0);
  if (::geteuid() != 0) CHECK(Gguf::open(secret, memory).error().code == Errc::io_error);
  CHECK(memory.used() == 0);
}

TEST_CASE("a split model is opened by any of its parts, and misses one by name") {
  const auto part = [](std::uint16_t index, const char* tensor, std::uint16_t parts = 2) {
    Bytes b;
    b.header(1, 3);
    b.key("split.no", ValueType::u16).put(index);
    b.key("split.count", ValueType::u16).put(parts);
    b.key("split.tensors.count", ValueType::i32).put<std::int32_t>(2);
    return b.tensor(tensor, {8}, 0, 0).data(32);
  };
  const Folder folder;
  const std::string first = folder.file("m-00001-of-00002.gguf", part(0, "x"));
  core::Memory memory;
  const auto alone = Gguf::open(first, memory);
  CHECK(alone.error().code == Errc::not_found);
  CHECK(std::string(alone.error().message).find("m-00002-of-00002.gguf") != std::string::npos);
  const std::string second = folder.file("m-00002-of-00002.gguf", part(1, "y"));
  for (const std::string& path : {first, second}) {
    const auto both = Gguf::open(path, memory);
    REQUIRE(both);
    CHECK(both->tensors().size() == 2);
    CHECK(both->find("y") != nullptr);
  }
  folder.file("m-00002-of-00002.gguf", part(1, "x"));  // the same tensor again
  CHECK(Gguf::open(first, memory).error().code == Errc::bad_format);
  folder.file("m-00002-of-00002.gguf", small_file());  // three tensors instead of two
  CHECK(Gguf::open(first, memory).error().code == Errc::bad_format);
  CHECK(Gguf::open(folder.file("renamed.gguf", part(0, "x")), memory).error().code == Errc::bad_format);
  CHECK(Gguf::open(folder.file("m-00001-of-00009.gguf", part(0, "x", 60000)), memory).error().code == Errc::bad_format);
  CHECK(read(part(0, "x")) == Errc::unsupported);
  CHECK(memory.used() == 0);
}

TEST_CASE("a file that is cut or written to while it is mapped is noticed; one that was copied does not care") {
  const Folder folder;
  const std::string path = folder.file("m.gguf", small_file());
  core::Memory memory;
  const auto mapped = Gguf::open(path, memory);
  const auto copied = Gguf::open(path, memory, FileAccess::copy);
  REQUIRE(mapped);
  REQUIRE(copied);
  CHECK(mapped->unchanged());
  std::filesystem::resize_file(path, 40);
  CHECK(mapped->unchanged().error().code == Errc::io_error);
  CHECK(copied->unchanged());
  CHECK(copied->find("y")->data[17] == std::byte{0});
}

TEST_CASE("whichever allocation fails, opening a file says so and keeps nothing") {
  struct Failing {
    std::size_t left;
    static void* allocate(void* user, std::size_t bytes, std::size_t alignment) {
      auto& self = *static_cast<Failing*>(user);
      return self.left-- == 0 ? nullptr : ::operator new(bytes, std::align_val_t(alignment), std::nothrow);
    }
    static void release(void*, void* memory, std::size_t, std::size_t alignment) {
      ::operator delete(memory, std::align_val_t(alignment));
    }
  };
  const std::string path = test::fixture("model/fixtures/qwen3.gguf");
  for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
    for (std::size_t n = 0;; ++n) {
      Failing failing{n};
      Hooks hooks;
      hooks.user = &failing;
      hooks.allocate = Failing::allocate;
      hooks.deallocate = Failing::release;
      core::Memory memory(hooks);
      const Errc code = Gguf::open(path, memory, access).error().code;
      CHECK(memory.used() == 0);
      if (code == Errc::ok) break;
      REQUIRE(code == Errc::out_of_memory);
      REQUIRE(n < 1000);
    }
  }
}

#include <kinglet/model/gguf.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/catch.hpp"
#include "tests/counting.hpp"
#include "tests/data.hpp"
#include "tests/model/raw_gguf.hpp"

using namespace kinglet;
using namespace kinglet::model;
using test::RawGguf;
namespace fs = std::filesystem;

namespace {

/// A folder that is gone with the test.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("kinglet-gguf-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string write(const std::string& name, const std::vector<std::byte>& bytes) const {
    const std::string file = (path / name).string();
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file;
  }
};

RawGguf one_tensor() {
  RawGguf file;
  file.header(1, 1).key("general.architecture", ValueType::string).string("llama");
  file.tensor("a", {4, 2}, 0, 0).data(32);
  return file;
}

RawGguf part(std::uint16_t number, std::uint16_t count, std::string_view tensor, std::int32_t tensors) {
  RawGguf file;
  file.header(1, 3).key("split.no", ValueType::u16).put(number).key("split.count", ValueType::u16).put(count);
  file.key("split.tensors.count", ValueType::i32).put(tensors);
  file.tensor(tensor, {8}, 0, 0).data(32);
  return file;
}

Error failure(const std::string& path, FileAccess access = FileAccess::map) {
  core::Memory memory;
  const auto file = Gguf::open(path, memory, access);
  CHECK(!file.ok());
  CHECK(memory.used() == 0);
  return file.error();
}

bool says(const Error& error, const std::string& words) {
  return std::string(error.message).find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("gguf: a model file's metadata and tensors") {
  core::Memory memory;
  const auto file = Gguf::open(test::fixture("model/fixtures/qwen3.gguf"), memory);
  INFO(static_cast<const char*>(file.error().message));
  REQUIRE(file);
  CHECK(file->version() == 3);
  CHECK(file->alignment() == 32);
  CHECK(file->get_string("general.architecture") == "qwen3");
  REQUIRE(file->get_uint("qwen3.block_count"));
  CHECK(*file->get_uint("qwen3.block_count") > 0);
  const TensorInfo* embedding = file->find("token_embd.weight");
  REQUIRE(embedding != nullptr);
  CHECK(embedding->rank == 2);
  CHECK(embedding->dims[0] == file->get_uint("qwen3.embedding_length"));
  CHECK(embedding->format.has_value());
  CHECK(embedding->bytes == quant::format_bytes(*embedding->format, embedding->elements()));
  CHECK(reinterpret_cast<std::uintptr_t>(embedding->data) % 32 == 0);
  CHECK(file->find("no such tensor") == nullptr);
  for (const TensorInfo& tensor : file->tensors()) CHECK(file->find(tensor.name) == &tensor);
}

TEST_CASE("gguf: values come in the type they have, and in no other") {
  RawGguf bytes;
  bytes.header(0, 16);
  bytes.key("u8", ValueType::u8).put(std::uint8_t{200}).key("i8", ValueType::i8).put(std::int8_t{-3});
  bytes.key("u16", ValueType::u16).put(std::uint16_t{60000}).key("i16", ValueType::i16).put(std::int16_t{7});
  bytes.key("u32", ValueType::u32).put(0xffffffffu).key("i32", ValueType::i32).put(std::int32_t{-1});
  bytes.key("u64", ValueType::u64).put(~std::uint64_t{0}).key("i64", ValueType::i64).put(std::int64_t{1} << 40);
  bytes.key("f32", ValueType::f32).put(0.5f).key("f64", ValueType::f64).put(0.1);
  bytes.key("yes", ValueType::boolean).put(std::uint8_t{1}).key("text", ValueType::string).string("\xc3\xa9");
  bytes.array("words", ValueType::string, 2).string("a").string("");
  bytes.array("numbers", ValueType::i32, 2).put(std::int32_t{-5}).put(std::int32_t{9});
  bytes.array("none", ValueType::f64, 0);
  bytes.array("nested", ValueType::array, 1).put(std::uint32_t{0}).put(std::uint64_t{1}).put(std::uint8_t{1});
  core::Memory memory;
  const auto file = Gguf::from_memory(bytes.bytes, memory);
  INFO(static_cast<const char*>(file.error().message));
  REQUIRE(file);
  CHECK(file->get_uint("u8") == 200u);
  CHECK(file->get_uint("u16") == 60000u);
  CHECK(file->get_uint("i16") == 7u);
  CHECK(file->get_uint("u32") == 0xffffffffu);
  CHECK(file->get_uint("u64") == ~std::uint64_t{0});
  CHECK(file->get_uint("i64") == std::uint64_t{1} << 40);
  CHECK(file->get_float("f32") == 0.5);
  CHECK(file->get_float("f64") == 0.1);
  CHECK(file->get_bool("yes") == true);
  CHECK(file->get_string("text") == "\xc3\xa9");
  for (const char* key : {"i8", "i32", "f32", "yes", "text", "words", "numbers", "none", "nested", "no"}) {
    CHECK(!file->get_uint(key));
  }
  for (const char* key : {"u8", "yes", "text", "words", "no"}) CHECK(!file->get_float(key));
  for (const char* key : {"u8", "f32", "text", "words", "no"}) CHECK(!file->get_bool(key));
  for (const char* key : {"u8", "f32", "yes", "words", "no"}) CHECK(!file->get_string(key));
  for (const char* key : {"u8", "f32", "yes", "text", "no"}) CHECK(!file->get_array(key));
  const auto numbers = file->get_array("numbers");
  REQUIRE(numbers);
  CHECK(numbers->type == ValueType::i32);
  CHECK(numbers->count == 2);
  CHECK(numbers->data.size() == 8);
  REQUIRE(file->get_array("none"));
  CHECK(file->get_array("none")->count == 0);
  CHECK(file->get_array("nested")->type == ValueType::array);
  std::pmr::vector<std::string_view> words(3, "old");
  REQUIRE(file->get_strings("words", words));
  REQUIRE(words.size() == 2);
  CHECK(words[0] == "a");
  CHECK(words[1].empty());
  CHECK(file->get_strings("numbers", words).error().code == Errc::bad_format);
  CHECK(file->get_strings("text", words).error().code == Errc::bad_format);
  CHECK(file->get_strings("nested", words).error().code == Errc::bad_format);
  CHECK(file->get_strings("no", words));
  CHECK(words.empty());
  CHECK(file->entries().size() == 16);
  CHECK(file->has("nested"));
  CHECK(!file->has("nest"));
}

TEST_CASE("gguf: a tensor of a type that is not handled is listed") {
  RawGguf bytes;
  bytes.header(2, 0).tensor("iq", {256}, 16, 0).tensor("old", {32}, 4, 96).data(128);
  core::Memory memory;
  const auto file = Gguf::from_memory(bytes.bytes, memory);
  REQUIRE(file);
  CHECK(!file->find("iq")->format);
  CHECK(file->find("iq")->bytes == 66);
  CHECK(!file->find("old")->format);
  CHECK(file->find("old")->bytes == 0);
}

TEST_CASE("gguf: mapped and copied, counted and given back") {
  const std::string path = test::fixture("model/fixtures/llama-mha.gguf");
  const auto size = static_cast<std::size_t>(fs::file_size(path));
  core::Memory memory;
  {
    auto mapped = Gguf::open(path, memory);
    REQUIRE(mapped);
    CHECK(mapped->mapped());
    CHECK(mapped->bytes() == size);
    CHECK(memory.used() >= size);
    CHECK(memory.used() < size + size / 2 + 65536);
    auto copied = Gguf::open(path, memory, FileAccess::copy);
    REQUIRE(copied);
    CHECK(!copied->mapped());
    REQUIRE(copied->tensors().size() == mapped->tensors().size());
    for (const TensorInfo& t : mapped->tensors()) {
      CHECK(std::memcmp(t.data, copied->find(t.name)->data, t.bytes) == 0);
      CHECK(reinterpret_cast<std::uintptr_t>(copied->find(t.name)->data) % 32 == 0);
    }
    Gguf moved = std::move(*mapped);
    CHECK(mapped->tensors().empty());
    CHECK(mapped->find("token_embd.weight") == nullptr);
    CHECK(!mapped->get_uint("general.alignment"));
    CHECK(mapped->unchanged());
    CHECK(mapped->bytes() == 0);
    CHECK(moved.find("token_embd.weight") != nullptr);
    moved = std::move(*copied);
    CHECK(moved.find("token_embd.weight") != nullptr);
  }
  CHECK(memory.used() == 0);
  for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
    core::Memory small({}, size - 1);
    CHECK(Gguf::open(path, small, access).error().code == Errc::out_of_memory);
    CHECK(small.used() == 0);
  }
}

TEST_CASE("gguf: the parts of a split file are found, whichever is named") {
  const Folder folder;
  std::string paths[3];
  const char* names[3] = {"one", "two", "three"};
  for (std::uint16_t i = 0; i < 3; ++i) {
    paths[i] = folder.write("m-0000" + std::to_string(i + 1) + "-of-00003.gguf", part(i, 3, names[i], 3).bytes);
  }
  for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
    for (const std::string& path : paths) {
      core::Memory memory;
      const auto file = Gguf::open(path, memory, access);
      INFO(static_cast<const char*>(file.error().message));
      REQUIRE(file);
      REQUIRE(file->tensors().size() == 3);
      for (std::size_t i = 0; i < 3; ++i) CHECK(file->tensors()[i].name == names[i]);
      CHECK(file->bytes() == fs::file_size(paths[0]) + fs::file_size(paths[1]) + fs::file_size(paths[2]));
    }
  }
  SECTION("a part is missing") {
    fs::remove(paths[1]);
    CHECK(failure(paths[0]).code == Errc::not_found);
    CHECK(failure(paths[2]).code == Errc::not_found);
    CHECK(failure(paths[1]).code == Errc::not_found);
    CHECK(says(failure(paths[0]), "00002"));
  }
  SECTION("the first part is missing") {
    fs::remove(paths[0]);
    CHECK(failure(paths[2]).code == Errc::not_found);
  }
  SECTION("a part is empty, or something else") {
    folder.write("m-00002-of-00003.gguf", {});
    CHECK(failure(paths[0]).code == Errc::bad_format);
    folder.write("m-00002-of-00003.gguf", std::vector<std::byte>(100));
    CHECK(failure(paths[0]).code == Errc::bad_format);
  }
  SECTION("the parts disagree about their count") {
    folder.write("m-00002-of-00003.gguf", part(1, 4, "two", 3).bytes);
    CHECK(failure(paths[0]).code == Errc::bad_format);
  }
  SECTION("a part does not say which one it is") {
    for (const char* key : {"split.no", "split.count"}) {
      RawGguf silent = part(1, 3, "two", 3);
      const auto at = std::search(silent.bytes.begin(), silent.bytes.end(), reinterpret_cast<const std::byte*>(key),
                                  reinterpret_cast<const std::byte*>(key) + std::strlen(key));
      REQUIRE(at != silent.bytes.end());
      *at = std::byte{'S'};
      folder.write("m-00002-of-00003.gguf", silent.bytes);
      CHECK(failure(paths[0]).code == Errc::bad_format);
      CHECK(says(failure(paths[0]), key));
    }
  }
  SECTION("the first part tells of more parts than its name") {
    folder.write("m-00001-of-00003.gguf", part(0, 4, "one", 3).bytes);
    CHECK(failure(paths[0]).code == Errc::not_found);
  }
  SECTION("two parts changed places") {
    folder.write("m-00002-of-00003.gguf", part(2, 3, "three", 3).bytes);
    folder.write("m-00003-of-00003.gguf", part(1, 3, "two", 3).bytes);
    CHECK(failure(paths[0]).code == Errc::bad_format);
  }
  SECTION("the number of tensors is another") {
    folder.write("m-00001-of-00003.gguf", part(0, 3, "one", 4).bytes);
    CHECK(failure(paths[0]).code == Errc::bad_format);
  }
  SECTION("two parts have a tensor of one name") {
    folder.write("m-00003-of-00003.gguf", part(2, 3, "one", 3).bytes);
    CHECK(says(failure(paths[0]), "twice"));
  }
  SECTION("a name that hides its number") {
    CHECK(failure(folder.write("model.gguf", part(0, 3, "one", 3).bytes)).code == Errc::bad_format);
  }
  SECTION("a count beyond reason") {
    folder.write("m-00001-of-00003.gguf", part(0, 65535, "one", 3).bytes);
    CHECK(failure(paths[0]).code == Errc::bad_format);
  }
  SECTION("in memory") {
    core::Memory memory;
    CHECK(Gguf::from_memory(part(0, 3, "one", 3).bytes, memory).error().code == Errc::unsupported);
  }
}

TEST_CASE("gguf: a file that changes under us is noticed") {
  const Folder folder;
  const std::string path = folder.write("m.gguf", one_tensor().bytes);
  core::Memory memory;
  const auto mapped = Gguf::open(path, memory);
  const auto copied = Gguf::open(path, memory, FileAccess::copy);
  REQUIRE(mapped);
  REQUIRE(copied);
  CHECK(mapped->unchanged());
  SECTION("cut") {
    fs::resize_file(path, 40);
    CHECK(mapped->unchanged().error().code == Errc::io_error);
  }
  SECTION("written to") {
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << "x";
    fs::last_write_time(path, fs::file_time_type::clock::now() + std::chrono::seconds(5));
    CHECK(mapped->unchanged().error().code == Errc::io_error);
  }
  SECTION("removed or replaced: the mapping keeps the old file") {
    folder.write("new.gguf", std::vector<std::byte>(10));
    fs::rename(folder.path / "new.gguf", path);
    CHECK(mapped->find("a")->data[31] == std::byte{32});
  }
  CHECK(copied->unchanged());
}

TEST_CASE("gguf: paths that are no model") {
  const Folder folder;
  CHECK(failure((folder.path / "none.gguf").string()).code == Errc::not_found);
  CHECK(says(failure((folder.path / "none.gguf").string()), "none.gguf"));
  CHECK(failure((folder.path / "none" / "x.gguf").string()).code == Errc::not_found);
  CHECK(failure("").code == Errc::not_found);
  CHECK(failure(std::string("a\0b", 3)).code == Errc::invalid_argument);
  CHECK(failure(std::string(100000, 'x')).code == Errc::io_error);
  for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
    CHECK(failure(folder.path.string(), access).code == Errc::io_error);
    CHECK(says(failure(folder.path.string(), access), "directory"));
    CHECK(failure(folder.write("empty.gguf", {}), access).code == Errc::bad_format);
  }
  const std::string pipe = (folder.path / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(failure(pipe).code == Errc::io_error);
  CHECK(failure("/dev/null").code == Errc::io_error);
}

TEST_CASE("gguf: a file without permission") {
  const Folder folder;
  fs::permissions(folder.write("secret.gguf", one_tensor().bytes), fs::perms::none);
  fs::permissions(folder.write("open.gguf", one_tensor().bytes), fs::perms::all);
  fs::permissions(folder.path, fs::perms::all);
  const ::pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::chdir(folder.path.c_str()) != 0) ::_exit(1);
    if (::geteuid() == 0 && ::seteuid(65534) != 0) ::_exit(1);  // nobody; root may read everything
    int wrong = 0;
    for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
      core::Memory memory;
      const Error error = Gguf::open("secret.gguf", memory, access).error();
      if (error.code != Errc::io_error) wrong |= 2;
      if (!says(error, "secret.gguf") || !says(error, "ermission")) wrong |= 4;
      if (!Gguf::open("open.gguf", memory, access)) wrong |= 8;
    }
    ::_exit(wrong);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("gguf: every allocation may fail") {
  test::CountingHeap heap;
  const Folder folder;
  std::vector<std::string> paths = {test::fixture("model/fixtures/qwen2.gguf")};
  for (std::uint16_t i = 0; i < 2; ++i) {
    const char* names[2] = {"one", "two"};
    paths.push_back(folder.write("m-0000" + std::to_string(i + 1) + "-of-00002.gguf", part(i, 2, names[i], 2).bytes));
  }
  for (const std::string& path : paths) {
    for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
      long allowed = 0;
      for (bool done = false; !done; ++allowed) {
        REQUIRE(allowed < 1000);
        core::Memory memory(heap.hooks());
        heap.countdown = allowed;
        {
          const auto file = Gguf::open(path, memory, access);
          done = file.ok();
          if (!done) CHECK(file.error().code == Errc::out_of_memory);
          if (done) CHECK(file->tensors().size() > 1);
        }
        CHECK(heap.used == 0);
        CHECK(memory.used() == 0);
      }
      CHECK(allowed > 3);
    }
  }
}

TEST_CASE("gguf: SmolLM2 as it is published") {
  const std::string path = test::model_cache(test::smollm2);
  if (path.empty()) return test::skip("SmolLM2's file", test::smollm2);
  core::Memory memory;
  const auto file = Gguf::open(path, memory);
  REQUIRE(file);
  CHECK(file->get_string("general.architecture") == "llama");
  CHECK(file->get_uint("llama.embedding_length") == 576u);
  std::pmr::vector<std::string_view> pieces;
  REQUIRE(file->get_strings("tokenizer.ggml.tokens", pieces));
  CHECK(pieces.size() == 49152);
  REQUIRE(file->find("blk.0.attn_q.weight") != nullptr);
  CHECK(file->find("blk.0.attn_q.weight")->dims[0] == 576);
  std::size_t bytes = 0;
  for (const TensorInfo& t : file->tensors()) bytes += t.bytes;
  CHECK(bytes < file->bytes());
  CHECK(memory.used() - file->bytes() < file->bytes() / 50);  // the tables beside the file are small
}

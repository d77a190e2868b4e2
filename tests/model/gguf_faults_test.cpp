// tests/model/gguf_faults_test.cpp: does a file that lies get a clear answer? Every class of published GGUF-parser
// fault.
#include <functional>
#include <memory>
#include <string>

#include "tests/catch.hpp"
#include "tests/model/raw_gguf.hpp"
#include "tests/random.hpp"

using namespace kinglet;
using namespace kinglet::model;
using test::RawGguf;

namespace {

constexpr std::uint64_t huge[] = {0x7fffffffu,
                                  0xffffffffu,
                                  std::uint64_t{1} << 32,
                                  (std::uint64_t{1} << 32) + 1,
                                  std::uint64_t{1} << 60,
                                  std::uint64_t{1} << 61,
                                  std::uint64_t{1} << 62,
                                  std::uint64_t{1} << 63,
                                  0x7fffffffffffffffu,
                                  ~std::uint64_t{0} - 31,
                                  ~std::uint64_t{0} - 8,
                                  ~std::uint64_t{0} - 7,
                                  ~std::uint64_t{0}};

/// Opens a copy that ends exactly where the bytes do, so that a sanitizer sees every read past them.
Error open(const std::vector<std::byte>& bytes) {
  core::Memory memory({}, std::size_t{1} << 24);
  const std::unique_ptr<std::byte[]> exact(new std::byte[bytes.size()]);
  if (!bytes.empty()) std::memcpy(exact.get(), bytes.data(), bytes.size());
  const auto file = Gguf::from_memory({exact.get(), bytes.size()}, memory);
  std::size_t sum = 0;
  for (const TensorInfo& t : file->tensors()) {
    for (std::size_t i = 0; i < t.bytes; ++i) sum += std::to_integer<std::size_t>(t.data[i]);
  }
  for (const Gguf::Entry& e : file->entries()) {
    for (const std::byte b : e.data) sum += std::to_integer<std::size_t>(b);
    std::pmr::vector<std::string_view> words;
    if (file->get_strings(e.key, words)) {
      for (const auto& word : words) sum += word.size();
    }
  }
  CHECK(sum < std::size_t{1} << 40);
  return file.error();
}

void rejected(const RawGguf& file, const std::string& words) {
  const Error error = open(file.bytes);
  INFO(static_cast<const char*>(error.message));
  CHECK(error.code == Errc::bad_format);
  CHECK(std::string(error.message).find(words) != std::string::npos);
}

/// A small file with everything in it.
RawGguf whole() {
  RawGguf file;
  file.header(2, 5).key("general.architecture", ValueType::string).string("llama");
  file.key("general.alignment", ValueType::u32).put(std::uint32_t{32});
  file.array("words", ValueType::string, 3).string("a").string("bc").string("");
  file.array("numbers", ValueType::f32, 2).put(1.0f).put(2.0f);
  file.array("nested", ValueType::array, 1).put(std::uint32_t{8}).put(std::uint64_t{1}).string("x");
  file.tensor("v", {5}, 0, 0).tensor("m", {32, 3}, 2, 32).data(32 + 54);
  return file;
}

}  // namespace

TEST_CASE("gguf faults: a file cut at any byte") {
  const RawGguf file = whole();
  CHECK(open(file.bytes).code == Errc::ok);
  for (std::size_t n = 0; n < file.bytes.size(); ++n) {
    const Error error = open({file.bytes.begin(), file.bytes.begin() + static_cast<std::ptrdiff_t>(n)});
    INFO(n << ": " << error.message);
    REQUIRE(error.code == Errc::bad_format);
  }
}

TEST_CASE("gguf faults: any byte, or any eight, replaced") {
  const RawGguf file = whole();
  for (std::size_t at = 0; at < file.bytes.size(); ++at) {
    for (const unsigned value : {0x00u, 0x01u, 0x7fu, 0x80u, 0xffu}) {
      RawGguf changed = file;
      changed.bytes[at] = static_cast<std::byte>(value);
      open(changed.bytes);
    }
    for (const std::uint64_t value : huge) {
      if (at + 8 > file.bytes.size()) break;
      RawGguf changed = file;
      std::memcpy(changed.bytes.data() + at, &value, 8);
      open(changed.bytes);
    }
  }
}

TEST_CASE("gguf faults: the header") {
  RawGguf file;
  rejected(file, "");
  rejected(RawGguf().text("GGUG").put(std::uint32_t{3}).put(std::uint64_t{0}).put(std::uint64_t{0}), "not a GGUF");
  rejected(RawGguf().text("A text file, not a model."), "not a GGUF");
  for (const std::uint32_t version : {0u, 1u, 4u, 0xffffffffu, 0x03000000u}) {
    const Error error = open(RawGguf().header(0, 0, version).bytes);
    CHECK(error.code == Errc::unsupported);
  }
  CHECK(std::string(open(RawGguf().header(0, 0, 0x03000000u).bytes).message).find("big endian") != std::string::npos);
  CHECK(open(RawGguf().header(0, 0, 2).bytes).code == Errc::ok);
  for (const std::uint64_t count : huge) {
    rejected(RawGguf().header(count, 0).data(200), "");
    rejected(RawGguf().header(0, count).data(200), "");
    rejected(RawGguf().header(count, count).data(200), "");
  }
}

// CVE-2024-21802, CVE-2024-23605, CVE-2024-32878, CVE-2025-49847, CVE-2025-52566, CVE-2025-53630, CVE-2026-7482,
// CVE-2026-21869, CVE-2026-27940, CVE-2026-33298, CVE-2026-43629: counts, lengths and products that wrap.
TEST_CASE("gguf faults: lengths and counts that wrap") {
  for (const std::uint64_t n : huge) {
    INFO(n);
    rejected(RawGguf().header(0, 1).put(n).text("key").data(100), "ends within");
    rejected(RawGguf().header(0, 1).key("k", ValueType::string).put(n).text("value").data(100), "ends within");
    rejected(RawGguf().header(1, 0).put(n).text("tensor").data(100), "ends within");
    for (std::uint32_t type = 0; type <= 12; ++type) {
      if (type == 9) continue;
      const auto element = static_cast<ValueType>(type);
      rejected(RawGguf().header(0, 1).array("k", element, n).data(100), "");
      rejected(RawGguf().header(0, 1).array("k", ValueType::array, 1).put(type).put(n).data(100), "");
    }
    rejected(RawGguf().header(0, 1).array("k", ValueType::array, n).data(100), "");
    rejected(RawGguf().header(0, 1).array("k", ValueType::string, 2).string("a").put(n).data(100), "");
  }
}

TEST_CASE("gguf faults: types that do not exist, arrays in arrays") {
  for (const std::uint32_t type : {13u, 14u, 255u, 0x7fffffffu, 0xffffffffu}) {
    rejected(RawGguf().header(0, 1).key("k", type).data(100), "type");
    rejected(RawGguf().header(0, 1).array("k", static_cast<ValueType>(type), 0).data(100), "type");
    rejected(RawGguf().header(0, 1).array("k", static_cast<ValueType>(type), 3).data(100), "type");
  }
  RawGguf deep;
  deep.header(0, 1).array("k", ValueType::array, 1);
  for (int i = 0; i < 100000; ++i) deep.put(std::uint32_t{9}).put(std::uint64_t{1});
  rejected(deep, "type");
  // Many arrays of nothing: the time stays in proportion to the file.
  RawGguf wide;
  wide.header(0, 1).array("k", ValueType::array, 200000);
  for (int i = 0; i < 200000; ++i) wide.put(std::uint32_t{0}).put(std::uint64_t{0});
  CHECK(open(wide.bytes).code == Errc::ok);
}

TEST_CASE("gguf faults: keys and tensor names") {
  const std::string longest(65536, 'k');
  rejected(RawGguf().header(0, 1).key("", ValueType::u8).data(100), "name");
  rejected(RawGguf().header(0, 1).key(longest, ValueType::u8).data(100), "name");
  rejected(RawGguf().header(1, 0).tensor("", {4}, 0, 0).data(16), "name");
  rejected(RawGguf().header(1, 0).tensor(longest, {4}, 0, 0).data(16), "name");
  RawGguf keys;
  keys.header(0, 2).key("same", ValueType::u8).put(std::uint8_t{1}).key("same", ValueType::string).string("x");
  rejected(keys, "twice");
  rejected(RawGguf().header(2, 0).tensor("t", {4}, 0, 0).tensor("t", {4}, 0, 32).data(48), "twice");
}

// CVE-2024-41130: the name of a tensor that was never read, and is compared with the others' for all that.
TEST_CASE("gguf faults: tensors without a name") {
  for (const std::uint64_t n : huge) {
    // In every place of three.
    rejected(RawGguf().header(3, 0).put(n).text("abc").data(300), "ends within");
    rejected(RawGguf().header(3, 0).tensor("a", {4}, 0, 0).put(n).text("abc").data(300), "ends within");
    rejected(RawGguf().header(3, 0).tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 32).put(n).text("c").data(300),
             "ends within");
  }
  for (const std::size_t nameless : {0u, 1u, 2u}) {
    RawGguf file, cut;
    file.header(3, 0);
    for (std::size_t i = 0; i < 3; ++i) file.tensor(i == nameless ? "" : "name", {4}, 0, 32 * i);
    rejected(file.data(96), "name");
    // Fewer tensors than the header counts: what is left of the list is no name.
    cut.header(3, 0);
    for (std::size_t i = 0; i < nameless; ++i) cut.tensor(std::string(1, static_cast<char>('a' + i)), {4}, 0, 32 * i);
    rejected(cut, "ends within");
    rejected(cut.data(96), "");
  }
  // NULs are characters like others: as long a name as it says, and two of them differ by their lengths.
  const std::string nuls(2, '\0');
  CHECK(open(RawGguf().header(2, 0).tensor(nuls, {4}, 0, 0).tensor(nuls.substr(1), {4}, 0, 32).data(48).bytes).code ==
        Errc::ok);
  rejected(RawGguf().header(2, 0).tensor(nuls, {4}, 0, 0).tensor(nuls, {4}, 0, 32).data(48), "twice");
}

TEST_CASE("gguf faults: dimensions") {
  const auto shape = [](const std::vector<std::uint64_t>& dims, std::uint32_t type) {
    return RawGguf().header(1, 0).tensor("t", dims, type, 0).data(256);
  };
  rejected(shape({}, 0), "dimensions");
  rejected(shape({1, 1, 1, 1, 1}, 0), "dimensions");
  for (const std::uint32_t rank : {6u, 255u, 0x40000000u, 0xffffffffu}) {
    rejected(RawGguf().header(1, 0).string("t").put(rank).data(400), "dimensions");
  }
  rejected(shape({0}, 0), "dimension");
  rejected(shape({4, 0}, 0), "dimension");
  rejected(shape({0, ~std::uint64_t{0}}, 0), "dimension");
  for (const std::uint64_t n : huge) {
    rejected(shape({n}, 0), "");
    rejected(shape({n, n}, 0), "");
    rejected(shape({32, n}, 2), "");
    rejected(shape({n & ~std::uint64_t{255}, 1, 1, n}, 14), "");
  }
  const std::uint64_t k = 65536;
  rejected(shape({k, k, k, k}, 0), "");      // 2^64: wraps to 0
  rejected(shape({k, k, k, k + 1}, 1), "");  // wraps to 2^48
  rejected(shape({std::uint64_t{1} << 33, std::uint64_t{1} << 31}, 0), "");
  rejected(shape({std::uint64_t{1} << 47}, 0), "after the file");  // in range, but not in the file
  rejected(shape({33}, 2), "multiple");
  rejected(shape({128}, 14), "multiple");
  rejected(shape({31, 32}, 8), "multiple");
  for (const std::uint32_t type : {42u, 255u, 0x80000000u, 0xffffffffu}) rejected(shape({32}, type), "type");
}

TEST_CASE("gguf faults: offsets") {
  const auto at = [](std::uint64_t first, std::uint64_t second) {
    return RawGguf().header(2, 0).tensor("a", {16}, 0, first).tensor("b", {16}, 0, second).data(128);
  };
  CHECK(open(at(0, 64).bytes).code == Errc::ok);
  CHECK(open(at(64, 0).bytes).code == Errc::ok);
  rejected(at(0, 0), "overlap");
  rejected(at(0, 32), "overlap");
  rejected(at(32, 0), "overlap");
  rejected(at(0, 65), "multiple of the alignment");
  rejected(at(4, 64), "multiple of the alignment");
  rejected(at(0, 96), "after the file");
  for (const std::uint64_t n : huge) rejected(at(0, n), "");
  rejected(at(0, ~std::uint64_t{0} - 31), "after the file");  // 64 bytes on it wraps to 32
  // The list of tensors reaches the end of the file, so that the data would begin after it.
  RawGguf short_file;
  short_file.header(1, 0).tensor("abc", {1}, 0, 0);
  REQUIRE(short_file.bytes.size() % 32 != 0);
  rejected(short_file, "ends within");
}

TEST_CASE("gguf faults: alignment") {
  const auto with = [](std::uint32_t alignment) {
    RawGguf file;
    file.header(1, 1).key("general.alignment", ValueType::u32).put(alignment).tensor("t", {4}, 0, 0);
    return file.data(16, alignment > 0 && alignment < 4096 ? alignment : 32);
  };
  for (const std::uint32_t good : {4u, 8u, 64u, 1024u}) CHECK(open(with(good).bytes).code == Errc::ok);
  for (const std::uint32_t bad : {0u, 1u, 2u, 3u, 33u, 48u, 0x80000000u, 0xffffffffu}) {
    rejected(with(bad), "general.alignment");
  }
  RawGguf text;
  text.header(0, 1).key("general.alignment", ValueType::string).string("32");
  rejected(text, "general.alignment");
  RawGguf wide;
  wide.header(0, 1).key("general.alignment", ValueType::u64).put(std::uint64_t{32});
  rejected(wide, "general.alignment");
}

TEST_CASE("gguf faults: memory that floats cannot lie in") {
  const RawGguf file = whole();
  std::vector<std::byte> shifted(file.bytes.size() + 1);
  std::copy(file.bytes.begin(), file.bytes.end(), shifted.begin() + 1);
  core::Memory memory;
  CHECK(Gguf::from_memory(std::span(shifted).subspan(1), memory).error().code == Errc::invalid_argument);
}

TEST_CASE("gguf faults: names are made printable in messages") {
  const std::string name = std::string("\x1b[31m\xff\xc2\x9b\n\0evil", 14);
  const Error error = open(RawGguf().header(2, 0).tensor(name, {4}, 0, 0).tensor(name, {4}, 0, 32).data(48).bytes);
  REQUIRE(error.code == Errc::bad_format);
  const std::string message = error.message;
  CHECK(message.find("evil") != std::string::npos);
  for (const char c : message) CHECK((c >= 0x20 && c < 0x7f));
}

TEST_CASE("gguf faults: random files never surprise") {
  test::Random random{99};
  const RawGguf file = whole();
  for (int round = 0; round < 20000; ++round) {
    RawGguf changed = file;
    for (std::uint32_t i = random.below(4) + 1; i > 0; --i) {
      changed.bytes[random.below(static_cast<std::uint32_t>(changed.bytes.size()))] =
          static_cast<std::byte>(random.below(256));
    }
    open(changed.bytes);
  }
}

// text/chat/run.hpp: what does one render know, and what may it still use?
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>

#include "text/chat/arena.hpp"
#include "text/chat/value.hpp"

namespace kinglet::text::chat {

/// Variables of one frame; names are interned, so that they compare by address.
struct Variable {
  std::string_view name;
  Value value;
  Variable* next;
};
struct Scope {
  Scope* parent = nullptr;
  Variable* variables = nullptr;
};

/// Text that grows: in the arena, or in the caller's string.
class Buffer {
 public:
  explicit Buffer(Arena& arena) noexcept : arena_(&arena) {}
  Buffer(std::pmr::string& out, std::size_t limit) noexcept : out_(&out), limit_(limit) {}
  void append(std::string_view text);
  void append(char c) { append(std::string_view(&c, 1)); }
  /// What was appended (arena form only). Later appends leave it valid.
  std::string_view text() const noexcept { return {data_, size_}; }

 private:
  Arena* arena_ = nullptr;
  std::pmr::string* out_ = nullptr;
  std::size_t limit_ = 0;
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

struct Run {
  Arena& arena;
  std::size_t steps;  // left
  std::size_t depth;  // left
  std::int64_t now;   // for strftime_now
  Buffer* out = nullptr;
  std::uint32_t line = 0;
  Value captured{};  // the text that a filter block filters
  // Names that the language itself defines, interned; empty where the template does not mention them.
  std::string_view loop_name{}, caller_name{}, kwargs_name{}, varargs_name{};

  /// One step, plus one per 64 bytes or 8 items touched.
  void charge(std::size_t extra = 0) {
    if (steps <= extra) exhausted();
    steps -= extra + 1;
  }
  void charge_bytes(std::size_t bytes) { charge(bytes / 64); }
  void charge_items(std::size_t n) { charge(n / 8); }

  /// Throws template_error: "line N: " and the pieces.
  [[noreturn]] void fail(std::initializer_list<std::string_view> pieces) const;
  /// Throws invalid_argument: what the host handed in is not what it should be.
  [[noreturn]] static void fail_argument(std::initializer_list<std::string_view> pieces);
  [[noreturn]] void exhausted() const;
  [[noreturn]] void too_deep() const;

  /// A string that is `text` in the arena.
  Value keep(std::string_view text) { return string(arena.copy(text)); }
  Value keep(std::span<const Value> items, Kind kind = Kind::list) { return list(arena.copy(items), kind); }
  Value generator(std::span<const Value> items);  // items stay where they are
  /// What a lazy filter gives for a value that cannot be iterated.
  Value broken_generator(const Value& over);
};

/// Holds one level of nesting.
class Deeper {
 public:
  explicit Deeper(Run& run) : run_(run) {
    if (run.depth == 0) run.too_deep();
    --run.depth;
  }
  ~Deeper() { ++run_.depth; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  Run& run_;
};

/// A list of values that grows in the arena.
class Items {
 public:
  explicit Items(Run& run) noexcept : run_(run) {}
  void add(const Value& v);
  std::span<const Value> span() const noexcept { return {data_, size_}; }
  std::span<Value> span() noexcept { return {data_, size_}; }
  std::size_t size() const noexcept { return size_; }

 private:
  Run& run_;
  Value* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

/// Arguments matched with parameter names, as Python matches them.
class Bound {
 public:
  static constexpr std::size_t most = 6;
  /// Fails where there are too many, unknown ones, one given twice, or fewer than `required`.
  Bound(Run& run, std::string_view function, const Args& args, std::initializer_list<std::string_view> names,
        std::size_t required = 0);
  bool has(std::size_t i) const noexcept { return given_[i]; }
  const Value& operator[](std::size_t i) const noexcept { return values_[i]; }
  Value get(std::size_t i, const Value& otherwise) const noexcept { return given_[i] ? values_[i] : otherwise; }
  /// The integer argument i; fails where it is something else.
  std::int64_t whole(Run& run, std::size_t i, std::int64_t otherwise) const;
  std::string_view text(Run& run, std::size_t i, std::string_view otherwise) const;
  bool flag(std::size_t i, bool otherwise) const noexcept { return given_[i] ? truth(values_[i]) : otherwise; }

 private:
  std::string_view function_;
  Value values_[most] = {};
  bool given_[most] = {};
};

// operators.cpp
enum class Op : std::uint8_t;
Value binary(Run& run, Op op, const Value& a, const Value& b);
Value negative(Run& run, const Value& v);
bool equal(Run& run, const Value& a, const Value& b);
/// a < b; fails where Python does not order them (`sign` is the operator that the message names).
bool less(Run& run, const Value& a, const Value& b, std::string_view sign = "<");
bool contains(Run& run, const Value& container, const Value& item);

// access.cpp
/// What iter() gives; a generator is used up by it.
std::span<const Value> iterate(Run& run, const Value& v);
std::size_t length(Run& run, const Value& v);
Value attribute(Run& run, const Value& object, std::string_view name);
Value item(Run& run, const Value& object, const Value& key);
Value slice(Run& run, const Value& object, const Value& start, const Value& stop, const Value& step);
/// Follows "a.b.0", as the filters' `attribute` argument does.
Value follow(Run& run, Value object, const Value& path);
const Value* find(Run& run, const Dict& dict, const Value& key);
void insert(Run& run, Dict& dict, const Value& key, const Value& value);
Value make_dict(Run& run);
[[noreturn]] void fail_undefined(Run& run, const Value& v);
/// Fails for values that Python cannot hash.
void check_hashable(Run& run, const Value& key);

// print.cpp
/// str(v): the characters themselves for a string.
std::string_view to_text(Run& run, const Value& v);
void write_text(Run& run, Buffer& out, const Value& v);
void write_repr(Run& run, Buffer& out, const Value& v);
std::string_view repr(Run& run, const Value& v);
/// Python's repr of a double, in `room`.
std::string_view real_text(double d, std::span<char, 32> room) noexcept;

// evaluate.cpp, call.cpp
Value call(Run& run, const Value& callee, const Args& args);
Value evaluate(Run& run, Scope* scope, const Node* node);

}  // namespace kinglet::text::chat

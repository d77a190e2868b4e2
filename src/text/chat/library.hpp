// text/chat/library.hpp: which filters, tests, methods and global functions does the template language have?
#pragma once
#include <span>
#include <string_view>

#include "text/chat/run.hpp"
#include "text/chat/value.hpp"

namespace kinglet::text::chat {

struct Filter {
  std::string_view name;
  Value (*apply)(Run&, const Value& v, const Args&);
};
struct Test {
  std::string_view name;
  bool (*holds)(Run&, const Value& v, const Args&);
};
struct MethodEntry {
  std::string_view name;
  Value (*body)(Run&, const Value& self, const Args&);
};
struct Global {
  std::string_view name;
  Function body;
};

/// Null where there is none.
const Filter* find_filter(std::string_view name) noexcept;
const Test* find_test(std::string_view name) noexcept;
/// The method of a string, list, tuple, mapping, cycler or loop; null where there is none.
const MethodEntry* find_method(const Value& self, std::string_view name) noexcept;
std::span<const Global> globals() noexcept;

std::span<const Filter> text_filters() noexcept;             // filters_text.cpp
std::span<const Filter> sequence_filters() noexcept;         // filters_sequence.cpp
std::span<const Filter> select_filters() noexcept;           // filters_select.cpp
std::span<const Filter> value_filters() noexcept;            // filters_value.cpp
std::span<const MethodEntry> text_methods() noexcept;        // methods_text.cpp
std::span<const MethodEntry> text_split_methods() noexcept;  // methods_split.cpp

// json.cpp
/// Reads JSON into values whose strings point into `text` where they can. Throws Failure (invalid_argument) that starts
/// with `what`.
Value read_json(Run& run, std::string_view text, std::string_view what);
/// Whether `text` is JSON; then `value` is what it says.
bool try_json(Run& run, std::string_view text, Value& value);
Value to_json(Run& run, const Value& v, const Args& args);

// format.cpp
/// text % values, as Python's.
Value percent(Run& run, std::string_view text, const Value& values);
/// text.format(args): fields {}, {0}, {name}, with .attribute, [item], !r, !s and the usual number formats.
Value format(Run& run, std::string_view text, const Args& args);

// strftime.cpp
Value strftime(Run& run, std::string_view format, std::int64_t seconds);

// methods_split.cpp
std::span<const Value> split_lines(Run& run, std::string_view text, bool keep_ends);
/// Like std::string_view::find and rfind, with every comparison charged.
std::size_t find_text(Run& run, std::string_view text, std::string_view what, std::size_t from);
std::size_t find_last(Run& run, std::string_view text, std::string_view what);
std::string_view replace(Run& run, std::string_view text, std::string_view from, std::string_view to,
                         std::int64_t count);
std::string_view escape(Run& run, std::string_view text);

}  // namespace kinglet::text::chat

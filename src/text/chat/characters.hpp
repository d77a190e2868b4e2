// text/chat/characters.hpp: what does Python know about the characters of a string?
//
// A character is a code point of valid UTF-8, or else one byte: bytes that are not UTF-8 pass through every function
// here unchanged.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kinglet::text::chat {

class Buffer;

/// What stands for a byte that is not part of valid UTF-8.
inline constexpr std::uint32_t no_character = 0xffffffffu;

/// The bytes of the first character; 0 for an empty text.
std::size_t character_size(std::string_view text) noexcept;
/// The code point of the first character, or no_character.
std::uint32_t code_point(std::string_view text) noexcept;
std::size_t count_characters(std::string_view text) noexcept;
/// Where the n-th character starts; text.size() past the last.
std::size_t character_offset(std::string_view text, std::size_t n) noexcept;
/// The start of the character before `end` (> 0).
std::size_t previous_character(std::string_view text, std::size_t end) noexcept;
/// Writes a code point as UTF-8 (at most 4 bytes) and returns how many; surrogates get their three bytes.
std::size_t encode(std::uint32_t code, char* out) noexcept;

/// str.isspace() of one character.
bool is_space(std::uint32_t code) noexcept;
std::string_view trim_left(std::string_view text) noexcept;
std::string_view trim_right(std::string_view text) noexcept;
/// Whether one character is among those of `set`.
bool has_character(std::string_view set, std::string_view character) noexcept;

enum class Case : std::uint8_t { lower, upper, capitalize, title, swap };
void write_case(Buffer& out, std::string_view text, Case how);

enum class Class : std::uint8_t { alpha, decimal, digit, numeric, alnum, space, lower, upper, title, ascii };
/// str.isalpha() and its siblings.
bool all_of(std::string_view text, Class what) noexcept;
/// Whether repr() shows the character itself.
bool printable(std::uint32_t code) noexcept;

}  // namespace kinglet::text::chat

// engine/dialogue.hpp: what was said in a chat so far, by whom, and in which tokens?
//
// The texts of all messages lie in one string, oldest first, so that adding and dropping at the end costs no allocation
// while it has room. The model's answers are noted by their tokens while they are generated (which allocates nothing)
// and become messages at the next submit.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kinglet/options.hpp>
#include <kinglet/text/chat_template.hpp>
#include <kinglet/text/tokenizer.hpp>

namespace kinglet::engine {

/// Functions that are not noexcept throw std::bad_alloc and have changed nothing then.
class Dialogue {
 public:
  explicit Dialogue(std::pmr::memory_resource* memory)
      : text_(memory),
        messages_(memory),
        calls_(memory),
        tools_json_(memory),
        template_json_(memory),
        rendered_(memory) {}

  /// Takes over the system message, the earlier messages and the template's variables.
  /// @param room  bytes of text, and half as many of a rendering, that shall fit without another allocation
  void open(const SessionOptions& options, std::size_t room);
  /// Becomes a copy, with as much room.
  void copy(const Dialogue& other);

  /// The prompt that stands for all that was said and `prompt` (which takes the place of a last message of the user
  /// that nobody answered, since templates want the roles to alternate), with guards in whatever could spell a control
  /// token.
  /// @param trusted  `prompt` may spell control tokens
  Status render(const text::ChatTemplate& chat_template, const text::Tokenizer& tokenizer, std::string_view prompt,
                bool trusted, std::pmr::string& out) const;

  /// How many bytes of `text` the history stands for, if it begins with them; 0 where it does not.
  /// @param history  the session's tokens
  std::size_t known_prefix(std::string_view text, const text::Tokenizer& tokenizer,
                           std::span<const std::int32_t> history) const noexcept;

  /// Makes room for a user's message of that many bytes and for its rendering, so that said() cannot fail.
  void reserve(std::size_t prompt, std::size_t rendering);
  /// A user's message, whose rendering `text` the first `end` tokens of the history stand for; of them, the first
  /// `kept` stood there before.
  void said(std::string_view prompt, std::string_view text, std::uint32_t kept, std::uint32_t end) noexcept;

  /// The model's answer: tokens [first, last) of the history; of their bytes at most `bytes` were shown.
  void answered(std::uint32_t first, std::uint32_t last, std::size_t bytes) noexcept;
  /// Makes the noted answer a message.
  void settle(const text::Tokenizer& tokenizer, std::span<const std::int32_t> history);

  /// Forgets what was said after the first `size` tokens; the messages given to open() stay.
  void cut(std::uint32_t size, const text::Tokenizer& tokenizer, std::span<const std::int32_t> history) noexcept;

 private:
  struct Slice {
    std::size_t at = 0;
    std::size_t size = 0;
    bool given = false;  ///< a message may have no content at all
  };
  enum Field : std::size_t { role, content, reasoning, name, tool_call_id, extra_json, fields };
  struct Stored {
    Slice field[fields];
    std::size_t first_call = 0, calls = 0;
    std::uint32_t begin = 0, end = 0;  ///< tokens of the history
  };
  struct Call {
    Slice id, name, arguments;
  };

  std::string_view view(const Slice& slice) const noexcept { return {text_.data() + slice.at, slice.size}; }
  bool is(const Stored& message, std::string_view who) const noexcept { return view(message.field[role]) == who; }
  Slice store(std::string_view text);
  void store(const Message& message);
  void drop_from(std::size_t message) noexcept;
  bool unanswered() const noexcept;

  std::pmr::string text_;
  std::pmr::vector<Stored> messages_;
  std::pmr::vector<Call> calls_;
  std::size_t given_ = 0;  // messages of open(), which stay

  std::pmr::string tools_json_;
  std::pmr::string template_json_;
  std::int64_t opened_ = 0;  // seconds since 1970: the date that templates see does not change within a session

  std::pmr::string rendered_;  // what the first rendered_tokens_ tokens stand for
  std::uint32_t rendered_tokens_ = 0;
  bool answer_ = false;  // noted, not settled
  std::uint32_t answer_first_ = 0, answer_last_ = 0;
  std::size_t answer_bytes_ = 0;
};

}  // namespace kinglet::engine

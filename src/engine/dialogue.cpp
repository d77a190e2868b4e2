// engine/dialogue.cpp: how do messages become the prompt, and tokens messages again?
#include "engine/dialogue.hpp"

#include <algorithm>
#include <chrono>

#include "engine/utf8.hpp"

namespace kinglet::engine {
namespace {

constexpr std::size_t expected_messages = 64;

/// What a token stands for in a rendered prompt: control tokens as they are spelt.
std::string_view spelling(const text::Tokenizer& tokenizer, std::int32_t token) noexcept {
  return tokenizer.type(token) == text::TokenType::control ? tokenizer.piece(token) : tokenizer.bytes(token);
}

/// Text of which some parts are guarded, and views into it once it is complete.
struct Guarded {
  explicit Guarded(std::pmr::memory_resource* memory) : text(memory), ends(memory) {}

  Status add(const text::Tokenizer& tokenizer, std::string_view part, bool trusted) {
    if (trusted) {
      text.append(part);
    } else if (const Status status = tokenizer.protect(part, text); !status) {
      return status;
    }
    ends.push_back(text.size());
    return {};
  }
  std::string_view part(std::size_t i) const noexcept {
    const std::size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(text).substr(begin, ends[i] - begin);
  }

  std::pmr::string text;
  std::pmr::vector<std::size_t> ends;
};

}  // namespace

void Dialogue::open(const SessionOptions& options, std::size_t room) {
  opened_ =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  text_.reserve(room);
  rendered_.reserve(room / 2);
  messages_.reserve(expected_messages + options.history.size());
  tools_json_ = options.tools_json;
  template_json_ = options.template_json;
  if (!options.system.empty()) {
    Message system;
    system.role = "system";
    system.content = options.system;
    store(system);
  }
  for (const Message& message : options.history) store(message);
  given_ = messages_.size();
}

void Dialogue::copy(const Dialogue& other) {
  text_.reserve(other.text_.capacity());
  messages_.reserve(other.messages_.capacity());
  rendered_.reserve(other.rendered_.capacity());
  text_ = other.text_;
  messages_ = other.messages_;
  calls_ = other.calls_;
  given_ = other.given_;
  tools_json_ = other.tools_json_;
  template_json_ = other.template_json_;
  opened_ = other.opened_;
  rendered_ = other.rendered_;
  rendered_tokens_ = other.rendered_tokens_;
  answer_ = other.answer_;
  answer_first_ = other.answer_first_;
  answer_last_ = other.answer_last_;
  answer_bytes_ = other.answer_bytes_;
}

Dialogue::Slice Dialogue::store(std::string_view text) {
  const Slice slice{text_.size(), text.size(), text.data() != nullptr};
  text_.append(text);
  return slice;
}

void Dialogue::store(const Message& message) {
  Stored stored;
  const std::string_view parts[fields] = {message.role, message.content,      message.reasoning,
                                          message.name, message.tool_call_id, message.extra_json};
  for (std::size_t i = 0; i < fields; ++i) stored.field[i] = store(parts[i]);
  stored.first_call = calls_.size();
  stored.calls = message.tool_calls.size();
  for (const text::ToolCall& call : message.tool_calls) {
    calls_.push_back({store(call.id), store(call.name), store(call.arguments_json)});
  }
  messages_.push_back(stored);
}

Status Dialogue::render(const text::ChatTemplate& chat_template, const text::Tokenizer& tokenizer,
                        std::string_view prompt, bool trusted, std::pmr::string& out) const {
  std::pmr::memory_resource* const memory = out.get_allocator().resource();
  Guarded guarded(memory);
  const std::span<const Stored> stored(messages_.data(), messages_.size() - (unanswered() ? 1 : 0));
  for (const Stored& message : stored) {
    // The role is the host's word; all the rest may be a player's, or the model's own.
    for (std::size_t i = 0; i < fields; ++i) {
      if (const Status status = guarded.add(tokenizer, view(message.field[i]), i == role); !status) return status;
    }
    for (std::size_t i = 0; i < message.calls; ++i) {
      const Call& call = calls_[message.first_call + i];
      for (const Slice& slice : {call.id, call.name, call.arguments}) {
        if (const Status status = guarded.add(tokenizer, view(slice), false); !status) return status;
      }
    }
  }
  if (const Status status = guarded.add(tokenizer, prompt, trusted); !status) return status;

  std::pmr::vector<text::ToolCall> calls(memory);
  calls.reserve(calls_.size());
  std::pmr::vector<Message> messages(memory);
  messages.reserve(messages_.size() + 1);
  std::size_t part = 0;
  for (const Stored& each : stored) {
    Message message;
    std::string_view* const parts[fields] = {&message.role, &message.content,      &message.reasoning,
                                             &message.name, &message.tool_call_id, &message.extra_json};
    for (std::size_t i = 0; i < fields; ++i, ++part) {
      if (each.field[i].given) *parts[i] = guarded.part(part);
    }
    const std::size_t first = calls.size();
    for (std::size_t i = 0; i < each.calls; ++i, part += 3) {
      calls.push_back({guarded.part(part), guarded.part(part + 1), guarded.part(part + 2)});
    }
    message.tool_calls = std::span<const text::ToolCall>(calls.data() + first, each.calls);
    messages.push_back(message);
  }
  Message last;
  last.role = "user";
  last.content = guarded.part(part);
  messages.push_back(last);

  text::ChatOptions options;
  if (tokenizer.bos() >= 0) options.bos = tokenizer.piece(tokenizer.bos());
  if (tokenizer.eos() >= 0) options.eos = tokenizer.piece(tokenizer.eos());
  options.tools_json = tools_json_;
  options.extra_json = template_json_;
  options.now = opened_;
  return chat_template.render(messages, options, out);
}

std::size_t Dialogue::known_prefix(std::string_view text, const text::Tokenizer& tokenizer,
                                   std::span<const std::int32_t> history) const noexcept {
  if (rendered_tokens_ == 0 || rendered_tokens_ > history.size() || !text.starts_with(rendered_)) return 0;
  std::size_t at = rendered_.size();
  for (const std::int32_t token : history.subspan(rendered_tokens_)) {
    const std::string_view piece = spelling(tokenizer, token);
    if (!text.substr(at).starts_with(piece)) return 0;
    at += piece.size();
  }
  return at;
}

void Dialogue::reserve(std::size_t prompt, std::size_t rendering) {
  const std::size_t text = text_.size() + prompt + 16;  // "user"
  if (text > text_.capacity()) text_.reserve(std::max(text, text_.capacity() * 2));
  if (rendering > rendered_.capacity()) rendered_.reserve(std::max(rendering, rendered_.capacity() * 2));
  if (messages_.size() == messages_.capacity()) messages_.reserve(messages_.size() * 2);
}

void Dialogue::said(std::string_view prompt, std::string_view text, std::uint32_t kept, std::uint32_t end) noexcept {
  if (unanswered()) drop_from(messages_.size() - 1);
  for (std::size_t i = given_; i < messages_.size(); ++i) {
    messages_[i].begin = std::min(messages_[i].begin, kept);
    messages_[i].end = std::min(messages_[i].end, kept);
  }
  Message message;
  message.role = "user";
  message.content = prompt.data() != nullptr ? prompt : std::string_view("");
  store(message);  // reserve() made the room
  messages_.back().begin = kept;
  messages_.back().end = end;
  rendered_.assign(text);
  rendered_tokens_ = end;
}

void Dialogue::answered(std::uint32_t first, std::uint32_t last, std::size_t bytes) noexcept {
  answer_ = true;
  answer_first_ = first;
  answer_last_ = last;
  answer_bytes_ = bytes;
}

void Dialogue::settle(const text::Tokenizer& tokenizer, std::span<const std::int32_t> history) {
  if (!answer_) return;
  const auto tokens = history.subspan(answer_first_, answer_last_ - answer_first_);
  std::size_t bytes = 0;
  for (const std::int32_t token : tokens) bytes += tokenizer.bytes(token).size();
  const std::size_t room = text_.size() + bytes + 16;  // "assistant"
  if (room > text_.capacity()) text_.reserve(std::max(room, text_.capacity() * 2));
  if (messages_.size() == messages_.capacity()) messages_.reserve(std::max<std::size_t>(messages_.size() * 2, 8));

  // A generation that goes on where the last one stopped (submit_tokens) is one answer with it.
  const bool goes_on =
      messages_.size() > given_ && is(messages_.back(), "assistant") && messages_.back().end == answer_first_;
  if (!goes_on) {
    Message message;
    message.role = "assistant";
    message.content = "";
    store(message);
    messages_.back().begin = answer_first_;
    messages_.back().field[content].at = text_.size();
  }
  const std::size_t begin = text_.size();
  for (const std::int32_t token : tokens) text_.append(tokenizer.bytes(token));
  if (text_.size() - begin > answer_bytes_) text_.resize(begin + answer_bytes_);
  text_.resize(begin + keep_utf8(text_.data() + begin, text_.size() - begin));
  messages_.back().field[content].size = text_.size() - messages_.back().field[content].at;
  messages_.back().end = answer_last_;
  answer_ = false;
}

void Dialogue::drop_from(std::size_t message) noexcept {
  if (message >= messages_.size()) return;
  text_.resize(messages_[message].field[role].at);
  calls_.resize(messages_[message].first_call);
  messages_.resize(message);
}

void Dialogue::cut(std::uint32_t size, const text::Tokenizer& tokenizer,
                   std::span<const std::int32_t> history) noexcept {
  if (answer_ && answer_last_ > size) {
    answer_last_ = size;
    answer_ = answer_first_ < size;
  }
  for (std::size_t i = given_; i < messages_.size(); ++i) {
    Stored& message = messages_[i];
    if (message.end <= size) continue;
    if (!is(message, "assistant") || message.begin >= size) {
      drop_from(i);
      break;
    }
    // The part of an answer that is left stays an answer.
    drop_from(i + 1);
    std::size_t bytes = 0;
    for (std::uint32_t t = message.begin; t < size; ++t) bytes += tokenizer.bytes(history[t]).size();
    Slice& said = message.field[content];
    said.size = std::min(said.size, bytes);
    said.size = keep_utf8(text_.data() + said.at, said.size);
    message.end = size;
    text_.resize(said.at + said.size);
    break;
  }
  if (rendered_tokens_ > size) rendered_tokens_ = 0;
}

bool Dialogue::unanswered() const noexcept {
  return !answer_ && messages_.size() > given_ && is(messages_.back(), "user");
}

}  // namespace kinglet::engine

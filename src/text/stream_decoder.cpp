// text/stream_decoder.cpp: which bytes are held back, for a character or a stop string?
#include <kinglet/text/stream_decoder.hpp>

#include <algorithm>
#include <cstring>

#include <kinglet/core/memory.hpp>

#include "core/fail.hpp"
#include "text/unicode.hpp"

namespace kinglet::text {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD

}  // namespace

StreamDecoder::StreamDecoder(std::pmr::memory_resource* memory, std::size_t longest_push) noexcept
    : longest_push_(std::max<std::size_t>(longest_push, 1)),
      text_(memory),
      stops_(memory),
      stop_ends_(memory),
      matched_(memory),
      shorter_(memory) {}

Status StreamDecoder::reset(std::span<const std::string_view> stops) noexcept {
  ended_ = true;
  stopped_ = false;
  shown_ = size_ = tail_size_ = 0;
  return core::guarded([&]() -> Status {
    if (stops.size() > most_stops) {
      return core::fail(Errc::invalid_argument, "{} stop strings; at most {} are possible", stops.size(), most_stops);
    }
    std::size_t longest = 0;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < stops.size(); ++i) {
      if (stops[i].empty() || stops[i].size() > longest_stop || first_invalid(stops[i]) < stops[i].size()) {
        return core::fail(Errc::invalid_argument, "stop string {} is {}", i,
                          stops[i].empty()                 ? "empty"
                          : stops[i].size() > longest_stop ? "longer than 4096 bytes"
                                                           : "not UTF-8");
      }
      longest = std::max(longest, stops[i].size());
      bytes += stops[i].size();
    }
    if (longest_push_ > (std::size_t{1} << 40)) throw std::length_error("longest_push");
    stops_.clear();
    stop_ends_.clear();
    stops_.reserve(bytes);
    stop_ends_.reserve(stops.size());
    matched_.assign(stops.size(), 0);
    shorter_.assign(bytes, 0);
    // Each byte may become a U+FFFD of three.
    text_.resize(longest + replacement.size() * (longest_push_ + sizeof tail_));
    for (const std::string_view stop : stops) {
      std::uint32_t* shorter = shorter_.data() + stops_.size();
      for (std::uint32_t i = 1, length = 0; i < stop.size(); ++i) {
        while (length > 0 && stop[i] != stop[length]) length = shorter[length - 1];
        if (stop[i] == stop[length]) ++length;
        shorter[i] = length;
      }
      stops_.insert(stops_.end(), stop.begin(), stop.end());
      stop_ends_.push_back(static_cast<std::uint32_t>(stops_.size()));
    }
    ended_ = false;
    return {};
  });
}

/// Appends one code point to the text and moves every stop string on by it.
void StreamDecoder::take(std::string_view character) noexcept {
  std::memcpy(text_.data() + size_, character.data(), character.size());
  size_ += character.size();
  std::size_t longest = 0;
  for (std::size_t s = 0, begin = 0; s < stop_ends_.size(); begin = stop_ends_[s++]) {
    const char* stop = stops_.data() + begin;
    std::uint32_t length = matched_[s];
    for (const char byte : character) {
      while (length > 0 && stop[length] != byte) length = shorter_[begin + length - 1];
      if (stop[length] == byte) ++length;
      // A whole one ends with a character, so this is its last byte.
      if (begin + length == stop_ends_[s]) longest = std::max<std::size_t>(longest, length);
    }
    matched_[s] = length;
  }
  if (longest == 0) return;
  size_ -= longest;
  ended_ = stopped_ = true;
}

void StreamDecoder::drop_shown() noexcept {
  size_ -= shown_;
  std::memmove(text_.data(), text_.data() + shown_, size_);
  shown_ = 0;
}

StreamDecoder::Step StreamDecoder::push(std::string_view bytes) noexcept {
  if (ended_) return {{}, stopped_, bytes.size()};
  drop_shown();
  const std::size_t taken = std::min(bytes.size(), longest_push_);
  for (std::size_t i = 0; i < taken && !ended_; ++i) {
    tail_[tail_size_++] = bytes[i];
    while (tail_size_ > 0 && !ended_) {
      const Front next = front({tail_, tail_size_});
      if (next.state == Front::unfinished) break;
      take(next.state == Front::valid ? std::string_view(tail_, next.length) : replacement);
      tail_size_ -= next.length;
      std::memmove(tail_, tail_ + next.length, tail_size_);
    }
  }
  std::uint32_t held = 0;
  if (!ended_) {
    for (const std::uint32_t length : matched_) held = std::max(held, length);
  }
  shown_ = size_ - held;
  return {{text_.data(), shown_}, stopped_, ended_ ? bytes.size() : taken};
}

std::string_view StreamDecoder::flush() noexcept {
  if (ended_) return {};
  drop_shown();
  if (tail_size_ > 0) take(replacement);
  ended_ = true;
  shown_ = size_;
  return {text_.data(), size_};
}

}  // namespace kinglet::text

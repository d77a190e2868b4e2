// kinglet/text/stream_decoder.hpp: which part of a reply may be shown already?
//
// Tokens end in the middle of characters and of stop strings. The decoder lets out whole UTF-8 code points only, and
// holds back what may still become a stop string.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>

namespace kinglet::text {

/// One reply at a time. However the bytes are cut into pushes, the texts of all steps and of flush() together are the
/// bytes with each maximal invalid part replaced by U+FFFD, up to where the first stop string to end begins.
class KINGLET_API StreamDecoder {
 public:
  static constexpr std::size_t most_stops = 64;
  static constexpr std::size_t longest_stop = 4096;  ///< bytes

  struct Step {
    std::string_view text;  ///< may be shown now; valid until the next call
    bool stopped = false;   ///< a stop string was found: it and all behind it are dropped, later pushes too
    std::size_t taken = 0;  ///< bytes; fewer than were pushed only if those were more than `longest_push`
  };

  /// @param memory        outlives the decoder
  /// @param longest_push  bytes that one push may bring, at least 1: Tokenizer::longest_piece()
  explicit StreamDecoder(std::pmr::memory_resource* memory, std::size_t longest_push = 256) noexcept;
  StreamDecoder(StreamDecoder&&) noexcept = default;
  StreamDecoder& operator=(StreamDecoder&&) = delete;

  /// Begins a reply; nothing is taken before. The only call that allocates.
  /// @param stops  copied. The one that ends first counts; of several that end there, the longest.
  /// @return invalid_argument: a stop string is empty, not UTF-8 or longer than `longest_stop`, or there are more than
  ///         `most_stops`; out_of_memory. After an error nothing is taken until a reset() succeeds.
  Status reset(std::span<const std::string_view> stops) noexcept;

  /// @param bytes  what the next token adds
  Step push(std::string_view bytes) noexcept;

  /// Ends the reply: what was held back, an unfinished character as U+FFFD. "" after a stop string.
  std::string_view flush() noexcept;

 private:
  void take(std::string_view character) noexcept;
  void drop_shown() noexcept;

  std::size_t longest_push_;
  std::pmr::vector<char> text_;                // what was shown by the last step, then what is held back
  std::pmr::vector<char> stops_;               // end to end
  std::pmr::vector<std::uint32_t> stop_ends_;  // [stops]
  std::pmr::vector<std::uint32_t> matched_;    // [stops] how much of each the text ends with
  std::pmr::vector<std::uint32_t> shorter_;    // [bytes of stops] Knuth, Morris and Pratt's table
  std::size_t shown_ = 0;                      // bytes of text_
  std::size_t size_ = 0;                       // bytes of text_ in use
  char tail_[4] = {};                          // the beginning of a character
  std::size_t tail_size_ = 0;
  bool ended_ = true;
  bool stopped_ = false;
};

}  // namespace kinglet::text

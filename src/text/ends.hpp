// text/ends.hpp: which pieces end a reply, whatever their file calls them?
#pragma once
#include <string_view>

namespace kinglet::text {

/// Pieces that end a reply in models in use. Where a file calls a `certain` one anything but a control piece, it is
/// wrong.
struct End {
  std::string_view piece;
  bool certain;
};
inline constexpr End ends[] = {
    {"<|im_end|>", true},
    {"<|eot_id|>", true},
    {"<|eom_id|>", true},
    {"<|endoftext|>", true},
    {"<|end_of_text|>", true},
    {"<end_of_turn>", true},
    {"<|end|>", true},
    {"<|end_of_turn|>", true},
    {"<|return|>", true},
    {"<|call|>", true},
    {"<turn|>", false},
    {"<end_of_utterance>", true},
    {"<EOT>", false},
    {"[EOT]", false},
    {"<|EOT|>", true},
    {"</s>", false},
    {"<eos>", false},
    {"<\xef\xbd\x9c"
     "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
     true},
};

}  // namespace kinglet::text

// kinglet/model/vocabulary.hpp: which tokenizer does a model file bring?
#pragma once
#include <memory_resource>
#include <string_view>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/text/tokenizer.hpp>

namespace kinglet::model {

/// Reads the keys tokenizer.ggml.*, with the defaults that files in use rely on.
/// @param pre_tokenizer  a name instead of the file's tokenizer.ggml.pre; "" = the file's
/// @param memory         outlives the tokenizer
/// @return bad_format: a key is missing, of the wrong type or out of range (the message names it); unsupported: a kind
/// of
///         tokenizer or a pre-tokenizer that is not known; out_of_memory
KINGLET_API Result<text::Tokenizer> load_tokenizer(const Gguf& file, std::string_view pre_tokenizer,
                                                   std::pmr::memory_resource* memory) noexcept;

}  // namespace kinglet::model

// ops/batch_fault.hpp: would a step lead a backend outside of its memory?
#pragma once
#include <algorithm>

#include <kinglet/ops/backend.hpp>

namespace kinglet::ops {

/// What would lead a step outside of its memory; null where nothing does.
inline const char* find_fault(const Batch& batch, const ContextShape& shape) noexcept {
  std::size_t row = 0;
  for (std::size_t s = 0; s < batch.sequences.size(); ++s) {
    const Sequence& sequence = batch.sequences[s];
    if (sequence.first_row != row || sequence.rows == 0 || sequence.rows > batch.rows.size() - row) {
      return "sequences that do not follow each other";
    }
    for (std::uint32_t i = 0; i < sequence.rows; ++i, ++row) {
      const Row& r = batch.rows[row];
      if (r.sequence != s || r.position != sequence.first_position + i) return "rows out of order";
      if (r.token < 0 || static_cast<std::uint32_t>(r.token) >= shape.vocab)
        return "a token that is not in the vocabulary";
      if (sequence.pages[r.position / page_tokens] >= shape.pages) return "a page that is not in the pool";
    }
  }
  if (row != batch.rows.size()) return "rows without a sequence";
  const auto missing = [row](std::uint32_t r) { return r >= row; };
  if (std::any_of(batch.logits.begin(), batch.logits.end(), missing)) return "logits of a row that is not there";
  if (std::any_of(batch.hidden.begin(), batch.hidden.end(), missing))
    return "a hidden state of a row that is not there";
  return nullptr;
}

}  // namespace kinglet::ops

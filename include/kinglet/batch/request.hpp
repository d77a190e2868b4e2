// kinglet/batch/request.hpp: what does the batcher know of a session that wants rows, and of the room there is?
#pragma once
#include <cstdint>

namespace kinglet::batch {

/// A session that has tokens to compute.
struct Request {
  std::uint32_t id = 0;              ///< tells equal requests apart; unique
  std::uint32_t pending_tokens = 1;  ///< tokens that are not in the KV cache yet, >= 1; 1 while decoding
  std::uint32_t cached_tokens = 0;   ///< tokens in the KV cache
  std::uint32_t prepaid_tokens = 0;  ///< of the pending ones, how many have their pages reserved: they cost no bytes
  std::uint64_t arrival = 0;         ///< when it came, in any rising unit
  std::uint64_t last_served =
      0;                      ///< the step (BatchLimits::step) that last gave it rows; before that, the step it came
  std::int32_t priority = 0;  ///< steps of head start over the others, [-1024, 1024]
  bool decoding = false;      ///< its prompt is done: one row a step
};

/// What one step may use.
struct BatchLimits {
  std::uint64_t step = 0;             ///< the number of this step, rising by one
  std::uint32_t max_rows = 256;       ///< rows of a step
  std::uint32_t max_sequences = 32;   ///< sequences of a step; more than 32 counts as 32
  std::uint32_t page_tokens = 16;     ///< memory is taken in pages of so many tokens; 0 counts as 1
  std::uint64_t bytes_per_token = 0;  ///< estimated KV bytes of one token; 0 = memory does not matter
  std::uint64_t free_bytes = 0;       ///< bytes the KV cache can still take
  std::uint32_t patience = 4;         ///< steps after which a waiting prompt comes before decoding sessions
};

struct PlannedSequence {
  std::uint32_t request = 0;  ///< index into the requests
  std::uint32_t rows = 0;     ///< >= 1
};

/// Which limit kept rows out of a step? The last one that did.
enum class Bound : std::uint8_t {
  nothing,    ///< every pending row is in the plan
  rows,       ///< max_rows
  sequences,  ///< max_sequences, or the room in `out`
  memory,     ///< free_bytes
};

struct StepPlan {
  std::uint32_t sequences = 0;  ///< entries of `out`
  std::uint32_t rows = 0;       ///< their sum
  std::uint64_t bytes = 0;      ///< estimated, of the pages the step will take
  std::uint32_t waiting = 0;    ///< requests that got no row
  Bound bound = Bound::nothing;
};

}  // namespace kinglet::batch

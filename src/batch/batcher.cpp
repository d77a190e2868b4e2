// batch/batcher.cpp: in which order do sessions get rows, and when is a step full?
#include <kinglet/batch/batcher.hpp>

#include <algorithm>
#include <limits>

namespace kinglet::batch {
namespace {

/// A request's place in round 1; the smaller comes first.
struct Place {
  bool later;         ///< a prompt that has not waited long
  std::int64_t rank;  ///< minus (steps waited + priority)
  std::uint64_t arrival;
  std::uint32_t id;
  std::size_t index;  ///< so that even requests with the same id have an order

  friend bool operator<(const Place& a, const Place& b) noexcept {
    if (a.later != b.later) return b.later;
    if (a.rank != b.rank) return a.rank < b.rank;
    if (a.arrival != b.arrival) return a.arrival < b.arrival;
    if (a.id != b.id) return a.id < b.id;
    return a.index < b.index;
  }
};

Place place_of(const Request& r, std::size_t index, const BatchLimits& limits) noexcept {
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  const std::uint64_t waited = limits.step > r.last_served ? std::min(limits.step - r.last_served, most) : 0;
  return {!r.decoding && waited <= limits.patience, -static_cast<std::int64_t>(waited) - r.priority, r.arrival, r.id,
          index};
}

/// Memory that the plan may still take, in pages.
struct Room {
  std::uint64_t page_tokens;
  std::uint64_t page_bytes;  ///< 0 = no limit
  std::uint64_t pages;

  explicit Room(const BatchLimits& limits) noexcept : page_tokens(std::max(limits.page_tokens, 1u)) {
    const bool huge = limits.bytes_per_token > std::numeric_limits<std::uint64_t>::max() / page_tokens;
    page_bytes = huge ? std::numeric_limits<std::uint64_t>::max() : limits.bytes_per_token * page_tokens;
    pages = page_bytes == 0 ? std::numeric_limits<std::uint64_t>::max() : limits.free_bytes / page_bytes;
  }
  std::uint64_t pages_of(std::uint64_t tokens) const noexcept { return (tokens + page_tokens - 1) / page_tokens; }
  /// Pages that the first `rows` pending tokens take.
  std::uint64_t cost(const Request& r, std::uint64_t rows) const noexcept {
    const std::uint64_t paid = std::uint64_t{r.cached_tokens} + std::min(r.prepaid_tokens, r.pending_tokens);
    const std::uint64_t tokens = r.cached_tokens + rows;
    return tokens > paid ? pages_of(tokens) - pages_of(paid) : 0;
  }
  /// The most rows in [have, want] whose pages there are, given that those of `have` are paid.
  std::uint32_t affordable(const Request& r, std::uint32_t have, std::uint32_t want) const noexcept {
    const std::uint64_t paid = std::uint64_t{r.cached_tokens} + std::max(have, std::min(r.prepaid_tokens, want));
    const std::uint64_t free_in_page = pages_of(paid) * page_tokens - paid;
    const std::uint64_t done = paid - r.cached_tokens;
    if (pages > want) return want;  // a page holds a token at least; and the product below cannot wrap
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(want, done + free_in_page + pages * page_tokens));
  }
};

std::uint32_t pending(const Request& r) noexcept {
  return r.decoding ? std::min(r.pending_tokens, 1u) : r.pending_tokens;
}

/// Gives a planned sequence rows up to `want`, as far as memory goes.
void grow(const Request& r, PlannedSequence& sequence, std::uint32_t want, Room& room, StepPlan& plan) noexcept {
  const std::uint32_t rows = room.affordable(r, sequence.rows, want);
  if (rows < want) plan.bound = Bound::memory;
  const std::uint64_t pages = room.cost(r, rows) - room.cost(r, sequence.rows);
  room.pages -= pages;
  plan.bytes += pages * room.page_bytes;
  plan.rows += rows - sequence.rows;
  sequence.rows = rows;
}

/// Round 1.
void admit(std::span<const Request> requests, const BatchLimits& limits, std::span<PlannedSequence> out, Room& room,
           StepPlan& plan) noexcept {
  const std::size_t sequences = std::min<std::size_t>({limits.max_sequences, most_sequences, out.size()});
  Place last{};
  for (;;) {
    // Among those behind the last one admitted; whoever found no memory then finds none now.
    std::size_t best = requests.size();
    Place place{};
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const Place p = place_of(requests[i], i, limits);
      if (pending(requests[i]) == 0 || (plan.sequences > 0 && !(last < p))) continue;
      if (room.cost(requests[i], 1) > room.pages) {
        plan.bound = Bound::memory;
      } else if (best == requests.size() || p < place) {
        best = i;
        place = p;
      }
    }
    if (best == requests.size()) return;
    if (plan.sequences == sequences || plan.rows == limits.max_rows) {
      plan.bound = plan.sequences == sequences ? Bound::sequences : Bound::rows;
      return;
    }
    out[plan.sequences] = {static_cast<std::uint32_t>(best), 0};
    grow(requests[best], out[plan.sequences], 1, room, plan);
    ++plan.sequences;
    last = place;
  }
}

}  // namespace

StepPlan plan_step(std::span<const Request> requests, const BatchLimits& limits,
                   std::span<PlannedSequence> out) noexcept {
  StepPlan plan;
  Room room(limits);
  admit(requests, limits, out, room, plan);
  const auto planned = out.first(plan.sequences);
  const auto wants = [&](const PlannedSequence& s) { return s.rows < pending(requests[s.request]); };
  // Round 2: equal shares, then what is left over.
  auto prompts = static_cast<std::uint32_t>(std::count_if(planned.begin(), planned.end(), wants));
  for (PlannedSequence& s : planned) {
    if (!wants(s)) continue;
    const std::uint32_t share = (limits.max_rows - plan.rows) / prompts--;
    grow(requests[s.request], s, s.rows + std::min(share, pending(requests[s.request]) - s.rows), room, plan);
  }
  for (PlannedSequence& s : planned) {
    const std::uint32_t left = limits.max_rows - plan.rows;
    if (!wants(s)) continue;
    grow(requests[s.request], s, s.rows + std::min(left, pending(requests[s.request]) - s.rows), room, plan);
    if (plan.rows == limits.max_rows && wants(s)) plan.bound = Bound::rows;
  }
  for (const Request& r : requests) plan.waiting += pending(r) != 0 ? 1 : 0;
  plan.waiting -= plan.sequences;
  return plan;
}

std::uint32_t batch_size(std::span<const std::uint32_t> tokens, std::uint64_t bytes_per_token, std::uint64_t free_bytes,
                         std::uint64_t served) noexcept {
  std::uint64_t cap = most_sequences;
  if (served < warm_up_requests) cap = 1 + served * (most_sequences - 1) / warm_up_requests;
  std::uint64_t left = bytes_per_token == 0 ? std::numeric_limits<std::uint64_t>::max() : free_bytes / bytes_per_token;
  std::uint32_t count = 0;
  for (const std::uint32_t need : tokens) {
    if (count == cap || need > left) break;
    left -= need;
    ++count;
  }
  return count;
}

}  // namespace kinglet::batch

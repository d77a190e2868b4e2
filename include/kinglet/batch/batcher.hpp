// kinglet/batch/batcher.hpp: which sessions get how many rows of the next step?
//
// Pure functions from state to plan: no memory, no clock, the same answer for the same arguments, whatever the order of
// the requests.
#pragma once
#include <cstdint>
#include <span>

#include <kinglet/batch/request.hpp>
#include <kinglet/core/config.hpp>

namespace kinglet::batch {

/// Sequences of one step, at most.
inline constexpr std::uint32_t most_sequences = 32;

/// Greedy, in two rounds.
/// 1. One row each, to as many requests as the limits allow: first those that decode and those that have waited
///    `patience` steps, then the others. Among them the one with the most steps waited plus priority, then the earlier
///    arrival, then the lower id. A request whose row finds no memory is passed over.
/// 2. The rows that are left go to the prompts in the plan: an equal share each, then what is left over in the same
/// order. A waiting request rises by one with every step and a served one starts again, so none starves: with n
/// requests whose priorities differ by p at most, each gets a row at least once in n + p + patience + 1 steps, memory
/// allowing.
/// @param out  room for max_sequences entries (fewer is a limit too); filled in the order of round 1
KINGLET_API StepPlan plan_step(std::span<const Request> requests, const BatchLimits& limits,
                               std::span<PlannedSequence> out) noexcept;

/// Requests whose batches are kept small, so that a cold system is not asked for its most at once.
inline constexpr std::uint64_t warm_up_requests = 50;

/// How many waiting requests may be admitted together? The longest run from the front whose tokens find memory, at most
/// 32; while fewer than 50 requests were served, at most 1 + served * 31 / 50.
/// @param tokens           [waiting] tokens each will need, prompt and answer, in the order of arrival
/// @param bytes_per_token  estimated KV bytes of one token
/// @param free_bytes       bytes the KV cache can still take
/// @param served           requests that were finished so far
KINGLET_API std::uint32_t batch_size(std::span<const std::uint32_t> tokens, std::uint64_t bytes_per_token,
                                     std::uint64_t free_bytes, std::uint64_t served) noexcept;

}  // namespace kinglet::batch

// engine/commit.cpp: what does the end of a plan change in its sessions?
#include <algorithm>

#include "core/fail.hpp"
#include "engine/state.hpp"

namespace kinglet::engine {
namespace {

/// Which layer first met a number that is not finite, in words; ok where none did.
Error health(const EngineState& state, const OpenPlan& plan, const ops::Sequence& sequence) noexcept {
  for (std::uint32_t row = sequence.first_row; row < sequence.first_row + sequence.rows; ++row) {
    const std::int32_t layer = plan.backend->bad_layer(row);
    if (layer < 0) continue;
    const std::uint32_t position = plan.rows[row].position;
    if (layer == 0)
      return core::fail(Errc::not_finite, "the embedding of position {}, which enters layer 0, is not finite",
                        position);
    if (static_cast<std::uint32_t>(layer) >= state.config.layers) {
      return core::fail(Errc::not_finite, "position {} is not finite where it leaves layer {}, before the output layer",
                        position, state.config.layers - 1);
    }
    return core::fail(Errc::not_finite, "position {} is not finite where it leaves layer {}, before layer {}", position,
                      layer - 1, layer);
  }
  return {};
}

/// Hands the sampled token to the history and to the host.
void take_token(SessionSlot& slot) noexcept {
  EngineState& state = slot.engine;
  const std::int32_t token = slot.choice.token;
  const std::uint32_t before = static_cast<std::uint32_t>(slot.history.size());
  slot.history.push_back(token);  // within the capacity
  slot.size.store(before + 1);
  const bool ends = !slot.ignore_end && state.tokenizer.ends_generation(token);
  const bool full = before + 1 >= slot.end;

  FinishReason reason = ends ? FinishReason::end_of_turn : full ? FinishReason::length : FinishReason::none;
  text::StreamDecoder::Step step;
  if (!ends) step = slot.decoder.push(state.tokenizer.bytes(token));
  if (step.stopped) reason = FinishReason::stop_string;
  slot.shown += step.text.size();
  slot.event = {token, step.text, slot.choice.logprob, slot.choice.top};
  slot.has_event = true;
  if (reason == FinishReason::none) return;

  slot.last_text.assign(step.text);  // within the capacity, as is the rest
  slot.last_text.append(slot.decoder.flush());
  slot.event.text = slot.last_text;
  note_answer(slot, ends ? before : before + 1, reason == FinishReason::stop_string ? slot.shown : SIZE_MAX);
  finish(slot, reason);
}

}  // namespace

void note_answer(SessionSlot& slot, std::uint32_t last, std::size_t bytes) noexcept {
  if (slot.chat) slot.dialogue.answered(slot.answer_begin, last, bytes);
}

Error bad_output(std::uint32_t position) noexcept {
  return core::fail(Errc::not_finite, "the output layer, or its norm, makes position {} not finite", position);
}

void check_rows(const EngineState& state, OpenPlan& plan) noexcept {
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    if (plan.slots[i] == nullptr) continue;
    if (const Error error = health(state, plan, plan.sequences[i])) poison(*plan.slots[i], error);
  }
}

void sample_rows(OpenPlan& plan, std::uint32_t first, std::uint32_t last) noexcept {
  struct Job {
    OpenPlan& plan;
    std::uint32_t first;
    SessionSlot* slot(std::uint32_t row) const noexcept { return plan.slots[plan.rows[plan.logits[row]].sequence]; }
  };
  Job job{plan, first};
  const auto sample = [](void* context, std::uint32_t i) {
    const Job& j = *static_cast<Job*>(context);
    SessionSlot* const slot = j.slot(j.first + i);
    if (slot == nullptr) return;
    const auto choice = slot->sampler.sample(*j.plan.backend, j.first + i, slot->history, slot->history.size());
    slot->failure = choice.error();
    if (choice) slot->choice = *choice;
  };
  plan.backend->spread(last - first, sample, &job);
  for (std::uint32_t row = first; row < last; ++row) {
    SessionSlot* const slot = job.slot(row);
    if (slot == nullptr || !slot->failure) continue;
    const bool bad = slot->failure.code == Errc::not_finite;
    poison(*slot, bad ? bad_output(plan.rows[plan.logits[row]].position) : slot->failure);
  }
}

void commit(OpenPlan& plan) noexcept {
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    SessionSlot* const slot = plan.slots[i];
    if (slot == nullptr) continue;
    plan.slots[i] = nullptr;  // finish() must not undo what is committed here
    slot->processed += plan.sequences[i].rows;
    if (plan.logit_of[i] >= 0) take_token(*slot);
  }
  end_plan(plan);
}

}  // namespace kinglet::engine

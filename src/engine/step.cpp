// engine/step.cpp: which pieces of work run within a budget?
#include <algorithm>
#include <chrono>
#include <thread>

#include <kinglet/batch/batcher.hpp>
#include <kinglet/core/float_env.hpp>

#include "core/fail.hpp"
#include "engine/state.hpp"

namespace kinglet::engine {
namespace {

/// Puts a session's next tokens into the plan as rows.
Status add_sequence(OpenPlan& plan, SessionSlot& slot, std::uint32_t rows) noexcept {
  EngineState& state = slot.engine;
  const auto copy = slot.table.append(state.pool, rows);
  if (!copy) return copy.error();
  plan.slots.push_back(&slot);
  plan.logit_of.push_back(-1);
  const auto pages = slot.table.pages();
  plan.pages.insert(plan.pages.end(), pages.begin(), pages.end());  // within the capacity, so that none moves
  plan.sequences.push_back({static_cast<std::uint32_t>(plan.rows.size()), rows, slot.processed,
                            plan.pages.data() + (plan.pages.size() - pages.size())});
  for (std::uint32_t i = 0; i < rows; ++i) {
    const std::uint32_t position = slot.processed + i;
    plan.rows.push_back({slot.history[position], position, static_cast<std::uint32_t>(plan.sequences.size() - 1)});
  }
  slot.last_served = plan.made;
  return copy->tokens == 0 ? Status() : plan.backend->copy_page(copy->from, copy->to, copy->tokens);
}

/// The next token will be chosen after the plan's last row.
void add_choice(OpenPlan& plan, SessionSlot& slot) noexcept {
  const auto logits = static_cast<std::uint32_t>(plan.logits.size());
  plan.logit_of.back() = static_cast<std::int32_t>(logits);
  plan.logits.push_back(static_cast<std::uint32_t>(plan.rows.size() - 1));
  const auto choice = slot.sampler.request(logits, slot.history, slot.history.size());
  if (choice && plan.backend->samples(*choice)) plan.choices.push_back(*choice);
}

void clear(OpenPlan& plan) noexcept {
  plan.open = false;
  plan.rows.clear();
  plan.sequences.clear();
  plan.logits.clear();
  plan.choices.clear();
  plan.hidden.clear();
  plan.slots.clear();
  plan.logit_of.clear();
  plan.pages.clear();
  plan.op = 0;
  plan.phase = 0;
  plan.tile = 0;
}

Status begin_plan(EngineState& state, OpenPlan& plan) noexcept {
  plan.open = true;
  const Status begun = plan.backend->begin({plan.rows, plan.sequences, plan.logits, plan.hidden, plan.choices});
  if (!begun) abandon(state, plan);
  return begun;
}

/// Moves the cursor past phases and operations that have nothing to do.
/// @return the work at the cursor; no tiles at the end of the operations
ops::Work find_work(const EngineState& state, OpenPlan& plan) noexcept {
  for (; plan.op < state.forward.ops.size(); ++plan.op, plan.phase = 0) {
    const ops::Op& op = state.forward.ops[plan.op];
    for (; plan.phase < plan.backend->phases(op); ++plan.phase, plan.tile = 0) {
      const ops::Work work = plan.backend->work(op, plan.phase);
      if (plan.tile < work.tiles) return work;
    }
  }
  return {};
}

/// The clock of one step.
class Timer {
 public:
  Timer(const EngineState& state, std::chrono::nanoseconds budget) noexcept
      : state_(state), start_(state.now()), last_(start_), budget_(static_cast<double>(budget.count())) {}
  double left() const noexcept { return budget_ - spent(); }
  bool unlimited() const noexcept { return left() >= 60e9; }  ///< a minute is no frame
  double spent() const noexcept { return static_cast<double>(last_ - start_); }
  /// Nanoseconds since the last lap.
  double lap() noexcept {
    const std::uint64_t before = last_;
    last_ = std::max(state_.now(), before);
    return static_cast<double>(last_ - before);
  }

 private:
  const EngineState& state_;
  std::uint64_t start_;
  std::uint64_t last_;
  double budget_;  // nanoseconds
};

/// Runs tiles until the operations are done or the next tile would not fit.
/// @return whether they are done
Result<bool> walk(EngineState& state, OpenPlan& plan, Timer& timer, StepReport& report) noexcept {
  const std::size_t rows = plan.rows.size();
  for (;;) {
    const ops::Work work = find_work(state, plan);
    if (work.tiles == 0) return true;
    const ops::Op& op = state.forward.ops[plan.op];
    const std::size_t kind = static_cast<std::size_t>(op.kind);
    const std::uint32_t left = work.tiles - plan.tile;
    std::uint32_t tiles = state.costs.fit(kind, plan.phase, rows, work.cost, left, timer.left());
    if (tiles == 0) {
      if (report.pieces != 0) return false;
      tiles = 1;
    }
    if (const Status status = plan.backend->run(op, plan.phase, plan.tile, plan.tile + tiles); !status) {
      abandon(state, plan);
      return status.error();
    }
    state.costs.measured(kind, plan.phase, rows, work.cost, tiles, timer.lap());
    plan.tile += tiles;
    report.pieces += tiles;
  }
}

/// Looks whether what runs elsewhere has ended, as long as the budget lasts; without one it waits.
Result<bool> end_work(EngineState& state, OpenPlan& plan, Timer& timer) noexcept {
  for (;;) {
    const auto ended = plan.backend->finish(timer.unlimited());
    if (!ended) abandon(state, plan);
    if (!ended || *ended) return ended;
    (void)timer.lap();
    if (timer.left() <= 0.0) return false;
    std::this_thread::yield();
  }
}

/// Samples from the plan's rows of logits, one piece each.
bool sample_all(EngineState& state, OpenPlan& plan, Timer& timer, StepReport& report) noexcept {
  const float cost = static_cast<float>(state.config.vocab);
  const auto rows = static_cast<std::uint32_t>(plan.logits.size());
  if (plan.tile == 0) check_rows(state, plan);
  while (plan.tile < rows) {
    const std::uint32_t left = plan.backend->spreads() ? rows - plan.tile : 1;
    std::uint32_t n = state.costs.fit(CostModel::sampling, 0, 1, cost, left, timer.left());
    if (n == 0 && report.pieces != 0) return false;
    n = std::max(n, 1u);
    sample_rows(plan, plan.tile, plan.tile + n);
    state.costs.measured(CostModel::sampling, 0, 1, cost, n, timer.lap());
    plan.tile += n;
    report.pieces += n;
  }
  return true;
}

/// Gives the others' plan up if somebody has left it: it still writes to pages that are free, and an urgent plan is
/// about to take some.
void clear_way(EngineState& state) noexcept {
  const auto& slots = state.plan.slots;
  if (state.plan.open && std::find(slots.begin(), slots.end(), nullptr) != slots.end()) abandon(state, state.plan);
}

/// Lists the running sessions whose work this plan is for.
void find_requests(EngineState& state, OpenPlan& plan) noexcept {
  plan.requests.clear();
  plan.waiting.clear();
  for (SessionSlot* const slot : state.slots) {
    if (slot->closed || slot->state.load() != SessionState::running || &state.plan_of(*slot) != &plan) continue;
    batch::Request request;
    request.id = slot->id;
    request.pending_tokens = static_cast<std::uint32_t>(slot->history.size()) - slot->processed;
    request.cached_tokens = slot->processed;
    request.prepaid_tokens = request.pending_tokens;  // submit() has reserved all pages
    request.arrival = slot->arrival;
    request.last_served = slot->last_served;
    request.priority = slot->priority;
    request.decoding = slot->history.size() > slot->answer_begin;
    plan.requests.push_back(request);
    plan.waiting.push_back(slot);
  }
}

/// Asks the batcher who works on how many rows next.
Status make_plan(EngineState& state, OpenPlan& plan) noexcept {
  find_requests(state, plan);
  if (plan.requests.empty()) return {};
  clear(plan);
  ++plan.made;
  if (&plan == &state.urgent) clear_way(state);
  batch::BatchLimits limits;
  limits.step = plan.made;
  limits.max_rows = plan.max_rows;
  limits.max_sequences = plan.max_sequences;
  batch::PlannedSequence planned[batch::most_sequences];
  const batch::StepPlan step = batch::plan_step(plan.requests, limits, planned);
  plan.open = true;  // so that abandon() takes back the pages of those already in it
  for (std::uint32_t i = 0; i < step.sequences; ++i) {
    SessionSlot& slot = *plan.waiting[planned[i].request];
    std::uint32_t rows = planned[i].rows;
    const bool all = rows == plan.requests[planned[i].request].pending_tokens;
    const bool samples = all && plan.logits.size() < plan.max_logits;
    if (all && !samples && --rows == 0) continue;  // its last row waits for a step that has logits to spare
    if (const Status status = add_sequence(plan, slot, rows); !status) {
      abandon(state, plan);
      return status;
    }
    if (samples) add_choice(plan, slot);
  }
  if (plan.rows.empty()) {
    end_plan(plan);
    return {};
  }
  return begin_plan(state, plan);
}

/// Goes on with a plan, or with a new one where none is open, until it is committed or the time is over.
/// @return whether it has nothing left to do
Result<bool> work_on(EngineState& state, OpenPlan& plan, Timer& timer, StepReport& report) noexcept {
  if (!plan.open) {
    if (const Status status = make_plan(state, plan); !status) return status.error();
    if (!plan.open) return true;
  }
  if (const Status status = state.file.unchanged(); !status) {  // once a step, before the file is read
    abandon(state, plan);
    return status.error();
  }
  report.rows += static_cast<std::uint32_t>(plan.rows.size());
  (void)timer.lap();
  const auto done = walk(state, plan, timer, report);
  if (!done) return done;
  const auto ended = *done ? end_work(state, plan, timer) : done;
  if (!ended) return ended;
  if (!*ended) report.pieces = std::max(report.pieces, 1u);  // to wait is something to do
  if (!*ended || !sample_all(state, plan, timer, report)) return false;
  commit(plan);
  report.committed = true;
  return true;
}

}  // namespace

std::uint64_t EngineState::now() const noexcept {
  if (hooks.clock != nullptr) return hooks.clock(hooks.user);
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

Result<StepReport> step(EngineState& state, std::chrono::nanoseconds budget) noexcept {
  if (budget.count() < 0) return Error{Errc::invalid_argument, "a step's budget is below zero"};
  const core::FloatEnvironment environment;
  Timer timer(state, budget);
  StepReport report;
  for (SessionSlot* const slot : state.slots) slot->has_event = false;
  bool others = true;
  if (state.urgent.backend != nullptr) {
    const auto idle = work_on(state, state.urgent, timer, report);
    if (!idle) return idle.error();
    others = *idle && (report.pieces == 0 || (timer.left() > 0.0 && !timer.unlimited()));
  }
  if (others) {
    if (const auto idle = work_on(state, state.plan, timer, report); !idle) return idle.error();
  }
  (void)timer.lap();
  report.spent = std::chrono::nanoseconds(static_cast<std::int64_t>(timer.spent()));
  report.overrun = std::max(report.spent - budget, std::chrono::nanoseconds(0));
  return report;
}

void end_plan(OpenPlan& plan) noexcept { clear(plan); }

void abandon(EngineState& state, OpenPlan& plan) noexcept {
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    SessionSlot* const slot = plan.slots[i];
    if (slot == nullptr) continue;
    leave_plan(*slot);
    // What a running session was promised it still has: these pages have just gone back.
    if (slot->state.load() == SessionState::running) (void)slot->table.promise(state.pool, slot->end - slot->processed);
  }
  end_plan(plan);
}

Status begin_alone(SessionSlot& slot, std::uint32_t rows, bool logits, bool hidden) noexcept {
  EngineState& state = slot.engine;
  if (const Status status = state.file.unchanged(); !status) return status;
  OpenPlan& plan = state.plan;
  clear(plan);
  ++plan.made;
  plan.open = true;
  if (const Status status = add_sequence(plan, slot, rows); !status) {
    abandon(state, plan);
    return status;
  }
  for (std::uint32_t row = 0; row < rows; ++row) {
    if (logits) plan.logits.push_back(row);
    if (hidden) plan.hidden.push_back(row);
  }
  return begin_plan(state, plan);
}

Status run_all(EngineState& state) noexcept {
  const core::FloatEnvironment environment;
  StepReport report;
  Timer timer(state, std::chrono::hours(24));
  const auto done = walk(state, state.plan, timer, report);
  if (!done) return done.error();
  const auto ended = end_work(state, state.plan, timer);
  return ended ? Status() : Status(ended.error());
}

}  // namespace kinglet::engine

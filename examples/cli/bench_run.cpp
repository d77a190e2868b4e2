// examples/cli/bench_run.cpp: how long does an engine take for a piece of work?
#include "bench_run.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "arrivals.hpp"
#include "failure.hpp"
#include "interrupt.hpp"
#include "machine.hpp"
#include "random.hpp"
#include "stopwatch.hpp"

namespace kinglet::cli {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0.0; }

/// One session of the work, from its submit on.
struct Speaker {
  Session session;
  double submitted_ms = 0;
  double last_ms = -1;  ///< of its last token; < 0 = none yet
  bool submitted = false;
};

class Run {
 public:
  Run(Engine& engine, const BenchWork& work, const Probe& probe, const std::function<void(double)>& on_step)
      : engine_(engine), work_(work), probe_(probe), on_step_(on_step), random_(work.seed) {
    speakers_.resize(work.sessions);
    for (Speaker& speaker : speakers_)
      speaker.session = take(engine.open_session({.format = PromptFormat::text}), "a session");
    if (work.arrivals_per_s > 0) arrivals_ = poisson_arrivals(work.sessions, work.arrivals_per_s, work.seed);
  }

  BenchSample go() {
    for (std::size_t i = 0; i < speakers_.size() && arrivals_.empty(); ++i) submit(i);
    while (!interrupted() && !over_) {
      if (!wait_for_arrivals()) step();
    }
    if (!arrivals_.empty()) out_.decode_s = now_ms() * 1e-3;
    return std::move(out_);
  }

 private:
  /// Since the start, without what was spent on spinning.
  double now_ms() const { return watch_.seconds() * 1e3 - spun_ms_; }

  void submit(std::size_t i) {
    std::vector<std::int32_t> prompt;
    while (prompt.size() < work_.prompt) {
      const auto token = static_cast<std::int32_t>(random_.below(engine_.model().vocab));
      if (engine_.tokenizer().type(token) == text::TokenType::normal) prompt.push_back(token);
    }
    GenerateOptions options{.max_new_tokens = work_.tokens, .ignore_end = true};
    options.sampling.seed = work_.seed + i;
    check(speakers_[i].session.submit_tokens(prompt, options), "the prompt");
    speakers_[i].submitted = true;
    speakers_[i].submitted_ms = arrivals_.empty() ? 0 : arrivals_[i] * 1e3;
  }

  /// Submits those who have come; true where nobody speaks and it was waited for the next one.
  bool wait_for_arrivals() {
    bool running = false;
    for (std::size_t i = 0; i < arrivals_.size(); ++i) {
      if (!speakers_[i].submitted && arrivals_[i] * 1e3 <= now_ms()) submit(i);
      running = running || speakers_[i].session.state() == SessionState::running;
      if (speakers_[i].submitted || running) continue;
      std::this_thread::sleep_for(std::min(Milliseconds(arrivals_[i] * 1e3 - now_ms()), Milliseconds(20)));
      return true;
    }
    return false;
  }

  void step() {
    const bool budgeted = work_.budget_ms > 0;
    const auto budget = budgeted ? std::chrono::duration_cast<std::chrono::nanoseconds>(Milliseconds(work_.budget_ms))
                                 : std::chrono::nanoseconds(std::chrono::hours(1));
    const bool probed = !budgeted && arrivals_.empty();
    const bool prompts = began_ < speakers_.size();
    const std::function<Limits()>& measure = prompts ? probe_.prefill : probe_.decode;
    if (probed && measure && !done_ && !last_limits_) last_limits_ = unclocked(measure);
    const double before = now_ms();
    const std::uint64_t tokens = out_.decoded;
    const StepReport report = take(engine_.step(budget), "a step");
    const double now = now_ms();
    out_.steps_ms.push_back(now - before);
    collect(now);
    if (report.committed) rows_ += report.rows;
    if (probed && measure && last_limits_)
      prompts ? pair_prefill(now - before) : pair_decode(now - before, out_.decoded - tokens);
    show_progress();
    if (!budgeted) return;
    out_.spins_ms.push_back(spin_times(budget, 1)[0]);
    spun_ms_ += watch_.seconds() * 1e3 - spun_ms_ - now;
  }

  void show_progress() {
    if (!on_step_) return;
    const double start = now_ms();
    on_step_(std::min(1.0, rows_ / (static_cast<double>(work_.sessions) * (work_.prompt + work_.tokens))));
    spun_ms_ += now_ms() - start;
  }

  /// What `measure` gives, its time in no sum.
  Limits unclocked(const std::function<Limits()>& measure) {
    const double now = now_ms();
    const Limits limits = measure();
    spun_ms_ += now_ms() - now;
    return limits;
  }

  /// After a step of the prompts that took `ms`: what the integer units could do meanwhile is the higher of the
  /// measurements on both sides of it.
  void pair_prefill(double ms) {
    const Limits after = unclocked(probe_.prefill);
    const Limits limits = best_of(*last_limits_, after);
    last_limits_ = after;
    group_ms_ += ms;
    prompt_limits_.vnni_gops += limits.vnni_gops * ms;
    prompt_limits_.vnni_group32_gops += limits.vnni_group32_gops * ms;
    if (began_ < speakers_.size()) return;
    prompt_limits_.vnni_gops /= group_ms_;
    prompt_limits_.vnni_group32_gops /= group_ms_;
    const double tokens = static_cast<double>(work_.prompt) * work_.sessions;
    out_.prefill_pair = Pair{rate(tokens, group_ms_ * 1e-3), prompt_limits_};
    last_limits_.reset();
    group_ms_ = 0;
  }

  /// After a step that took `ms` and gave so many tokens; a group that a session's end cuts short makes no pair.
  void pair_decode(double ms, std::uint64_t tokens) {
    group_ms_ += ms;
    group_tokens_ += tokens;
    if (++group_steps_ < probe_.group || done_) return;
    const Limits after = unclocked(probe_.decode);
    const double each = rate(static_cast<double>(group_tokens_), group_ms_ * 1e-3);
    out_.decode_pairs.push_back({each, best_of(*last_limits_, after)});
    last_limits_ = after;
    group_ms_ = 0;
    group_tokens_ = 0;
    group_steps_ = 0;
  }

  /// Counts the step's tokens. Decoding is timed between the step with the last first token and the first end.
  void collect(double now) {
    const bool all_began = began_ == speakers_.size();
    bool running = false;
    bool ended = false;
    for (Speaker& speaker : speakers_) {
      if (!speaker.submitted) {
        running = true;
        continue;
      }
      if (speaker.session.state() == SessionState::poisoned)
        bad_input("a session failed: {}", static_cast<const char*>(speaker.session.error().message));
      const bool runs = speaker.session.state() == SessionState::running;
      running = running || runs;
      ended = ended || !runs;
      const std::size_t tokens = speaker.session.tokens().size();
      if (tokens == 0) continue;
      if (!done_ && (all_began || !arrivals_.empty())) out_.decoded += tokens;
      if (speaker.last_ms < 0) {
        ++began_;
        out_.first_token_ms.push_back(now - speaker.submitted_ms);
      } else {
        out_.longest_wait_ms = std::max(out_.longest_wait_ms, now - speaker.last_ms);
      }
      speaker.last_ms = now;
    }
    over_ = !running;
    if (!arrivals_.empty()) return;
    if (!all_began && began_ == speakers_.size()) out_.prefill_s = now * 1e-3;
    if (all_began && !done_) out_.decode_s = now * 1e-3 - out_.prefill_s;
    done_ = done_ || (ended && began_ == speakers_.size());
  }

  Engine& engine_;
  const BenchWork& work_;
  const Probe& probe_;
  const std::function<void(double)>& on_step_;
  Random random_;
  std::vector<Speaker> speakers_;
  std::vector<double> arrivals_;
  std::size_t began_ = 0;
  bool done_ = false;  ///< a session has ended
  bool over_ = false;
  double spun_ms_ = 0;
  double rows_ = 0;                    ///< of all steps that are done
  std::optional<Limits> last_limits_;  ///< measured last, in the same phase
  Limits prompt_limits_;               ///< times milliseconds, then their mean
  double group_ms_ = 0;
  std::uint64_t group_tokens_ = 0;
  std::uint32_t group_steps_ = 0;
  BenchSample out_;
  const Stopwatch watch_;
};

}  // namespace

double BenchSample::prefill_rate(const BenchWork& work) const {
  return rate(static_cast<double>(work.prompt) * work.sessions, prefill_s);
}

double BenchSample::decode_rate() const { return rate(static_cast<double>(decoded), decode_s); }

BenchSample run_work(Engine& engine, const BenchWork& work, const Probe& probe,
                     const std::function<void(double)>& on_step) {
  return Run(engine, work, probe, on_step).go();
}

}  // namespace kinglet::cli

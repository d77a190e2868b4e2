// engine/submit.cpp: how does a prompt become tokens that wait, without anything half done on failure?
#include <algorithm>

#include "core/fail.hpp"
#include "engine/state.hpp"
#include "engine/utf8.hpp"

namespace kinglet::engine {
namespace {

constexpr std::size_t max_stops = 16;

/// The new end of a history: what of it stays, and what follows.
struct Prompt {
  std::uint32_t kept = 0;
  std::span<const std::int32_t> rest;
};

Status check_options(const SessionSlot& slot, const GenerateOptions& options) noexcept {
  if (slot.state.load() == SessionState::poisoned) {
    return core::fail(Errc::poisoned, "this session failed ({}); call reset() first", slot.failure.message);
  }
  if (slot.state.load() == SessionState::running) {
    return Error{Errc::busy, "a generation is running in this session: wait for its end, or stop() it"};
  }
  if (options.stop.size() > max_stops) {
    return core::fail(Errc::invalid_argument, "{} stop texts; at most {} are allowed", options.stop.size(), max_stops);
  }
  for (std::size_t i = 0; i < options.stop.size(); ++i) {
    const std::string_view stop = options.stop[i];
    if (stop.empty() || stop.size() > text::StreamDecoder::longest_stop || find_invalid(stop) != stop.size()) {
      return core::fail(Errc::invalid_argument, "stop text {} is empty, not UTF-8 or longer than {} bytes", i,
                        text::StreamDecoder::longest_stop);
    }
  }
  return sample::Sampler::check(options.sampling, static_cast<std::int32_t>(slot.engine.config.vocab));
}

/// A token covers at most longest_piece() bytes, so that a prompt of many megabytes need not be cut up to be refused.
Status check_length(const SessionSlot& slot, std::size_t bytes) noexcept {
  const std::size_t longest = std::max<std::size_t>(slot.engine.tokenizer.longest_piece(), 1);
  if (bytes / longest <= slot.engine.options.context) return {};
  return core::fail(Errc::context_full, "a prompt of {} bytes cannot fit a context of {} tokens", bytes,
                    slot.engine.options.context);
}

Status check_text(std::string_view text) noexcept {
  const std::size_t at = find_invalid(text);
  if (at == text.size()) return {};
  return core::fail(Errc::invalid_argument, "the prompt is not UTF-8 at byte {}", at);
}

/// Pages that a session which keeps `kept` tokens needs beyond its own for `end` tokens, against what the pool can
/// give.
bool pages_fit(const SessionSlot& slot, std::uint32_t kept, std::uint32_t end) noexcept {
  const kv::PagePool& pool = slot.engine.pool;
  const auto pages = slot.table.pages();
  const std::uint32_t stay = kv::PageTable::count(kept);
  std::uint32_t need = kv::PageTable::count(end) - stay;
  if (kept % kv::page_size != 0 && pool.shared(pages[stay - 1])) ++need;
  std::uint32_t have = pool.available() + slot.table.reserved();
  for (std::size_t i = stay; i < pages.size(); ++i) have += pool.shared(pages[i]) ? 0 : 1;
  return need <= have;
}

/// Where the generation must end. context_full where there is no room for one new token.
Result<std::uint32_t> find_end(const SessionSlot& slot, std::uint64_t prompt, const GenerateOptions& options) noexcept {
  const std::uint32_t context = slot.engine.options.context;
  const std::uint64_t want = prompt + std::max<std::uint64_t>(options.max_new_tokens, 1);
  if (want > context) {
    return core::fail(
        Errc::context_full,
        "{} tokens of history and prompt and {} new ones do not fit a context of {}; rewind() the session, or "
        "raise EngineOptions::context",
        prompt, std::max(options.max_new_tokens, 1u), context);
  }
  return options.max_new_tokens == 0 ? context : static_cast<std::uint32_t>(want);
}

/// Everything of a submit that may fail, then everything that changes the session. `commit` runs once nothing can fail.
template <class Commit>
Status begin(SessionSlot& slot, const Prompt& prompt, const GenerateOptions& options, Commit&& commit) noexcept {
  EngineState& state = slot.engine;
  const std::uint64_t total = std::uint64_t{prompt.kept} + prompt.rest.size();
  if (total == 0)
    return Error{Errc::invalid_argument, "there is nothing to continue: the prompt and the history are empty"};
  const auto end = find_end(slot, total, options);
  if (!end) return end.error();
  // The last token is worked on anew where nothing else is pending, since its logits are gone.
  const std::uint32_t kept = std::min({slot.processed, prompt.kept, static_cast<std::uint32_t>(total) - 1});
  if (!pages_fit(slot, kept, *end)) {
    return core::fail(
        Errc::context_full,
        "the KV cache has no pages for {} tokens; close or rewind a session, ask for fewer new tokens, or raise "
        "EngineOptions::kv_tokens",
        *end - kept);
  }
  slot.has_event = false;  // its text lies in what is made anew here
  if (const Status status = core::guarded([&]() -> Status {
        slot.last_text.reserve(last_text_room(state, options.stop));
        return slot.decoder.reset(options.stop);
      });
      !status) {
    return status;
  }
  if (const Status status = slot.sampler.configure(options.sampling); !status) return status;

  cut_tokens(slot, prompt.kept);
  // Within the capacity, and so right even where the tokens are a part of the history.
  for (const std::int32_t token : prompt.rest) slot.history.push_back(token);
  slot.size.store(static_cast<std::uint32_t>(slot.history.size()));
  slot.processed = kept;
  (void)slot.table.truncate(state.pool, kept);
  if (const Status status = slot.table.promise(state.pool, *end - kept); !status) return status;
  slot.end = *end;
  slot.answer_begin = static_cast<std::uint32_t>(total);
  slot.shown = 0;
  slot.ignore_end = options.ignore_end;
  slot.last_served = state.plan_of(slot).made;
  slot.arrival = ++state.submits;
  slot.failure = {};
  commit();
  slot.finish.store(FinishReason::none);
  slot.state.store(SessionState::running);
  return {};
}

Status submit_text(SessionSlot& slot, std::string_view prompt, const GenerateOptions& options) {
  EngineState& state = slot.engine;
  if (const Status status = check_length(slot, prompt.size()); !status) return status;
  std::pmr::vector<std::int32_t> tokens(&state.scratch);
  const text::EncodeOptions encode{.add_special = slot.history.empty(), .parse_special = options.special_tokens};
  if (const Status status = state.tokenizer.encode(prompt, encode, tokens); !status) return status;
  // EOS after the text would be the end, not a beginning.
  if (slot.history.empty() && state.tokenizer.add_eos() && !tokens.empty() && tokens.back() == state.tokenizer.eos()) {
    tokens.pop_back();
  }
  return begin(slot, {static_cast<std::uint32_t>(slot.history.size()), tokens}, options, [] {});
}

Status submit_chat(SessionSlot& slot, std::string_view prompt, const GenerateOptions& options) {
  EngineState& state = slot.engine;
  Dialogue& dialogue = slot.dialogue;
  dialogue.settle(state.tokenizer, slot.history);
  std::pmr::string text(&state.scratch);
  if (const Status status = dialogue.render(state.chat_template, state.tokenizer, prompt, options.special_tokens, text);
      !status) {
    return status;
  }
  const std::size_t known = dialogue.known_prefix(text, state.tokenizer, slot.history);
  if (const Status status = check_length(slot, text.size() - known); !status) return status;
  std::pmr::vector<std::int32_t> tokens(&state.scratch);
  const text::EncodeOptions encode{.add_special = false, .parse_special = true};
  if (const Status status = state.tokenizer.encode(std::string_view(text).substr(known), encode, tokens); !status) {
    return status;
  }
  Prompt next{static_cast<std::uint32_t>(slot.history.size()), tokens};
  if (known == 0) {
    const auto differ = std::mismatch(tokens.begin(), tokens.end(), slot.history.begin(), slot.history.end());
    next.kept = static_cast<std::uint32_t>(differ.first - tokens.begin());
    next.rest = next.rest.subspan(next.kept);
  }
  dialogue.reserve(prompt.size(), text.size());
  // The prompt may be a view of this session's last token, whose text begin() reuses.
  const std::pmr::string own(prompt, &state.scratch);
  return begin(slot, next, options, [&] { dialogue.said(own, text, next.kept, slot.answer_begin); });
}

}  // namespace

Status submit(SessionSlot& slot, std::string_view prompt, const GenerateOptions& options) noexcept {
  if (const Status status = check_options(slot, options); !status) return status;
  if (const Status status = check_length(slot, prompt.size()); !status) return status;
  if (const Status status = check_text(prompt); !status) return status;
  const Scratch::Open open(slot.engine.scratch);
  return core::guarded(
      [&]() -> Status { return slot.chat ? submit_chat(slot, prompt, options) : submit_text(slot, prompt, options); });
}

Status submit_tokens(SessionSlot& slot, std::span<const std::int32_t> tokens, const GenerateOptions& options) noexcept {
  if (const Status status = check_options(slot, options); !status) return status;
  const std::int32_t vocab = static_cast<std::int32_t>(slot.engine.config.vocab);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab) {
      return core::fail(Errc::invalid_argument, "token {} is {}; ids go from 0 to {}", i, tokens[i], vocab - 1);
    }
  }
  return core::guarded([&]() -> Status {
    slot.dialogue.settle(slot.engine.tokenizer, slot.history);
    return begin(slot, {static_cast<std::uint32_t>(slot.history.size()), tokens}, options, [] {});
  });
}

}  // namespace kinglet::engine

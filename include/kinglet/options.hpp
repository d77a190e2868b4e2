// kinglet/options.hpp: what can a host ask for, and in which units?
//
// Every field has a default. A value out of its range is rejected with invalid_argument, never clamped. Views (strings
// and spans) need to live only as long as the call they are handed to. One variable of the environment is read,
// KINGLET_BACKEND, by Engine::load and Engine::plan where EngineOptions::backend is empty; nothing else reads any.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <kinglet/core/hooks.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/ops/backend.hpp>
#include <kinglet/sample/sampler.hpp>
#include <kinglet/text/chat_template.hpp>

namespace kinglet {

using model::FileAccess;
using ops::Activations;
using ops::Bits;
using ops::KvFormat;
using ops::ScoreFormat;
using sample::SamplerOptions;
using text::Message;

struct EngineOptions {
  /// "scalar", "avx2", "avx512", "amx", "neon", "cuda"; "" = $KINGLET_BACKEND if it is set, else the best CPU backend.
  std::string_view backend{};
  std::int32_t device = -1;      ///< cuda: which GPU, counted from 0; -1 = the first
  std::int32_t gpu_layers = -1;  ///< cuda: layers on the GPU, [0, layers], the last ones and the output layer; the
                                 ///< others run on the CPU; -1 = as many as its free memory holds
  void* stream = nullptr;        ///< cuda: the host's cudaStream_t, which outlives the engine and on which the work is
                                 ///< enqueued behind the host's; null = a stream of its own of the lowest priority
  /// Threads of a step, [1, 256]; 1 = the caller's alone, no thread is started. What the system and std::thread take
  /// for a thread (a stack, a few dozen bytes) does not come through `hooks`; with Hooks::parallel_for there are none.
  unsigned threads = 1;
  /// Tokens a session can hold, [1, 2^24]; beyond the trained length: a warning in the log.
  std::uint32_t context = 2048;
  std::uint32_t max_sessions = 4;  ///< sessions open at once, [1, 1024]
  std::uint64_t kv_tokens = 0;     ///< tokens the KV cache holds for all sessions; 0 = context * max_sessions
  std::uint32_t max_rows = 256;    ///< tokens that one step may work on, [1, 4096]
  std::uint32_t max_logits = 0;    ///< rows of a step with logits, [1, max_rows]; 0 = min(max_sessions, 32, max_rows)
  /// Tokens of urgent sessions that one step may work on, [0, max_rows]; 0 = no session may be urgent, and no memory is
  /// taken for it. CPU backends only.
  std::uint32_t urgent_rows = 0;
  std::size_t memory_limit = 0;  ///< bytes, mapped file included; 0 = none. Engine::plan tells the least that works

  Activations activations = Activations::int8;
  KvFormat kv = KvFormat::fp16;
  ScoreFormat scores = ScoreFormat::fp16;
  /// cuda: device lets its products of more than 8 rows (prefill) read FP16 activations and round in the GPU's own way,
  /// at another speed: the bits then depend on the GPU and on how a step's rows come together (docs/numbers.md, Device
  /// bits). Refused where no layer is on a GPU.
  Bits bits = Bits::exact;
  std::uint32_t window = 0;   ///< positions a token sees back, itself included; 0, or no less than the context = all
  std::uint32_t globals = 0;  ///< first positions that are always seen; needs a window
  float gate = 0.0f;          ///< share of each product's input channels that the sparse gate drops, [0, 1)

  /// Re-quantizes the output layer at load, to Q4_0 or Q8_0: fewer bytes a token at some loss. None = as in the file.
  std::optional<quant::Format> output_weights{};

  FileAccess file_access = FileAccess::map;
  /// Load touches the CPU backend's buffers, the whole KV cache on the CPU and the tensors that stay mapped, so that
  /// steps do not wait for the system to make or to read those pages; the KV cache lies in large pages where the system
  /// has them (not with Hooks::allocate). All of it is resident from the start, and a load takes longer: set
  /// memory_limit to what is free, since a system short of memory may end the process. The file's part needs Linux
  /// 5.14; before, it is left out.
  bool prefault = false;
  std::string_view pre_tokenizer{};  ///< overrides the name in the file; "" = the file's

  /// Called while loading with the share done, [0, 1]; returning false ends the load with Errc::cancelled. Must not
  /// throw.
  bool (*progress)(void* user, float done) = nullptr;
  void* progress_user = nullptr;

  Hooks hooks{};
};

/// How a session turns what is submitted into tokens.
enum class PromptFormat : std::uint8_t {
  automatic,  ///< chat where the model has a template, else text
  chat,       ///< each submit is a user's message in the model's chat template; unsupported where it has none
  text,       ///< each submit is text that continues the history as it stands
};

struct SessionOptions {
  PromptFormat format = PromptFormat::automatic;
  std::string_view system{};           ///< chat: the system message; "" = none is given to the template
  std::span<const Message> history{};  ///< chat: earlier messages, oldest first
  std::string_view tools_json{};       ///< chat: a JSON array of tool descriptions; "" = none
  std::string_view template_json{};    ///< chat: a JSON object of further template variables; "" = none
  std::int32_t priority = 0;           ///< [-1024, 1024]; a head start of so many steps over the others
  /// Its tokens are the very next work of a step, even where the others' is half done: they stop between two pieces and
  /// go on in what is left of the budget. Needs EngineOptions::urgent_rows.
  bool urgent = false;
};

struct GenerateOptions {
  std::uint32_t max_new_tokens = 0;          ///< 0 = as many as the context holds
  std::span<const std::string_view> stop{};  ///< generation ends before any of these texts; at most 16, none empty
  SamplerOptions sampling{};
  bool special_tokens = false;  ///< control tokens spelt in the prompt are taken as such, not as text
  bool ignore_end = false;      ///< go on where the model would end its turn
};

/// What an engine will take, in bytes; exact for the default GenerateOptions. Stop texts, lists of the sampler, DRY,
/// and conversations of more than six bytes a token of context take more, in submit(), which then may say
/// out_of_memory.
struct MemoryPlan {
  std::size_t weights = 0;      ///< the file, mapped or copied, and what the backend keeps in an order of its own
  std::size_t vocabulary = 0;   ///< tokenizer and chat template
  std::size_t kv_cache = 0;     ///< the page pool
  std::size_t activations = 0;  ///< the backend's other buffers
  std::size_t sessions = 0;     ///< max_sessions of them
  std::size_t engine = 0;       ///< everything else; among it the scratch memory of submit()
  std::size_t total = 0;        ///< the sum, and so the least memory_limit that works
};

/// What an engine takes now, in bytes.
struct MemoryUse {
  std::size_t mapped = 0;
  std::size_t allocated = 0;    ///< through Hooks::allocate
  std::size_t peak = 0;         ///< the most of both at once
  std::size_t limit = 0;        ///< 0 = none
  std::uint64_t kv_tokens = 0;  ///< the pool's size
  std::uint64_t kv_tokens_free = 0;
  std::uint32_t sessions = 0;  ///< open ones
};

}  // namespace kinglet

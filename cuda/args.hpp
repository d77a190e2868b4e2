// cuda/args.hpp: what does each kernel read and write?
//
// One plain struct a kernel, filled by the host. Shapes stand beside the views; a view may be null where it says so.
// `rows` are the rows of the step, `n` those that a kernel works on. All lengths of rows are as they come: no padding.
#pragma once
#include <cstdint>

#include "view.hpp"

namespace kinglet::cuda {

/// Embedding rows, and the rotary table of the step. One block a row.
struct EmbedArgs {
  View<const std::uint8_t> weight;         ///< [vocab][row_bytes]
  View<const std::int32_t> token;          ///< [rows]
  View<const std::uint32_t> position;      ///< [rows]
  View<const std::uint64_t> rotary_steps;  ///< [pairs]
  View<float> x;                           ///< out, [rows][cols]
  View<float> cos, sin;                    ///< out, [rows][pairs]
  std::uint64_t row_bytes;
  std::uint32_t cols, pairs;
};

/// Words of four FP16 that a row of `cols` takes: whole steps of 16 columns, with 0 past the end.
KINGLET_HD constexpr std::uint32_t half_words(std::uint32_t cols) noexcept { return (cols + 15) / 16 * 4; }

/// Norm, and the activations of a row in the form that products read. One block a row of n.
struct PrepareArgs {
  View<const float> x;              ///< [.][cols]
  View<const std::uint32_t> which;  ///< [n] rows of x; null: row i is row i
  View<const float> norm;           ///< [cols]; null: x is taken as it is and `values` is not written
  View<float> values;               ///< out, [n][cols]
  View<std::int8_t> q;              ///< int8: out, [n][cols]
  View<std::int32_t> codes;         ///< fp8: out, [n][cols], values times 2^9
  View<std::uint64_t> halves;       ///< halves: out, [n][half_words(cols)]
  View<float> d;                    ///< out, int8: [n][cols / 32]; fp8: [n][cols / 128, rounded up], times 2^-9;
                                    ///< halves: [n], a power of two
  View<std::int32_t> sums;          ///< out, [n][cols / 16], of q or codes
  View<std::uint32_t> bad;          ///< in and out, [rows]: as Backend::bad_layer(); null: unasked
  std::uint32_t layer;              ///< what stands there where this row is not finite
  float eps;
  std::uint32_t cols;
};

/// The gate: the channels of a row that count least become +0. One block a row of n.
struct GateArgs {
  View<float> x;                 ///< in and out, [n][cols]
  View<const float> importance;  ///< [cols]
  std::uint32_t cols;
  std::uint32_t drop;  ///< channels of each row, > 0
};

/// What a choice leaves; see ops::Sampled.
struct SampledRow {
  std::uint64_t sum;
  std::int32_t token;
  std::uint32_t finite;
  float logit, max;
};

/// By what a token is chosen; see ops::SampleRequest.
struct ChoiceRules {
  std::uint64_t random;
  float repetition, presence, frequency;
  float top_p, floor, temperature;
  std::uint32_t top_k;
  std::uint32_t logits;        ///< row
  std::uint32_t window_first;  ///< of the tokens that the penalties look at
  std::uint32_t window;        ///< how many these are; 0: there are no penalties

  bool operator==(const ChoiceRules&) const = default;
};

/// Choices of tokens, each from a row of logits by one block.
struct SampleArgs {
  View<const float> logits;          ///< [rows][vocab]
  View<float> values;                ///< scratch, [choices][vocab]: logits after the penalties
  View<const ChoiceRules> rules;     ///< [choices]
  View<const std::int32_t> windows;  ///< of all choices
  View<SampledRow> out;              ///< [choices]
  std::uint32_t vocab;
};

/// What becomes of an output y of a product.
enum class Epilogue : std::uint32_t {
  store,   ///< out = y
  add,     ///< out = out + y
  swiglu,  ///< out = silu(out) * y
};

/// n rows of activations times a matrix.
struct ProductArgs {
  View<const std::uint8_t> weight;   ///< [outputs][row_bytes]
  View<const float> values;          ///< fp32: [n][cols]
  View<const std::uint32_t> q;       ///< int8: [n][cols / 4], words of four
  View<const std::int32_t> codes;    ///< fp8: [n][cols]
  View<const std::uint64_t> halves;  ///< halves: [n][half_words(cols)]
  View<const float> d;               ///< as PrepareArgs makes them
  View<const std::int32_t> sums;
  View<const float> bias;  ///< [outputs]; null: none
  View<float> out;         ///< [n][out_stride], outputs from out_first on
  std::uint64_t row_bytes;
  std::uint32_t out_stride, out_first;
  std::uint32_t outputs, cols, n;
  Epilogue epilogue;
};

/// A key or value pool: [page][layer][kv_head][2][head_dim * 16]; keys are [head_dim][16], values [16][head_dim].
/// One of the two is null.
template <class Half, class Float>
struct Pool {
  View<Half> fp16;
  View<Float> fp32;
};

/// Where the rows of a step stand.
struct Places {
  View<const std::uint32_t> position;    ///< [rows]
  View<const std::uint32_t> sequence;    ///< [rows]
  View<const std::uint32_t> first_page;  ///< [sequences] index into pages
  View<const std::uint32_t> pages;       ///< page of each 16 positions, sequence after sequence
};

/// Head norms, rotation, and k and v into their page. One block a row and head of heads + 2 * kv_heads.
struct RotateArgs {
  View<float> qkv;           ///< in; q out, [rows][(heads + 2 * kv_heads) * head_dim]
  View<const float> norm_q;  ///< [head_dim]; null: none
  View<const float> norm_k;
  View<const float> cos, sin;  ///< [rows][pairs]
  Pool<std::uint16_t, float> pool;
  Places places;
  View<std::uint32_t> bad;  ///< as in PrepareArgs
  float eps;
  std::uint32_t heads, kv_heads, head_dim, pairs, layers, layer;
  bool halves;  ///< pairs are (i, i + pairs), not (2i, 2i + 1)
};

/// Attention of one stretch of 256 positions. One block a row, KV head and stretch of this pass.
struct AttendArgs {
  View<const float> qkv;  ///< [rows][(heads + 2 * kv_heads) * head_dim]
  Pool<const std::uint16_t, const float> pool;
  Places places;
  View<float> partial;  ///< out, [rows][heads][stretches][2 + head_dim]: m, l, o; m = -infinity, l = 0: nothing
  float scale;
  std::uint32_t heads, kv_heads, head_dim, layers, layer;
  std::uint32_t window, globals;
  std::uint32_t first_stretch, stretches;
  bool fp16_scores;
};

/// Takes the stretches of a pass into the state, in ascending order. One block a row and head.
struct MergeArgs {
  View<const float> partial;  ///< [rows][heads][stretches][2 + head_dim]
  View<float> state;          ///< in (but for the first pass) and out, [rows][heads][2 + head_dim]
  View<float> out;            ///< the last pass's, [rows][heads * head_dim]
  std::uint32_t heads, head_dim, stretches;
  bool first, last;
};

}  // namespace kinglet::cuda

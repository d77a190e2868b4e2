// cuda/embed.cuh: the embedding rows of a step, and its rotary table
//
// Floor: the rows' bytes read once, 4 * cols bytes written. Not measured yet.
#pragma once
#include "args.hpp"
#include "group.cuh"

namespace kinglet::cuda {

template <Format F>
struct EmbedRows {
  using Args = EmbedArgs;
  static constexpr unsigned max_threads = 128;

  template <class Thread>
  KINGLET_DEVICE static void run(const Thread& t, const Args& a) {
    const std::size_t row = t.block(0);
    const auto tokens = t.global(a.token);
    const auto token = static_cast<std::size_t>(static_cast<std::uint32_t>(tokens[row]));
    const auto weight = t.global(a.weight) + token * a.row_bytes;
    const auto x = t.global(a.x) + row * a.cols;
    for (std::size_t w = t.thread(); 4 * w < a.cols; w += t.threads()) {
      float four[4];
      four_weights<F>(weight, w, a.cols, four);
      for (unsigned i = 0; i < 4 && 4 * w + i < a.cols; ++i) x[4 * w + i] = four[i];
    }
    const auto steps = t.global(a.rotary_steps);
    const auto positions = t.global(a.position);
    const auto cosines = t.global(a.cos) + row * a.pairs;
    const auto sines = t.global(a.sin) + row * a.pairs;
    const std::uint64_t position = positions[row];
    for (unsigned i = t.thread(); i < a.pairs; i += t.threads()) {
      float sine, cosine;
      core::sincos_of(position * steps[i], sine, cosine);
      sines[i] = sine;
      cosines[i] = cosine;
    }
  }
};

}  // namespace kinglet::cuda

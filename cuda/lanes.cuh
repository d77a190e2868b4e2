// cuda/lanes.cuh: a sum in 128 lanes, folded 64, 32, ..., 1 (docs/numbers.md, Functions)
#pragma once
#include "device.cuh"

namespace kinglet::cuda {

inline constexpr unsigned lanes = 128;

/// lane[0] becomes the sum of lane[0..128), which the block's threads have written. All threads of the block call it;
/// it begins and ends with a barrier.
template <class Thread, class Array>
KINGLET_DEVICE float fold_lanes(const Thread& t, const Array& lane) {
  for (unsigned w = lanes / 2; w > 0; w /= 2) {
    t.sync();
    if (t.thread() < w) lane[t.thread()] = lane[t.thread()] + lane[t.thread() + w];
  }
  t.sync();
  return lane[0];
}

}  // namespace kinglet::cuda

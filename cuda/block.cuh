// cuda/block.cuh: what do all threads of a block find together?
//
// The words of device.cuh that need CUB. Minima and sums of integers do not depend on the order, so that they are those
// of the emulator.
#pragma once
#include "device.cuh"

#if defined(__CUDACC__)
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

namespace kinglet::cuda {

template <unsigned n>
__device__ __forceinline__ std::uint64_t DeviceThread::block_least(std::uint64_t v) const {
  using Reduce = cub::BlockReduce<std::uint64_t, n>;
  __shared__ typename Reduce::TempStorage memory;
  __shared__ std::uint64_t least;
  __syncthreads();  // both may still be in use
  v = Reduce(memory).Reduce(v, [](std::uint64_t x, std::uint64_t y) { return x < y ? x : y; });
  if (threadIdx.x == 0) least = v;
  __syncthreads();
  return least;
}

template <unsigned n>
__device__ __forceinline__ std::uint64_t DeviceThread::block_scan(std::uint64_t v, std::uint64_t& total) const {
  using Scan = cub::BlockScan<std::uint64_t, n>;
  __shared__ typename Scan::TempStorage memory;
  __syncthreads();  // it may still be in use
  std::uint64_t before;
  Scan(memory).ExclusiveSum(v, before, total);
  return before;
}

}  // namespace kinglet::cuda

#endif

// cuda/device.cuh: in which words does a kernel speak of its threads and their memory?
//
// A kernel is a struct with `Args`, a plain struct of sizes and Views, and `run(const Thread& t, const Args& a)`, a
// template over the thread. On a device the thread is the one below, whose words are single instructions, but for those
// of a block; in the tests it is the emulator's, which watches every access. Blocks have one dimension, and a multiple
// of 32 threads.
//
//   t.thread(), t.threads()          index in the block, threads of the block
//   t.block(0 to 2)                  index of the block
//   t.sync(), t.sync_warp()          barriers with the order of memory that CUDA gives them
//   t.sync_group(id, threads)        a named barrier, 1 to 15, of so many of the block's threads, in whole warps
//   t.global(view)                   an array in global memory: a[i], a + n
//   t.shared<T>(offset, count)       an array in the block's shared memory, offset in bytes
// for all 32 lanes of a warp:
//   t.shuffle(v, lane), t.shuffle_xor(v, mask), t.ballot(predicate)
//   t.reduce_max(v), t.reduce_add(v) the largest, the sum, of the lanes' unsigned words, in all of them
//   t.mma(c, a, b)                   c[16][8] += a[16][32] * b[32][8] of signed bytes
//   t.mma_halves(c, a, b)            c[16][8] += a[16][16] * b[16][8] of FP16
//   t.load_matrices(r, array, i)     four 8 x 8 matrices of 16 bits from shared memory
// for all threads of the block, of which there are n (block.cuh); each begins with a barrier:
//   t.block_least<n>(v)              the smallest of their 64-bit words, in all of them
//   t.block_scan<n>(v, total)        the sum of the words of the threads before; the sum of all
// for a thread:
//   t.copy_async<n>(to, i, from, j)  n elements, 4, 8 or 16 bytes, from global to shared memory, meanwhile
//   t.commit_copies()                closes a group of them
//   t.wait_copies<n>()               waits for all of its groups but the last n
//   t.dp4a(a, b, c)                  c + the dot product of four signed bytes
//   t.halves(x, y)                   two FP16, x in the low half, each the nearest, ties to even
//   t.atomic_add(array, i, v), t.atomic_min(array, i, v)   in global or shared memory
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include <kinglet/core/config.hpp>

#include "view.hpp"

#if defined(__CUDACC__)
#include <cuda_fp16.h>

#include <cstring>
#endif

namespace kinglet::cuda {

inline constexpr unsigned warp_threads = 32;

#if defined(__CUDACC__)

class DeviceThread {
 public:
  __device__ __forceinline__ unsigned thread() const { return threadIdx.x; }
  __device__ __forceinline__ unsigned threads() const { return blockDim.x; }
  __device__ __forceinline__ unsigned block(int axis) const {
    return axis == 0 ? blockIdx.x : axis == 1 ? blockIdx.y : blockIdx.z;
  }
  __device__ __forceinline__ void sync() const { __syncthreads(); }
  __device__ __forceinline__ void sync_warp() const { __syncwarp(); }

  template <class T>
  __device__ __forceinline__ T* global(const View<T>& view) const {
    return view.data;
  }
  template <class T>
  __device__ __forceinline__ T* shared(std::size_t offset, std::size_t) const {
    extern __shared__ __align__(16) unsigned char block_memory[];
    return reinterpret_cast<T*>(block_memory + offset);
  }

  template <class T>
  __device__ __forceinline__ T shuffle(T v, unsigned lane) const {
    return __shfl_sync(0xffffffffu, v, static_cast<int>(lane));
  }
  template <class T>
  __device__ __forceinline__ T shuffle_xor(T v, unsigned mask) const {
    return __shfl_xor_sync(0xffffffffu, v, static_cast<int>(mask));
  }
  __device__ __forceinline__ std::uint32_t ballot(bool predicate) const {
    return __ballot_sync(0xffffffffu, predicate ? 1 : 0);
  }

  __device__ __forceinline__ void sync_group(unsigned id, unsigned threads) const {
    asm volatile("bar.sync %0, %1;" : : "r"(id), "r"(threads) : "memory");
  }
  __device__ __forceinline__ std::uint32_t reduce_max(std::uint32_t v) const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return __reduce_max_sync(0xffffffffu, v);
#else
    for (unsigned mask = warp_threads / 2; mask > 0; mask /= 2) {
      const std::uint32_t other = shuffle_xor(v, mask);
      v = other > v ? other : v;
    }
    return v;
#endif
  }
  __device__ __forceinline__ std::uint32_t reduce_add(std::uint32_t v) const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return __reduce_add_sync(0xffffffffu, v);
#else
    for (unsigned mask = warp_threads / 2; mask > 0; mask /= 2) v += shuffle_xor(v, mask);
    return v;
#endif
  }

  /// Turing has no such copies: there it is done at once.
  template <unsigned n, class T>
  __device__ __forceinline__ void copy_async(T* to, std::size_t i, const T* from, std::size_t j) const {
    static_assert(n * sizeof(T) == 4 || n * sizeof(T) == 8 || n * sizeof(T) == 16);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;"
                 :
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to + i))),
                   "l"(__cvta_generic_to_global(from + j)), "n"(n * sizeof(T))
                 : "memory");
#else
    for (unsigned k = 0; k < n; ++k) to[i + k] = from[j + k];
#endif
  }
  __device__ __forceinline__ void commit_copies() const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" : : : "memory");
#endif
  }
  template <unsigned n>
  __device__ __forceinline__ void wait_copies() const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" : : "n"(n) : "memory");
#endif
  }

  /// Lane l names the row of eight that is row l % 8 of matrix l / 8, at a multiple of 16 bytes. r[m] becomes elements
  /// 2 * (l % 4) and the next of row l / 4 of matrix m, the first in the low half: the fragments of mma_halves(), and
  /// of mma() for pairs of bytes. Source: PTX ISA, "Warp-level matrix load instruction: ldmatrix".
  __device__ __forceinline__ void load_matrices(std::uint32_t (&r)[4], const std::uint16_t* array,
                                                std::size_t i) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(array + i)))
                 : "memory");
  }

  __device__ __forceinline__ std::int32_t dp4a(std::uint32_t a, std::uint32_t b, std::int32_t c) const {
    return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
  }

  /// With g = lane / 4 and t = lane % 4: a[0] holds row g, columns 4t to 4t + 3; a[1] row g + 8; a[2] and a[3] the same
  /// rows, columns 16 later. b[0] holds column g, rows 4t to 4t + 3; b[1] rows 16 later. c[0] and c[1] are row g,
  /// columns 2t and 2t + 1; c[2] and c[3] row g + 8.
  /// Source: PTX ISA, "Matrix Fragments for mma.m16n8k32" (and .m8n8k16, of which Turing takes four).
  __device__ __forceinline__ void mma(std::int32_t (&c)[4], const std::uint32_t (&a)[4],
                                      const std::uint32_t (&b)[2]) const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    mma_8x8x16(c[0], c[1], a[0], b[0]);
    mma_8x8x16(c[0], c[1], a[2], b[1]);
    mma_8x8x16(c[2], c[3], a[1], b[0]);
    mma_8x8x16(c[2], c[3], a[3], b[1]);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
  }

  __device__ __forceinline__ std::uint32_t halves(float x, float y) const {
    const __half2 both = __floats2half2_rn(x, y);
    std::uint32_t word;
    memcpy(&word, &both, 4);
    return word;
  }

  /// With g = lane / 4 and t = lane % 4: a[0] holds row g, columns 2t and 2t + 1; a[1] row g + 8; a[2] and a[3] the
  /// same rows, columns 8 later. b[0] holds column g, rows 2t and 2t + 1; b[1] rows 8 later. c as in mma(). Source: PTX
  /// ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" (and .m16n8k8, of which Turing takes two).
  __device__ __forceinline__ void mma_halves(float (&c)[4], const std::uint32_t (&a)[4],
                                             const std::uint32_t (&b)[2]) const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    mma_16x8x8(c, a[0], a[1], b[0]);
    mma_16x8x8(c, a[2], a[3], b[1]);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
  }

  template <unsigned n>
  __device__ std::uint64_t block_least(std::uint64_t v) const;
  template <unsigned n>
  __device__ std::uint64_t block_scan(std::uint64_t v, std::uint64_t& total) const;

  template <class T>
  __device__ __forceinline__ T atomic_add(T* array, std::size_t i, T v) const {
    return atomicAdd(array + i, v);
  }
  template <class T>
  __device__ __forceinline__ T atomic_min(T* array, std::size_t i, T v) const {
    return atomicMin(array + i, v);
  }

 private:
  __device__ __forceinline__ static void mma_8x8x16(std::int32_t& c0, std::int32_t& c1, std::uint32_t a,
                                                    std::uint32_t b) {
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+r"(c0), "+r"(c1)
                 : "r"(a), "r"(b));
  }
  __device__ __forceinline__ static void mma_16x8x8(float (&c)[4], std::uint32_t a0, std::uint32_t a1,
                                                    std::uint32_t b) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(b));
  }
};

/// The form in which a kernel is launched. (4 KB of parameters are what every toolkit and chip takes.)
template <class Kernel>
requires(sizeof(typename Kernel::Args) <= 4096) __global__ void __launch_bounds__(Kernel::max_threads, 1)
    entry(const __grid_constant__ typename Kernel::Args args) {
  Kernel::run(DeviceThread{}, args);
}

#endif

/// A number that the compiler knows.
template <unsigned i>
struct Constant {
  KINGLET_HD constexpr operator unsigned() const { return i; }
};

/// Calls body(0), ..., body(n - 1), each with a constant, so that arrays with that index stay in registers.
template <unsigned n, class Body>
KINGLET_DEVICE void unrolled(Body&& body) {
  [&]<unsigned... i>(std::integer_sequence<unsigned, i...>) { (body(Constant<i>{}), ...); }
  (std::make_integer_sequence<unsigned, n>{});
}

/// The sum of each half-warp's values, in all its lanes.
template <class Thread>
KINGLET_DEVICE std::int32_t half_warp_sum(const Thread& t, std::int32_t v) {
  for (unsigned mask = 8; mask > 0; mask /= 2) v += t.shuffle_xor(v, mask);
  return v;
}

}  // namespace kinglet::cuda

// kinglet/core/config.hpp: which macros does Kinglet define, and what do they mean?
//
// All macros of the library are listed here.
//   KINGLET_API      marks what a shared build exports; empty in a static build
//   KINGLET_HD       a function usable from host and from device code
//   KINGLET_DEVICE   a function for device code; plain C++ for any other compiler, which the tests' emulator uses
//   KINGLET_SHARED   (set by the build) the library is a shared object
#pragma once

#if defined(KINGLET_SHARED)
#define KINGLET_API __attribute__((visibility("default")))
#else
#define KINGLET_API
#endif

#if defined(__CUDACC__)
#define KINGLET_HD __host__ __device__
#define KINGLET_DEVICE __device__ __forceinline__
#else
#define KINGLET_HD
#define KINGLET_DEVICE inline
#endif

namespace kinglet {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;

}  // namespace kinglet

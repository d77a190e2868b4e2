// tests/gpu/copy_bandwidth.cu: how many GB/s does this card's memory read and write in a copy? Prints the best of ten.
#include <cuda_runtime.h>

#include <cstdio>

int main() {
  const std::size_t bytes = std::size_t{1} << 30;
  void *from = nullptr, *to = nullptr;
  cudaEvent_t start = nullptr, end = nullptr;
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess || cudaMalloc(&from, bytes) != cudaSuccess ||
      cudaMalloc(&to, bytes) != cudaSuccess || cudaEventCreate(&start) != cudaSuccess ||
      cudaEventCreate(&end) != cudaSuccess) {
    std::fprintf(stderr, "copy_bandwidth: %s\n", cudaGetErrorString(cudaGetLastError()));
    return 1;
  }
  float best = 1e9f;
  for (int i = 0; i < 10; ++i) {
    float ms = 0.0f;
    cudaEventRecord(start);
    cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice);
    cudaEventRecord(end);
    if (cudaEventSynchronize(end) != cudaSuccess || cudaEventElapsedTime(&ms, start, end) != cudaSuccess) return 1;
    best = ms < best ? ms : best;
  }
  std::printf("%.1f\n", 2.0 * static_cast<double>(bytes) / (static_cast<double>(best) * 1e6));
  return 0;
}

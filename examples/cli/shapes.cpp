#include "shapes.hpp"

#include <array>

namespace kinglet::cli {
namespace {

// Sizes: the models' published configurations.
constexpr std::array<Shape, 7> table = {{
    {"llama-3.2-1b", "llama", "llama-bpe", 2048, 16, 32, 8, 64, 8192, 128256, 128000, 131072, 500000.0f, 1e-5f, true,
     true},
    {"llama-3-8b", "llama", "llama-bpe", 4096, 32, 32, 8, 128, 14336, 128256, 128000, 8192, 500000.0f, 1e-5f, false,
     true},
    {"qwen2.5-0.5b", "qwen2", "qwen2", 896, 24, 14, 2, 64, 4864, 151936, 151643, 32768, 1000000.0f, 1e-6f, true, false},
    {"qwen3-0.6b", "qwen3", "qwen2", 1024, 28, 16, 8, 128, 3072, 151936, 151643, 40960, 1000000.0f, 1e-6f, true, false},
    {"tiny-llama", "llama", "llama-bpe", 64, 2, 4, 2, 16, 192, 512, 500, 1024, 10000.0f, 1e-5f, false, true},
    {"tiny-qwen2", "qwen2", "qwen2", 64, 2, 4, 2, 16, 192, 512, 500, 1024, 10000.0f, 1e-6f, true, false},
    {"tiny-qwen3", "qwen3", "qwen2", 64, 2, 4, 2, 32, 192, 512, 500, 1024, 10000.0f, 1e-6f, true, false},
}};

}  // namespace

std::span<const Shape> shapes() { return table; }

const Shape* find_shape(std::string_view name) {
  for (const Shape& shape : table)
    if (name == shape.name) return &shape;
  return nullptr;
}

std::string shape_names() {
  std::string names;
  for (const Shape& shape : table) names += (names.empty() ? "" : ", ") + std::string(shape.name);
  return names;
}

}  // namespace kinglet::cli

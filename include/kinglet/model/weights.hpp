// kinglet/model/weights.hpp: which tensor of a file is a certain weight, and has it the shape that the model needs?
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/ops/backend.hpp>

namespace kinglet::model {

/// Where weights go: onto a backend; or nowhere, and it is only counted what a backend of that kind would take for
/// them.
struct Place {
  ops::Backend* backend = nullptr;
  const ops::BackendInfo* info = nullptr;  ///< without a backend: of which kind it would be
  ops::ContextShape shape;                 ///< and of which shape
};

/// The place of each layer's weights.
struct Placement : Place {
  Place first;                        ///< of the embedding and the layers below first_layers, where that is another one
  std::uint32_t first_layers = 0;     ///< 0: all live in one place
  core::Memory* memory = nullptr;     ///< without a backend: in what its bytes are counted
  bool discard = false;               ///< the pages of what was packed are given back: the file is mapped
  std::size_t bytes = 0;              ///< taken for packed matrices so far
  std::size_t requantized_bytes = 0;  ///< and for a re-quantized one that is not the backend's
  std::size_t first_bytes = 0;        ///< of these, in `first`

  /// @param layer  -1: the embedding, and what comes after the layers
  const Place& of(std::int64_t layer, ops::WeightUse use) const noexcept {
    const bool early = layer < 0 ? use == ops::WeightUse::lookup : layer < first_layers;
    return first_layers != 0 && early ? first : *this;
  }
};

/// 64 bytes of a re-quantized matrix.
struct alignas(64) StripLine {
  std::byte bytes[64];
};

/// Finds, checks and places weights. Once a matrix of the file is packed, its pages there are given back. Errors of all
/// functions name the tensor, say what it is and what was expected: bad_format: it is missing, or of another shape;
/// unsupported: of a type this build does not handle; those of Backend::place().
class Weights {
 public:
  /// @param placement  null: tensors are checked, and stay as they are
  explicit Weights(Gguf& file, Placement* placement = nullptr) noexcept : file_(file), placement_(placement) {}

  /// "blk.<layer>.<name>", or `name` alone for layer < 0.
  struct Name {
    std::string_view name;
    std::int64_t layer = -1;
  };

  bool has(Name name) const noexcept;
  /// A matrix [rows][cols].
  Status matrix(Name name, std::uint32_t rows, std::uint32_t cols, ops::WeightUse use,
                ops::WeightView& out) const noexcept {
    return matrices({&name, 1}, rows, cols, use, &out);
  }
  /// Matrices [rows][cols] that are read at once.
  /// @param names  one or two
  /// @param out    [names]
  KINGLET_API Status matrices(std::span<const Name> names, std::uint32_t rows, std::uint32_t cols, ops::WeightUse use,
                              ops::WeightView* out) const noexcept;
  /// A matrix [rows][cols] for products, re-quantized on its way into strips or, for a backend that takes none, in
  /// rows.
  /// @param to    Q4_0 or Q8_0
  /// @param kept  takes it, where the backend reads it there; else it is needed in passing alone
  /// Also not_finite: the matrix holds a value that is not.
  KINGLET_API Status requantized(Name name, std::uint32_t rows, std::uint32_t cols, quant::Format to,
                                 std::pmr::vector<StripLine>& kept, ops::WeightView& out) const noexcept;
  /// An FP32 vector [n].
  KINGLET_API Status vector(Name name, std::uint32_t n, const float*& out) const noexcept;
  /// The same, or null where the file has none.
  Status optional_vector(Name name, std::uint32_t n, const float*& out) const noexcept {
    out = nullptr;
    return has(name) ? vector(name, n, out) : Status();
  }

 private:
  Status find(Name name, std::uint32_t rows, std::uint32_t cols, ops::WeightView& out) const noexcept;
  Status find_in_turns(std::string_view name, std::uint32_t rows, std::uint32_t cols,
                       ops::WeightView& out) const noexcept;

  Gguf& file_;
  Placement* placement_;
};

}  // namespace kinglet::model

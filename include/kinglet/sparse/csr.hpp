// kinglet/sparse/csr.hpp: how is a matrix kept when most of its weights are zero?
//
// Per row, the non-zero weights in ascending order of columns: a 16-bit column each, and either an FP16 value or four
// bits of a signed integer. INT4 values come in groups: each 32 non-zeros of a row (the last ones of a row may be
// fewer) share one FP16 scale d, and w = d * q, q in [-8, 7]. A non-zero takes 4 bytes in FP16 and about 2.56 in INT4,
// so the store is smaller than dense FP16 above a sparsity of 50 %, and than dense INT4 (groups of 32) above 78 %.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <utility>
#include <vector>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>

namespace kinglet::sparse {

enum class CsrFormat : std::uint8_t { fp16, int4 };

/// Non-zeros that share an INT4 scale.
inline constexpr std::size_t csr_group = 32;

/// Immutable. An empty one (default, moved-from) has no rows and no columns.
class CsrMatrix final {
 public:
  CsrMatrix() noexcept = default;
  CsrMatrix(CsrMatrix&& other) noexcept
      : format_(other.format_),
        cols_(std::exchange(other.cols_, 0)),
        offsets_(std::move(other.offsets_)),
        groups_(std::move(other.groups_)),
        columns_(std::move(other.columns_)),
        halves_(std::move(other.halves_)),
        nibbles_(std::move(other.nibbles_)) {}
  CsrMatrix& operator=(CsrMatrix&& other) noexcept {
    if (this != &other) {  // a pmr vector is assigned without a copy only where the resources are equal
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }

  /// Keeps what is not zero. FP16: each weight rounded to nearest even. INT4: in each group d = FP16(w' / -8), where w'
  /// is the weight of largest magnitude (the first of equals), and q = w * (1 / d) rounded to nearest even, within [-8,
  /// 7].
  /// @param weights  [rows][cols]
  /// invalid_argument: cols not in [1, 65536], rows 0 or the spans' sizes do not agree, 2^32 non-zeros or more, a
  /// weight that is not finite, or one too large for FP16 (the message says where); out_of_memory.
  KINGLET_API static Result<CsrMatrix> from_dense(std::span<const float> weights, std::size_t rows, std::size_t cols,
                                                  CsrFormat format, std::pmr::memory_resource* memory) noexcept;

  /// @param out  [rows][cols]. invalid_argument: another size.
  KINGLET_API Status to_dense(std::span<float> out) const noexcept;

  CsrFormat format() const noexcept { return format_; }
  std::size_t rows() const noexcept { return offsets_.empty() ? 0 : offsets_.size() - 1; }
  std::size_t cols() const noexcept { return cols_; }
  std::size_t nonzeros() const noexcept { return columns_.size(); }
  /// Bytes of the store: exactly what from_dense() takes from its memory and keeps.
  KINGLET_API std::size_t bytes() const noexcept;
  /// Bytes of the same matrix dense: two a weight in FP16; 18 for each 32 columns of a row in INT4.
  KINGLET_API std::size_t dense_bytes() const noexcept;

  /// y = W x for n rows of activations. Each output is one chain that depends on its own row alone, in ascending order
  /// of columns. FP16: y = fma(w, x[col], y). INT4: per group s = fma(q, x[col], s) from +0, then y = fma(d, s, y).
  /// @param x  [n][cols]
  /// @param y  [n][rows]
  /// invalid_argument: other sizes.
  KINGLET_API Status multiply(std::span<const float> x, std::size_t n, std::span<float> y) const noexcept;

  /// [rows + 1] where each row's non-zeros start.
  std::span<const std::uint32_t> offsets() const noexcept { return offsets_; }
  /// INT4: [rows + 1] where each row's scales start; else empty.
  std::span<const std::uint32_t> groups() const noexcept { return groups_; }
  /// [nonzeros]
  std::span<const std::uint16_t> columns() const noexcept { return columns_; }
  /// FP16: [nonzeros] values; INT4: [groups] scales.
  std::span<const std::uint16_t> halves() const noexcept { return halves_; }
  /// INT4: [(nonzeros + 1) / 2], q + 8 of non-zero i in the low half of byte i / 2 where i is even, else in the high
  /// half.
  std::span<const std::uint8_t> nibbles() const noexcept { return nibbles_; }

 private:
  CsrMatrix(std::span<const float> weights, std::size_t rows, std::size_t cols, CsrFormat format, std::size_t nonzeros,
            std::size_t groups, std::pmr::memory_resource* memory);
  void store_fp16(std::span<const float> row);
  void store_int4(std::span<const float> row);

  CsrFormat format_ = CsrFormat::fp16;
  std::size_t cols_ = 0;
  std::pmr::vector<std::uint32_t> offsets_;
  std::pmr::vector<std::uint32_t> groups_;
  std::pmr::vector<std::uint16_t> columns_;
  std::pmr::vector<std::uint16_t> halves_;
  std::pmr::vector<std::uint8_t> nibbles_;
};

}  // namespace kinglet::sparse

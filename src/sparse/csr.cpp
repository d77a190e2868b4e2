// sparse/csr.cpp: how is a sparse matrix made, read back and multiplied?
#include <kinglet/sparse/csr.hpp>

#include <algorithm>
#include <cmath>

#include <kinglet/core/float_env.hpp>
#include <kinglet/core/memory.hpp>
#include <kinglet/core/number.hpp>

#include "core/fail.hpp"

namespace kinglet::sparse {
namespace {

/// The largest magnitude that FP16 rounds to a finite number ends below this.
constexpr float fp16_limit = 65520.0f;

struct Counts {
  std::size_t nonzeros = 0;
  std::size_t groups = 0;
};

Result<Counts> count(std::span<const float> weights, std::size_t cols, CsrFormat format) {
  const float limit = format == CsrFormat::fp16 ? fp16_limit : 8.0f * fp16_limit;
  Counts total;
  for (std::size_t start = 0; start < weights.size(); start += cols) {
    std::size_t row = 0;
    for (std::size_t k = 0; k < cols; ++k) {
      const float w = weights[start + k];
      if (!(std::fabs(w) < limit)) {
        return core::fail(Errc::invalid_argument, "csr: weight {} in row {}, column {} has no place in FP16 or INT4", w,
                          start / cols, k);
      }
      row += w != 0.0f ? 1 : 0;
    }
    total.nonzeros += row;
    total.groups += (row + csr_group - 1) / csr_group;
  }
  return total;
}

std::uint8_t quantize(float w, float inverse) noexcept {
  // 1.5 * 2^23: adding it rounds to an integer. |w * inverse| is 8 at most, a little more where d was rounded down.
  constexpr float magic = 12582912.0f;
  const float q = std::clamp((w * inverse + magic) - magic, -8.0f, 7.0f);
  return static_cast<std::uint8_t>(static_cast<int>(q) + 8);
}

/// Activation rows whose chains run side by side, so that a weight is unpacked once for all of them.
constexpr std::size_t block = 8;

}  // namespace

CsrMatrix::CsrMatrix(std::span<const float> weights, std::size_t rows, std::size_t cols, CsrFormat format,
                     std::size_t nonzeros, std::size_t groups, std::pmr::memory_resource* memory)
    : format_(format),
      cols_(cols),
      offsets_(memory),
      groups_(memory),
      columns_(memory),
      halves_(memory),
      nibbles_(memory) {
  const bool int4 = format == CsrFormat::int4;
  offsets_.reserve(rows + 1);
  columns_.reserve(nonzeros);
  halves_.reserve(int4 ? groups : nonzeros);
  if (int4) {
    groups_.reserve(rows + 1);
    nibbles_.resize((nonzeros + 1) / 2);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    const auto row = weights.subspan(r * cols, cols);
    offsets_.push_back(static_cast<std::uint32_t>(columns_.size()));
    if (int4) {
      groups_.push_back(static_cast<std::uint32_t>(halves_.size()));
      store_int4(row);
    } else {
      store_fp16(row);
    }
  }
  offsets_.push_back(static_cast<std::uint32_t>(columns_.size()));
  if (int4) groups_.push_back(static_cast<std::uint32_t>(halves_.size()));
}

void CsrMatrix::store_fp16(std::span<const float> row) {
  for (std::size_t k = 0; k < row.size(); ++k) {
    if (row[k] == 0.0f) continue;
    columns_.push_back(static_cast<std::uint16_t>(k));
    halves_.push_back(core::float_to_fp16(row[k]));
  }
}

void CsrMatrix::store_int4(std::span<const float> row) {
  float values[csr_group];
  std::size_t n = 0;
  const auto flush = [&] {
    if (n == 0) return;
    float largest = 0.0f;
    for (std::size_t i = 0; i < n; ++i) largest = std::fabs(values[i]) > std::fabs(largest) ? values[i] : largest;
    const std::uint16_t d = core::float_to_fp16(largest / -8.0f);
    const float scale = core::fp16_to_float(d);
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    halves_.push_back(d);
    const std::size_t first = columns_.size() - n;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint8_t q = quantize(values[i], inverse);
      std::uint8_t& byte = nibbles_[(first + i) / 2];
      byte = static_cast<std::uint8_t>((first + i) % 2 == 0 ? q : byte | (q << 4));
    }
    n = 0;
  };
  for (std::size_t k = 0; k < row.size(); ++k) {
    if (row[k] == 0.0f) continue;
    columns_.push_back(static_cast<std::uint16_t>(k));
    values[n++] = row[k];
    if (n == csr_group) flush();
  }
  flush();
}

Result<CsrMatrix> CsrMatrix::from_dense(std::span<const float> weights, std::size_t rows, std::size_t cols,
                                        CsrFormat format, std::pmr::memory_resource* memory) noexcept {
  return core::guarded([&]() -> Result<CsrMatrix> {
    if (cols < 1 || cols > 65536 || rows == 0 || weights.size() / cols != rows || weights.size() % cols != 0) {
      return core::fail(Errc::invalid_argument, "csr: {} weights for {} rows of {} columns; columns may be 1 to 65536",
                        weights.size(), rows, cols);
    }
    const core::FloatEnvironment environment;
    const Result<Counts> counts = count(weights, cols, format);
    if (!counts) return counts.error();
    if (counts->nonzeros >> 32 != 0) {
      return core::fail(Errc::invalid_argument, "csr: {} non-zeros; store the rows in several parts", counts->nonzeros);
    }
    return CsrMatrix(weights, rows, cols, format, counts->nonzeros, counts->groups, memory);
  });
}

Status CsrMatrix::to_dense(std::span<float> out) const noexcept {
  if (out.size() != rows() * cols_) {
    return core::fail(Errc::invalid_argument, "csr: room for {} weights, there are {} x {}", out.size(), rows(), cols_);
  }
  const core::FloatEnvironment environment;
  std::fill(out.begin(), out.end(), 0.0f);
  for (std::size_t r = 0; r < rows(); ++r) {
    for (std::size_t i = offsets_[r]; i < offsets_[r + 1]; ++i) {
      float& w = out[r * cols_ + columns_[i]];
      if (format_ == CsrFormat::fp16) {
        w = core::fp16_to_float(halves_[i]);
      } else {
        const int q = ((nibbles_[i / 2] >> (i % 2 * 4)) & 15) - 8;
        w = core::fp16_to_float(halves_[groups_[r] + (i - offsets_[r]) / csr_group]) * static_cast<float>(q);
      }
    }
  }
  return {};
}

std::size_t CsrMatrix::bytes() const noexcept {
  return (offsets_.size() + groups_.size()) * sizeof(std::uint32_t) +
         (columns_.size() + halves_.size()) * sizeof(std::uint16_t) + nibbles_.size();
}

std::size_t CsrMatrix::dense_bytes() const noexcept {
  return format_ == CsrFormat::fp16 ? rows() * cols_ * 2 : rows() * ((cols_ + 31) / 32) * 18;
}

Status CsrMatrix::multiply(std::span<const float> x, std::size_t n, std::span<float> y) const noexcept {
  if (n > x.size() || x.size() != n * cols_ || y.size() != n * rows()) {
    return core::fail(Errc::invalid_argument, "csr: {} inputs and {} outputs for {} rows of {} inputs, {} outputs each",
                      x.size(), y.size(), n, cols_, rows());
  }
  const core::FloatEnvironment environment;
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t count = std::min(block, n - first);
    const float* in = x.data() + first * cols_;
    for (std::size_t r = 0; r < rows(); ++r) {
      float acc[block] = {};
      if (format_ == CsrFormat::fp16) {
        for (std::size_t i = offsets_[r]; i < offsets_[r + 1]; ++i) {
          const float w = core::fp16_to_float(halves_[i]);
          for (std::size_t j = 0; j < count; ++j) acc[j] = std::fma(w, in[j * cols_ + columns_[i]], acc[j]);
        }
      } else {
        const std::uint16_t* d = halves_.data() + groups_[r];
        for (std::size_t i = offsets_[r]; i < offsets_[r + 1]; i += csr_group, ++d) {
          float sum[block] = {};
          for (std::size_t g = i; g < std::min<std::size_t>(i + csr_group, offsets_[r + 1]); ++g) {
            const auto q = static_cast<float>(((nibbles_[g / 2] >> (g % 2 * 4)) & 15) - 8);
            for (std::size_t j = 0; j < count; ++j) sum[j] = std::fma(q, in[j * cols_ + columns_[g]], sum[j]);
          }
          for (std::size_t j = 0; j < count; ++j) acc[j] = std::fma(core::fp16_to_float(*d), sum[j], acc[j]);
        }
      }
      for (std::size_t j = 0; j < count; ++j) y[(first + j) * rows() + r] = acc[j];
    }
  }
  return {};
}

}  // namespace kinglet::sparse

// tests/ops/kernel_inputs.hpp: which inputs do all instruction sets' kernels get, and what came out?
//
// Needs no test framework, so that the same cases run on a foreign machine (kernel_hash.cpp).
#pragma once
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <kinglet/core/number.hpp>
#include <kinglet/ops/backend.hpp>

#include "ops/cpu_features.hpp"
#include "ops/kernels/kernels.hpp"
#include "tests/random.hpp"

namespace kinglet::test {

struct KernelSet {
  const char* name;
  const ops::Kernels* kernels;
};

/// The sets that this machine can run; the scalar one first.
inline std::vector<KernelSet> kernel_sets() {
  std::vector<KernelSet> sets{{"scalar", &ops::scalar::kernels()}};
#if defined(__x86_64__)
  if (ops::cpu_features().avx2) sets.push_back({"avx2", &ops::avx2::kernels()});
  if (ops::cpu_features().avx512) sets.push_back({"avx512", &ops::avx512::kernels()});
#elif defined(__aarch64__)
  sets.push_back({"neon", &ops::neon::kernels()});
#endif
  return sets;
}

inline std::vector<float> normals(Random& random, std::size_t n, float scale = 1.0f) {
  std::vector<float> v(n);
  for (float& x : v) x = random.normal() * scale;
  return v;
}

/// A row of activations that owns its arrays.
struct OwnedRow {
  std::vector<float> values, d;
  std::vector<std::int16_t> q, low;
  std::vector<std::int32_t> sums;

  explicit OwnedRow(std::vector<float> x)
      : values(std::move(x)),
        d(values.size() / 32 + 1),
        q(values.size()),
        low(values.size()),
        sums(values.size() / 16 + 2) {}
  ops::ActivationRow view() { return {values.data(), q.data(), low.data(), d.data(), sums.data()}; }
  std::int32_t code(std::size_t i) const { return 512 * q[i] + low[i]; }
};

/// Random blocks of a format whose scales are finite numbers of ordinary size.
inline std::vector<std::byte> random_blocks(quant::Format format, std::size_t n, Random& random) {
  using quant::Format;
  const quant::FormatInfo& f = quant::info(format);
  std::vector<std::byte> data(quant::format_bytes(format, n));
  for (std::byte& b : data) b = static_cast<std::byte>(random.bits() >> 56);
  const auto set_half = [&](std::size_t at, float x) {
    const std::uint16_t half = core::float_to_fp16(x);
    std::memcpy(data.data() + at, &half, 2);
  };
  for (std::size_t at = 0; at < data.size(); at += f.block_bytes) {
    const float d = 0.01f * (1.0f + random.uniform() * 0.5f);
    switch (format) {
      case Format::f32: {
        const float x = random.normal();
        std::memcpy(data.data() + at, &x, 4);
        break;
      }
      case Format::f16: set_half(at, random.normal()); break;
      case Format::bf16: {
        const std::uint16_t half = core::float_to_bf16(random.normal());
        std::memcpy(data.data() + at, &half, 2);
        break;
      }
      case Format::q4_1:
      case Format::q5_1:
      case Format::q4_k:
      case Format::q5_k:
        set_half(at, d);
        set_half(at + 2, -3 * d);
        break;
      case Format::q2_k:
        set_half(at + 80, d);
        set_half(at + 82, d);
        break;
      case Format::q3_k: set_half(at + 108, d); break;
      case Format::q6_k: set_half(at + 208, d); break;
      case Format::mxfp4: data[at] = static_cast<std::byte>(120 + random.below(8)); break;
      default: set_half(at, d); break;
    }
  }
  return data;
}

/// A weight tile and the rows it meets; sums start from what earlier tiles left.
struct ProductCase {
  std::string name;
  std::vector<float> acc;
};

/// All products of one set over one format: rows x (partial) tiles, accumulators as they come out.
inline std::vector<ProductCase> run_products(const ops::Kernels& kernels, quant::Format format) {
  using namespace ops;
  Random random{static_cast<std::uint64_t>(format) + 77};
  const bool plain = format == quant::Format::f32 || format == quant::Format::f16 || format == quant::Format::bf16;
  const std::size_t block = quant::info(format).block;
  std::vector<ProductCase> out;
  const auto scratch = std::make_unique<Scratch>();
  const auto groups = std::make_unique<GroupTile>();
  const auto floats = std::make_unique<FloatTile>();
  for (const std::uint32_t rows : {1u, 2u, 3u, 7u, 33u}) {
    for (const std::uint32_t outputs : {1u, 7u, 31u, 32u}) {
      const std::size_t cols = plain ? 33 + 7 * rows : block * (256 / block + (rows % 3) * (block == 32 ? 1 : 0));
      const auto data = random_blocks(format, outputs * cols, random);
      const std::size_t row_bytes = quant::format_bytes(format, cols);
      std::vector<OwnedRow> owned;
      std::vector<ActivationRow> x;
      for (std::uint32_t r = 0; r < rows; ++r) owned.emplace_back(normals(random, cols, 3.0f));
      for (OwnedRow& row : owned) x.push_back(row.view());
      const std::string name = std::string(quant::info(format).name) + " rows " + std::to_string(rows) + " outputs " +
                               std::to_string(outputs) + " cols " + std::to_string(cols);
      std::vector<float> fp32(rows * tile_outputs), int8(fp32), fp8(2 * fp32.size());
      if (!plain) {
        for (const ActivationRow& row : x) kernels.quantize_int8(row, cols);
      }
      for (std::uint32_t k = 0; k < cols; k += tile_inputs) {
        const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(tile_inputs, cols - k));
        load_tile(format, data.data(), row_bytes, 0, outputs, k, n, *scratch, *floats);
        kernels.product_fp32(*floats, x.data(), rows, k, n, fp32.data());
        if (plain) continue;
        load_tile(format, data.data(), row_bytes, 0, outputs, k, n, *groups);
        kernels.product_int8(*groups, x.data(), rows, k, n, int8.data());
      }
      out.push_back({"fp32 " + name, fp32});
      if (plain) continue;
      out.push_back({"int8 " + name, int8});
      for (const ActivationRow& row : x) kernels.quantize_fp8(row, cols);
      for (std::uint32_t k = 0; k < cols; k += tile_inputs) {
        const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(tile_inputs, cols - k));
        load_tile(format, data.data(), row_bytes, 0, outputs, k, n, *groups);
        kernels.product_fp8(*groups, x.data(), rows, k, n, fp8.data());
      }
      out.push_back({"fp8 " + name, fp8});
    }
  }
  return out;
}

/// Pages, queries and states of one attention, with what is asked of the kernel.
struct AttentionCase {
  std::uint32_t head_dim = 64, queries = 3, first_position = 0;
  std::uint32_t window = 0, globals = 0;
  bool fp16_kv = true, fp16_scores = true;
  float q_scale = 1.0f;
  std::uint64_t seed = 1;
};

struct AttentionData {
  std::vector<float> keys, values;  ///< [positions][head_dim], as stored
  std::vector<float> q;             ///< [queries][head_dim]
  std::vector<std::byte> pages;     ///< [pages][keys, values]
  std::uint32_t positions = 0;
  float scale = 1.0f;
};

inline AttentionData make_attention(const AttentionCase& c) {
  Random random{c.seed};
  AttentionData data;
  data.positions = c.first_position + c.queries;
  data.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  data.keys = normals(random, std::size_t{data.positions} * c.head_dim);
  data.values = normals(random, data.keys.size());
  data.q = normals(random, std::size_t{c.queries} * c.head_dim, c.q_scale);
  const std::size_t element = c.fp16_kv ? 2 : 4;
  const std::size_t half = std::size_t{c.head_dim} * ops::page_tokens * element;
  data.pages.assign((data.positions + 15) / 16 * 2 * half, std::byte{0xff});  // NaN where nothing is stored
  const auto put = [&](std::size_t at, float& x) {
    if (c.fp16_kv) {
      const std::uint16_t h = core::float_to_fp16(x);
      x = core::fp16_to_float(h);
      std::memcpy(data.pages.data() + at, &h, 2);
    } else {
      std::memcpy(data.pages.data() + at, &x, 4);
    }
  };
  for (std::uint32_t p = 0; p < data.positions; ++p) {
    const std::size_t page = p / 16 * 2 * half, token = p % 16;
    for (std::size_t d = 0; d < c.head_dim; ++d) {
      put(page + (d * 16 + token) * element, data.keys[p * c.head_dim + d]);
      put(page + half + (token * c.head_dim + d) * element, data.values[p * c.head_dim + d]);
    }
  }
  return data;
}

/// The states [queries][2 + head_dim] after all stretches.
inline std::vector<float> run_attention(const ops::Kernels& kernels, const AttentionCase& c,
                                        const AttentionData& data) {
  using namespace ops;
  // What the kernel reads there it has written before.
  std::vector<float> scratch(attend_scratch(c.head_dim), std::numeric_limits<float>::quiet_NaN());
  std::vector<float> states(c.queries * (2 + std::size_t{c.head_dim}));
  for (std::uint32_t first = 0; first < c.queries; first += query_block) {
    AttendArgs a{};
    a.queries = std::min(query_block, c.queries - first);
    for (std::uint32_t i = 0; i < a.queries; ++i) {
      a.q[i] = data.q.data() + std::size_t{first + i} * c.head_dim;
      a.position[i] = c.first_position + first + i;
      a.state[i] = states.data() + (first + i) * (2 + std::size_t{c.head_dim});
      a.state[i][0] = -std::numeric_limits<float>::infinity();
    }
    a.head_dim = c.head_dim;
    a.window = c.window;
    a.globals = c.globals;
    a.scale = data.scale;
    a.fp16_kv = c.fp16_kv;
    a.fp16_scores = c.fp16_scores;
    const std::size_t half = std::size_t{c.head_dim} * page_tokens * (c.fp16_kv ? 2 : 4);
    for (a.start = 0; a.start <= a.position[a.queries - 1]; a.start += stretch_tokens) {
      for (std::uint32_t p = 0; p < 16; ++p) {
        const std::size_t page = a.start / 16 + p;
        const bool there = page * 16 < data.positions;
        a.keys[p] = there ? data.pages.data() + page * 2 * half : nullptr;
        a.values[p] = there ? data.pages.data() + page * 2 * half + half : nullptr;
      }
      kernels.attend(a, scratch.data());
    }
  }
  return states;
}

inline std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionCase> cases;
  std::uint64_t seed = 100;
  for (const std::uint32_t head_dim : {6u, 10u, 24u, 40u, 64u, 80u, 96u, 128u}) {
    for (const std::uint32_t first : {0u, 15u, 250u, 700u}) {
      for (const std::uint32_t queries : {1u, 3u, 16u, 21u}) {
        AttentionCase c;
        c.head_dim = head_dim;
        c.first_position = first;
        c.queries = queries;
        c.seed = ++seed;
        c.fp16_kv = seed % 3 != 0;
        c.fp16_scores = seed % 4 != 0;
        if (seed % 5 > 2) {
          c.window = seed % 2 != 0 ? 31 : 300;
          c.globals = seed % 5 == 4 ? 20 : 0;
        }
        cases.push_back(c);
      }
    }
  }
  return cases;
}

/// Norms, quantized rows, swiglu and rotations of one set, all in one list of bytes per case.
struct SmallCase {
  std::string name;
  std::vector<std::byte> bytes;
};

inline std::vector<SmallCase> run_small(const ops::Kernels& kernels) {
  std::vector<SmallCase> out;
  Random random{5};
  const auto keep = [&](std::string name, const auto&... parts) {
    SmallCase c{std::move(name), {}};
    const auto add = [&](const auto& v) {
      const auto* p = reinterpret_cast<const std::byte*>(v.data());
      c.bytes.insert(c.bytes.end(), p, p + v.size() * sizeof v[0]);
    };
    (add(parts), ...);
    out.push_back(std::move(c));
  };
  for (const std::size_t n : {1u, 6u, 7u, 31u, 33u, 128u, 129u, 576u, 1000u}) {
    const auto x = normals(random, n, 4.0f);
    const auto w = normals(random, n);
    std::vector<float> y(n);
    kernels.norm(x.data(), w.data(), 1e-5f, n, y.data());
    keep("norm " + std::to_string(n), y);
    auto g = normals(random, n, 30.0f);
    g[0] = 100.0f;
    if (n > 5) g[5] = -100.0f;
    kernels.swiglu(g.data(), x.data(), n, y.data());
    keep("swiglu " + std::to_string(n), y);
    const std::size_t pairs = n / 2;
    const auto cos = normals(random, pairs + 1), sin = normals(random, pairs + 1);
    auto a = x, b = x;
    kernels.rotate_interleaved(a.data(), cos.data(), sin.data(), pairs);
    kernels.rotate_halves(b.data(), cos.data(), sin.data(), pairs);
    keep("rotate " + std::to_string(n), a, b);
  }
  for (const std::size_t n : {32u, 96u, 128u, 160u, 576u}) {
    for (const float scale : {1.0f, 1e-30f, 1e-31f, 1e30f, 0.0f}) {
      OwnedRow row(normals(random, n, scale));
      for (std::size_t i = 0; i < 32; ++i) row.values[n - 32 + i] *= i % 2 != 0 ? 1.0f : 1e-3f;
      kernels.quantize_int8(row.view(), n);
      keep("int8 " + std::to_string(n), row.q, row.d, row.sums);
      OwnedRow codes(row.values);
      kernels.quantize_fp8(codes.view(), n);
      keep("fp8 " + std::to_string(n), codes.q, codes.d, codes.sums);
      keep("fp8, lower parts " + std::to_string(n), codes.low, codes.d, codes.sums);
    }
  }
  return out;
}

}  // namespace kinglet::test

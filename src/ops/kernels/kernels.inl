// ops/kernels/kernels.inl: the arithmetic of docs/numbers.md over one instruction set's V and I
//
// Included inside a namespace and a target region, after a simd_*.inl. SIMD lanes are outputs, positions or channels:
// never parts of one sum.

constexpr std::size_t vectors = tile_outputs / V::width;

/// exp of what is not above 0 (or NaN).
inline V exp_below(V x) {
  const V magic = set1(12582912.0f);
  const V t = fma(x, set1(1.44269504088896341f), magic);
  const V n = sub(t, magic);
  V r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  V p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  const V y = mul(add(fma(p, mul(r, r), r), set1(1.0f)), pow2_of_magic(t));
  return where_less(x, set1(-87.33654785f), set1(0.0f), y);
}

inline V exp(V x) { return where_less(set1(88.37626f), x, set1(__builtin_inff()), exp_below(x)); }

/// Folds 128 lanes: 64, 32, ..., 1.
inline float fold(float* lane) {
  for (std::size_t w = 64; w > 0; w /= 2) {
    for (std::size_t i = 0; i < w; ++i) lane[i] = lane[i] + lane[i + w];
  }
  return lane[0];
}

bool norm(const float* x, const float* w, float eps, std::size_t n, float* y) {
  alignas(64) float lane[128] = {};
  std::size_t i = 0;
  for (; i + 128 <= n; i += 128) {
    for (std::size_t j = 0; j < 128; j += V::width) {
      const V v = load(x + i + j);
      store(lane + j, fma(v, v, load(lane + j)));
    }
  }
  for (std::size_t j = 0; i + j < n; ++j) lane[j] = __builtin_fmaf(x[i + j], x[i + j], lane[j]);
  const float sum = fold(lane);
  const float r = 1.0f / __builtin_sqrtf(sum / static_cast<float>(n) + eps);
  for (i = 0; i + V::width <= n; i += V::width) store(y + i, mul(mul(load(x + i), set1(r)), load(w + i)));
  for (; i < n; ++i) y[i] = (x[i] * r) * w[i];
  return sum <= 3.402823466e38f;  // false for NaN too
}

/// The largest magnitude, by its bits: their order is that of the numbers, with a NaN above all, so that one reaches
/// the scale and through it the output.
inline float largest(const float* x, std::size_t n) {
  std::uint32_t m = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t size = core::float_bits(x[i]) & 0x7fffffffu;
    m = size > m ? size : m;
  }
  return core::bits_float(m);
}

void quantize_int8(const ActivationRow& row, std::size_t n) {
  constexpr float magic = 12582912.0f;
  for (std::size_t g = 0; g < n / 32; ++g) {
    const float* x = row.values + 32 * g;
    std::int16_t* q = row.q + 32 * g;
    const float amax = largest(x, 32);
    const bool zero = amax < 0x1p-100f;
    row.d[g] = zero ? 0.0f : amax / 127.0f;
    const float inverse = zero ? 0.0f : 127.0f / amax;
    for (std::size_t i = 0; i < 32; ++i) {
      float v = (x[i] * inverse + magic) - magic;  // the sum rounds to an integer
      v = v > 127.0f ? 127.0f : v;
      v = v < -127.0f ? -127.0f : v;
      q[i] = static_cast<std::int16_t>(static_cast<std::int32_t>(v == v ? v : 0.0f));
    }
    for (std::size_t h = 0; h < 2; ++h) {
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < 16; ++i) sum += q[16 * h + i];
      row.sums[2 * g + h] = sum;
    }
  }
}

void quantize_fp8(const ActivationRow& row, std::size_t n) {
  for (std::size_t b = 0; b * 128 < n; ++b) {
    const float* x = row.values + 128 * b;
    const std::size_t count = n - 128 * b < 128 ? n - 128 * b : 128;
    const float amax = largest(x, count);
    const bool zero = amax < 0x1p-100f;
    const float inverse = zero ? 0.0f : 448.0f / amax;
    row.d[b] = zero ? 0.0f : (amax / 448.0f) * 0x1p-9f;
    for (std::size_t i = 0; i < count; ++i) {
      const std::int32_t code = core::e4m3_to_int(core::float_to_e4m3(x[i] * inverse)), q = (code + 256) >> 9;
      row.q[128 * b + i] = static_cast<std::int16_t>(q);
      row.low[128 * b + i] = static_cast<std::int16_t>(code - 512 * q);
    }
  }
  for (std::size_t h = 0; h < n / 16; ++h) {
    std::int32_t sum = 0;
    for (std::size_t i = 16 * h; i < 16 * h + 16; ++i) sum += 512 * row.q[i] + row.low[i];
    row.sums[h] = sum;
  }
}

/// R rows by some vectors of outputs at once: their sums stay in registers.
template <std::size_t R>
inline void product_fp32_rows(const FloatTile& tile, const ActivationRow* x, std::size_t k, std::size_t n, float* acc) {
  constexpr std::size_t part = registers == 16 && R > 2 ? 2 : vectors;
  for (std::size_t at = 0; at < tile_outputs; at += part * V::width) {
    V sum[R][part];
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < part; ++v) sum[r][v] = load(acc + r * tile_outputs + at + v * V::width);
    }
    for (std::size_t i = 0; i < n; ++i) {
      V w[part];
      for (std::size_t v = 0; v < part; ++v) w[v] = load(tile.w[i] + at + v * V::width);
      for (std::size_t r = 0; r < R; ++r) {
        const V a = set1(x[r].values[k + i]);
        for (std::size_t v = 0; v < part; ++v) sum[r][v] = fma(w[v], a, sum[r][v]);
      }
    }
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < part; ++v) store(acc + r * tile_outputs + at + v * V::width, sum[r][v]);
    }
  }
}

void product_fp32(const FloatTile& tile, const ActivationRow* x, std::size_t rows, std::size_t k, std::size_t n,
                  float* acc) {
  std::size_t r = 0;
  if constexpr (registers != 0) {
    for (; r + 6 <= rows; r += 6) product_fp32_rows<6>(tile, x + r, k, n, acc + r * tile_outputs);
  }
  for (; r + 2 <= rows; r += 2) product_fp32_rows<2>(tile, x + r, k, n, acc + r * tile_outputs);
  if (r < rows) product_fp32_rows<1>(tile, x + r, k, n, acc + r * tile_outputs);
}

template <std::size_t R>
inline void product_int8_rows(const GroupTile& tile, const ActivationRow* x, std::size_t k, std::size_t n, float* acc) {
  for (std::size_t g = 0; g < n / 32; ++g) {
    I sum[R][vectors];
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < vectors; ++v) sum[r][v] = zero_i();
    }
    for (std::size_t i = 16 * g; i < 16 * g + 16; ++i) {
      for (std::size_t v = 0; v < vectors; ++v) {
        for (std::size_t r = 0; r < R; ++r) {
          sum[r][v] = dot2(sum[r][v], tile.w[i][v * V::width], x[r].q + k + 2 * i);
        }
      }
    }
    const std::size_t group = k / 32 + g;
    for (std::size_t r = 0; r < R; ++r) {
      const V da = set1(x[r].d[group]);
      const std::int32_t* sums = x[r].sums + 2 * group;
      for (std::size_t v = 0; v < vectors; ++v) {
        float* a = acc + r * tile_outputs + v * V::width;
        V y = fma(to_float(sum[r][v]), mul(load(tile.d[g] + v * V::width), da), load(a));
        if (tile.has_min) {
          I s = mul_add_i(zero_i(), load_i(tile.min[g][0] + v * V::width), sums[0]);
          s = mul_add_i(s, load_i(tile.min[g][1] + v * V::width), sums[1]);
          y = fma(to_float(s), mul(load(tile.dmin[g] + v * V::width), da), y);
        }
        store(a, y);
      }
    }
  }
}

void product_int8(const GroupTile& tile, const ActivationRow* x, std::size_t rows, std::size_t k, std::size_t n,
                  float* acc) {
  std::size_t r = 0;
  for (; r + 2 <= rows; r += 2) product_int8_rows<2>(tile, x + r, k, n, acc + r * tile_outputs);
  if (r < rows) product_int8_rows<1>(tile, x + r, k, n, acc + r * tile_outputs);
}

// Codes have 18 bits and scaled weights up to 13: the sums of the codes' two parts fit 32 bits, a group's whole sum
// takes up to 36, of which to_float(high, low) makes one number.
template <std::size_t R>
inline void product_fp8_rows(const GroupTile& tile, const ActivationRow* x, std::size_t k, std::size_t n, float* acc) {
  for (std::size_t block = 0; block < n; block += 128) {
    const std::size_t end = (n - block < 128 ? n : block + 128) / 32;
    V chain[R][vectors];
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < vectors; ++v) chain[r][v] = set1(0.0f);
    }
    for (std::size_t g = block / 32; g < end; ++g) {
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t at = v * V::width;
        I high[R], low[R];
        for (std::size_t r = 0; r < R; ++r) high[r] = low[r] = zero_i();
        for (std::size_t i = 16 * g; i < 16 * g + 16; ++i) {
          for (std::size_t r = 0; r < R; ++r) {
            high[r] = dot2(high[r], tile.w[i][at], x[r].q + k + 2 * i);
            low[r] = dot2(low[r], tile.w[i][at], x[r].low + k + 2 * i);
          }
        }
        for (std::size_t r = 0; r < R; ++r) {
          chain[r][v] = fma(to_float(high[r], low[r]), load(tile.d[g] + at), chain[r][v]);
          if (!tile.has_min) continue;
          const std::int32_t* sums = x[r].sums + 2 * (k / 32 + g);
          const I s = mul_add_i(mul_add_i(zero_i(), load_i(tile.min[g][0] + at), sums[0]), load_i(tile.min[g][1] + at),
                                sums[1]);
          chain[r][v] = fma(to_float(s), load(tile.dmin[g] + at), chain[r][v]);
        }
      }
    }
    for (std::size_t r = 0; r < R; ++r) {
      const V scale = set1(x[r].d[(k + block) / 128]);
      for (std::size_t v = 0; v < vectors; ++v) {
        float* const sum = acc + 2 * r * tile_outputs + v * V::width;
        float* const lost = sum + tile_outputs;
        const V y = sub(mul(chain[r][v], scale), load(lost));
        const V u = add(load(sum), y);
        store(lost, sub(sub(u, load(sum)), y));
        store(sum, u);
      }
    }
  }
}

void product_fp8(const GroupTile& tile, const ActivationRow* x, std::size_t rows, std::size_t k, std::size_t n,
                 float* acc) {
  constexpr std::size_t many = registers == 0 ? 1 : 4;
  std::size_t r = 0;
  for (; r + many <= rows; r += many) product_fp8_rows<many>(tile, x + r, k, n, acc + 2 * r * tile_outputs);
  for (; r < rows; ++r) product_fp8_rows<1>(tile, x + r, k, n, acc + 2 * r * tile_outputs);
}

void swiglu(const float* g, const float* u, std::size_t n, float* h) {
  std::size_t i = 0;
  for (; i + V::width <= n; i += V::width) {
    const V x = load(g + i);
    const V silu = div(x, add(set1(1.0f), exp(sub(set1(0.0f), x))));
    store(h + i, mul(silu, load(u + i)));
  }
  for (; i < n; ++i) h[i] = (g[i] / (1.0f + core::exp_f32(0.0f - g[i]))) * u[i];
}

inline void rotate_pair(float& x0, float& x1, float c, float s) {
  const float a = x0;
  const float b = x1;
  x0 = __builtin_fmaf(a, c, -(b * s));
  x1 = __builtin_fmaf(a, s, b * c);
}

void rotate_interleaved(float* __restrict head, const float* cos, const float* sin, std::size_t pairs) {
  for (std::size_t i = 0; i < pairs; ++i) rotate_pair(head[2 * i], head[2 * i + 1], cos[i], sin[i]);
}

void rotate_halves(float* __restrict head, const float* cos, const float* sin, std::size_t pairs) {
  for (std::size_t i = 0; i < pairs; ++i) rotate_pair(head[i], head[i + pairs], cos[i], sin[i]);
}

void store_kv(const float* k, const float* v, std::size_t head_dim, std::size_t slot, bool fp16, void* keys,
              void* values) {
  if (!fp16) {
    float* key = static_cast<float*>(keys) + slot;
    float* value = static_cast<float*>(values) + slot * head_dim;
    for (std::size_t d = 0; d < head_dim; ++d) key[d * page_tokens] = k[d];
    for (std::size_t d = 0; d < head_dim; ++d) value[d] = v[d];
    return;
  }
  std::uint16_t* key = static_cast<std::uint16_t*>(keys) + slot;
  std::uint16_t* value = static_cast<std::uint16_t*>(values) + slot * head_dim;
  const std::size_t whole = head_dim - head_dim % V::width;
  for (std::size_t d = 0; d < whole; d += V::width) {
    std::uint16_t half[V::width];
    store_fp16(half, load(k + d));
    for (std::size_t i = 0; i < V::width; ++i) key[(d + i) * page_tokens] = half[i];
    store_fp16(value + d, load(v + d));
  }
  for (std::size_t d = whole; d < head_dim; ++d) {
    key[d * page_tokens] = core::float_to_fp16(k[d]);
    value[d] = core::float_to_fp16(v[d]);
  }
}

// ops/kernels/packed.inl: the INT8 products of docs/numbers.md over strips, for one instruction set's V, I and B
//
// Floor of a group of 32 columns: 8 dot products of 16 lanes, a conversion and an fma; besides those, one product of
// the two scales for each row, and the unpacking of the codes, which the rows of a panel share.

/// IQ4_NL's values, as the products take codes of 8 bits.
constexpr auto nl_values = [] {
  struct Table {
    std::uint8_t v[16];
  } table{};
  for (std::size_t i = 0; i < 16; ++i) {
    table.v[i] = static_cast<std::uint8_t>(quant::iq4_nl_values[i] + (signed_bytes ? 0 : 128));
  }
  return table;
}();

/// Register j of a group's codes: columns 4j .. 4j + 3 of part v of the strip's rows.
template <std::uint32_t Bits>
inline void unpack_codes(const std::byte* codes, std::size_t v, B* x) {
  const std::byte* p = codes + v * sizeof(B);
  if constexpr (Bits == 8) {
    for (std::size_t j = 0; j < 8; ++j) x[j] = load_b(p + 64 * j);
  } else {
    for (std::size_t j = 0; j < 4; ++j) {
      const B both = load_b(p + 64 * j);
      x[j] = and_b(both, 0x0f);
      x[j + 4] = and_b(shift_right<4>(both), 0x0f);
    }
    if constexpr (Bits == 5) {
      const B fifth = load_b(p + 256);
      x[0] = or_masked(x[0], shift_left<4>(fifth), 0x10);
      x[1] = or_masked(x[1], shift_left<3>(fifth), 0x10);
      x[2] = or_masked(x[2], shift_left<2>(fifth), 0x10);
      x[3] = or_masked(x[3], shift_left<1>(fifth), 0x10);
      x[4] = or_masked(x[4], fifth, 0x10);
      x[5] = or_masked(x[5], shift_right<1>(fifth), 0x10);
      x[6] = or_masked(x[6], shift_right<2>(fifth), 0x10);
      x[7] = or_masked(x[7], shift_right<3>(fifth), 0x10);
    } else if constexpr (Bits == 6) {
      for (std::size_t h = 0; h < 2; ++h) {
        const B pairs = load_b(p + 256 + 64 * h);
        x[4 * h] = or_masked(x[4 * h], shift_left<4>(pairs), 0x30);
        x[4 * h + 1] = or_masked(x[4 * h + 1], shift_left<2>(pairs), 0x30);
        x[4 * h + 2] = or_masked(x[4 * h + 2], pairs, 0x30);
        x[4 * h + 3] = or_masked(x[4 * h + 3], shift_right<2>(pairs), 0x30);
      }
    }
  }
}

/// The scales of one group for part v of the rows, and what they make of the integer sums.
template <quant::Format F>
struct StripScales {
  static constexpr bool k_quant = F == quant::Format::q4_k || F == quant::Format::q5_k;
  static constexpr bool has_min = k_quant || F == quant::Format::q4_1 || F == quant::Format::q5_1;
  static constexpr bool halves = F == quant::Format::q6_k;
  /// The zero point is 8 << shift; -1 = none.
  static constexpr int shift = F == quant::Format::q4_0                                 ? 0
                               : F == quant::Format::q5_0                               ? 1
                               : F == quant::Format::q6_k                               ? 2
                               : F == quant::Format::q8_0 || F == quant::Format::iq4_nl ? 4
                                                                                        : -1;
  V d, dmin, scale[2], min;

  void load(const std::byte* meta, const std::byte* super, std::size_t v) {
    const std::size_t at = v * V::width;
    const auto halves_at = [at](const std::byte* p) {
      return load_fp16(reinterpret_cast<const std::uint16_t*>(p) + at);
    };
    const std::byte* from = k_quant || halves ? super : meta;
    d = halves_at(from);
    if constexpr (has_min) dmin = halves_at(from + 32);
    if constexpr (k_quant) {
      dmin = sub(set1(0.0f), dmin);
      const I low = widen_u8(meta + at);
      const I high = high_bits(meta + 16, v);
      scale[0] = to_float(or_i(and_i(low, 15), shift_left_i<4>(and_i(high, 3))));
      min = to_float(or_i(shift_right_i<4>(low), shift_left_i<2>(and_i(high, 12))));
    }
    if constexpr (halves) {
      for (std::size_t h = 0; h < 2; ++h) scale[h] = to_float(widen_s8(meta + 16 * h + at));
    }
  }

  /// acc + what one row's group adds.
  V take(V acc, const B* x, const Panel& p, std::size_t at) const {
    const std::int8_t* a = p.q + 32 * at;
    const V da = set1(p.d[at]);
    if constexpr (halves) {
      const V first = mul(to_float(dot16(start(p.halves[2 * at]), x, a)), scale[0]);
      const V both = fma(to_float(dot16(start(p.halves[2 * at + 1]), x + 4, a + 16)), scale[1], first);
      return fma(both, mul(d, da), acc);
    } else {
      constexpr std::uint32_t bits = F == quant::Format::iq4_nl ? 8 : strip_layout(F).codes / 64;
      V sum = to_float(dot32<bits>(shift < 0 ? zero_i() : start(p.zero[at]), x, a));
      if constexpr (k_quant) sum = mul(sum, scale[0]);  // exact: below 2^24
      acc = fma(sum, mul(d, da), acc);
      if constexpr (has_min) {
        const V total = k_quant ? mul(min, set1(p.sum[at])) : set1(p.sum[at]);
        acc = fma(total, mul(dmin, da), acc);
      }
      return acc;
    }
  }

 private:
  /// The sum begins with what the zero point counts too much (where bytes are signed, nothing).
  static I start(std::int32_t zero) {
    if constexpr (shift == 4 && signed_bytes) return zero_i();
    return shift_left_i<(shift < 0 ? 0 : shift)>(set1_i(zero));
  }
};

/// Bytes between what is read and what is fetched: more than a core's queue of loads reaches by itself. From DRAM, one
/// row takes 0.4 to 0.6 of the time that it took without, eight rows half; weights in the cache cost 1 % more.
constexpr std::size_t fetch_ahead = 8192;

/// acc[r] takes up n groups of one block, for part v of the strip's rows.
template <quant::Format F, std::size_t R>
inline void add_block(const std::byte* codes, std::size_t n, std::size_t v, const Panel& p, std::size_t at, V* acc) {
  constexpr StripLayout layout = strip_layout(F);
  const std::byte* meta = codes + n * layout.codes;
  const std::byte* super = meta + n * layout.meta;
  const std::byte* ahead = codes + fetch_ahead;
  for (std::size_t g = 0; g < n; ++g, codes += layout.codes, meta += layout.meta, at += p.rows) {
    if (v == 0) {
      for (std::size_t i = 0; i < layout.codes + layout.meta; i += 64) __builtin_prefetch(ahead + i);
      ahead += layout.codes + layout.meta;
    }
    B x[8];
    unpack_codes<layout.codes / 64>(codes, v, x);
    if constexpr (F == quant::Format::iq4_nl) {
      for (std::size_t j = 0; j < 8; ++j) x[j] = lookup_b(nl_values.v, x[j]);
    }
    if constexpr (F == quant::Format::q8_0 && signed_bytes) {
      for (std::size_t j = 0; j < 8; ++j) x[j] = flip_b(x[j]);
    }
    StripScales<F> scales;
    scales.load(meta, super, v);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) acc[r] = scales.take(acc[r], x, p, at + r);
  }
}

// Narrow registers take a block in parts, the second from the nearest cache.
template <quant::Format F, std::size_t R>
inline void strip_rows_product(const std::byte* strip, std::size_t cols, const Panel& p, std::size_t first, float* out,
                               std::size_t stride) {
  constexpr StripLayout layout = strip_layout(F);
  constexpr std::size_t parts = strip_rows / V::width;
  V acc[parts][R];
  for (std::size_t v = 0; v < parts; ++v) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) acc[v][r] = set1(0.0f);
  }
  const std::size_t groups = cols / 32;
  for (std::size_t g = 0; g < groups; g += strip_groups) {
    const std::size_t n = groups - g < strip_groups ? groups - g : strip_groups;
    for (std::size_t v = 0; v < parts; ++v) add_block<F, R>(strip, n, v, p, g * p.rows + first, acc[v]);
    strip += n * (layout.codes + layout.meta) + layout.super;
  }
  for (std::size_t v = 0; v < parts; ++v) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) store(out + r * stride + v * V::width, acc[v][r]);
  }
}

template <quant::Format F>
void strip_product(const std::byte* strip, std::size_t cols, const Panel& p, float* out, std::size_t stride) {
  std::size_t r = 0;
  if constexpr (rows_at_once >= 16 && !StripScales<F>::k_quant) {  // their scales take the registers
    for (; r + 16 <= p.rows; r += 16) strip_rows_product<F, 16>(strip, cols, p, r, out + r * stride, stride);
  }
  if constexpr (rows_at_once >= 8) {
    for (; r + 8 <= p.rows; r += 8) strip_rows_product<F, 8>(strip, cols, p, r, out + r * stride, stride);
  }
  for (; r + 4 <= p.rows; r += 4) strip_rows_product<F, 4>(strip, cols, p, r, out + r * stride, stride);
  switch (p.rows - r) {
    case 1: return strip_rows_product<F, 1>(strip, cols, p, r, out + r * stride, stride);
    case 2: return strip_rows_product<F, 2>(strip, cols, p, r, out + r * stride, stride);
    case 3: return strip_rows_product<F, 3>(strip, cols, p, r, out + r * stride, stride);
    default: return;
  }
}

void quantize_groups(const float* const* x, std::size_t first, std::size_t count, const Panel& p) {
  for (std::uint32_t r = 0; r < p.rows; ++r) {
    for (std::size_t g = 0; g < count; ++g) {
      const std::size_t at = (first + g) * p.rows + r;
      const float* from = x[r] + 32 * g;
      const float amax = largest32(from);
      const bool none = amax < 0x1p-100f;
      const float inverse = none ? 0.0f : 127.0f / amax;
      p.d[at] = none ? 0.0f : amax / 127.0f;
      std::int32_t sums[2];
      for (std::size_t h = 0; h < 2; ++h) {
        sums[h] = round16(from + 16 * h, inverse, p.q + 32 * at + 16 * h);
        p.halves[2 * at + h] = -8 * sums[h];
      }
      p.zero[at] = -8 * (sums[0] + sums[1]);
      p.sum[at] = static_cast<float>(sums[0] + sums[1]);
    }
  }
}

const StripKernels& strip_kernels() noexcept {
  using quant::Format;
  static constexpr StripKernels table = [] {
    StripKernels k{quantize_groups, {}};
    const auto at = [&k](Format f) -> auto& { return k.product[static_cast<std::size_t>(f)]; };
    at(Format::q4_0) = strip_product<Format::q4_0>;
    at(Format::q4_1) = strip_product<Format::q4_1>;
    at(Format::q5_0) = strip_product<Format::q5_0>;
    at(Format::q5_1) = strip_product<Format::q5_1>;
    at(Format::q8_0) = strip_product<Format::q8_0>;
    at(Format::q4_k) = strip_product<Format::q4_k>;
    at(Format::q5_k) = strip_product<Format::q5_k>;
    at(Format::q6_k) = strip_product<Format::q6_k>;
    at(Format::iq4_nl) = strip_product<Format::iq4_nl>;
    return k;
  }();
  return table;
}

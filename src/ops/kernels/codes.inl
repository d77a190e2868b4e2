// ops/kernels/codes.inl: how do the codes and scales of a strip (packed.hpp) become what the products take?

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

/// What the products take of a format's codes.
template <quant::Format F>
constexpr std::uint32_t product_bits = F == quant::Format::iq4_nl ? 8 : strip_layout(F).codes / 64;

template <int N>
inline B shifted(B x) {
  if constexpr (N > 0) {
    return shift_left<N>(x);
  } else if constexpr (N < 0) {
    return shift_right<-N>(x);
  } else {
    return x;
  }
}

/// Columns 4J .. 4J + 3 of one part of a strip's rows.
/// @param p  a group's codes, at that part
template <quant::Format F, int J>
inline B column_codes(const std::byte* p) {
  constexpr std::uint32_t bits = strip_layout(F).codes / 64;
  if constexpr (bits == 8) {
    const B x = load_b(p + 64 * J);
    return signed_bytes ? flip_b(x) : x;
  } else {
    B x = and_b<0x0f>(shifted<(J < 4 ? 0 : -4)>(load_b(p + 64 * (J % 4))));
    if constexpr (bits == 5) x = or_masked<0x10>(x, shifted<4 - J>(load_b(p + 256)));
    if constexpr (bits == 6) x = or_masked<0x30>(x, shifted<4 - 2 * (J % 4)>(load_b(p + 256 + 64 * (J / 4))));
    return F == quant::Format::iq4_nl ? lookup_b(nl_values.v, x) : x;
  }
}

/// f of each J as a constant, in that order.
template <int... J, class Function>
[[gnu::always_inline]] inline void each(std::integer_sequence<int, J...>, Function f) {
  (f(std::integral_constant<int, J>{}), ...);
}
template <int... J>
using Order = std::integer_sequence<int, J...>;

/// f.operator()<F>() for every format that has strips.
template <class Function>
constexpr void for_each_strip_format(const Function& f) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    const auto one = [&]<quant::Format F>() {
      if constexpr (strip_layout(F).codes != 0) f.template operator()<F>();
    };
    (one.template operator()<static_cast<quant::Format>(I)>(), ...);
  }
  (std::make_index_sequence<quant::format_count>{});
}

/// The scales of one group for one part of the rows, and what they make of the integer sums.
template <quant::Format F>
struct StripScales {
  static constexpr bool k_quant = F == quant::Format::q4_k || F == quant::Format::q5_k;
  static constexpr bool has_min = k_quant || F == quant::Format::q4_1 || F == quant::Format::q5_1;
  static constexpr bool halves = F == quant::Format::q6_k;
  /// The zero point is 8 << shift; -1 = none, or that of `halves`, 32.
  static constexpr int shift = F == quant::Format::q4_0                                 ? 0
                               : F == quant::Format::q5_0                               ? 1
                               : F == quant::Format::q8_0 || F == quant::Format::iq4_nl ? 4
                                                                                        : -1;
  V d, dmin, scale[2], min;

  template <std::size_t Part>
  void load(const std::byte* meta, const std::byte* super) {
    constexpr std::size_t at = Part * V::width;
    const auto halves_at = [](const std::byte* p) { return load_fp16(reinterpret_cast<const std::uint16_t*>(p) + at); };
    const std::byte* from = k_quant || halves ? super : meta;
    d = halves_at(from);
    if constexpr (has_min) dmin = halves_at(from + 32);
    if constexpr (k_quant) {
      dmin = sub(set1(0.0f), dmin);
      const I low = widen_u8(meta + at);
      const I high = high_bits<Part>(meta + 16);
      scale[0] = to_float(or_i(and_i<15>(low), shift_left_i<4>(and_i<3>(high))));
      min = to_float(or_i(shift_right_i<4>(low), shift_left_i<2>(and_i<12>(high))));
    }
    if constexpr (halves) {
      for (std::size_t h = 0; h < 2; ++h) scale[h] = to_float(widen_s8(meta + 16 * h + at));
    }
  }

  /// What the sum of a row's group begins with: what the zero point counts too much (where bytes are signed, nothing).
  static I start(const Panel& p, std::size_t at) {
    if constexpr (shift < 0 || (shift == 4 && signed_bytes)) {
      return zero_i();
    } else {
      return shift_left_i<shift>(set1_i(p.zero[at]));
    }
  }
  /// The same of 16 columns.
  static I start(const Panel& p, std::size_t at, std::size_t half) { return set1_i(p.halves[2 * at + half]); }

  /// acc + what one row's group adds. `first` = the sum of 32 columns, or where a scale covers 16, half_sum of the
  /// first.
  V take(V acc, V first, I second, const Panel& p, std::size_t at) const {
    return fma(fma(to_float(second), scale[1], first), mul(d, set1(p.d[at])), acc);
  }
  V half_sum(I sum) const { return mul(to_float(sum), scale[0]); }
  V take(V acc, I whole, const Panel& p, std::size_t at) const {
    const V da = set1(p.d[at]);
    V sum = to_float(whole);
    if constexpr (k_quant) sum = mul(sum, scale[0]);  // exact: below 2^24
    acc = fma(sum, mul(d, da), acc);
    if constexpr (has_min) {
      const V total = k_quant ? mul(min, set1(p.sum[at])) : set1(p.sum[at]);
      acc = fma(total, mul(dmin, da), acc);
    }
    return acc;
  }
};

// quant/group.hpp: what do the bytes of a block say?
//
// Every quantized format is read as groups of 32 weights, w[i] = d * scale[i/16] * q[i] + dmin * min[i/16]
// (docs/numbers.md, Products). De-quantization and the integer tiles both come from here.
#pragma once
#include <cstdint>
#include <cstring>

#include <kinglet/core/number.hpp>
#include <kinglet/quant/format.hpp>

namespace kinglet::quant {

inline constexpr FormatInfo format_infos[format_count] = {
    {Format::f32, "F32", 0, 1, 4},        {Format::f16, "F16", 1, 1, 2},
    {Format::bf16, "BF16", 30, 1, 2},     {Format::q4_0, "Q4_0", 2, 32, 18},
    {Format::q4_1, "Q4_1", 3, 32, 20},    {Format::q5_0, "Q5_0", 6, 32, 22},
    {Format::q5_1, "Q5_1", 7, 32, 24},    {Format::q8_0, "Q8_0", 8, 32, 34},
    {Format::q2_k, "Q2_K", 10, 256, 84},  {Format::q3_k, "Q3_K", 11, 256, 110},
    {Format::q4_k, "Q4_K", 12, 256, 144}, {Format::q5_k, "Q5_K", 13, 256, 176},
    {Format::q6_k, "Q6_K", 14, 256, 210}, {Format::iq4_nl, "IQ4_NL", 20, 32, 18},
    {Format::mxfp4, "MXFP4", 39, 32, 17}, {Format::int4_128, "INT4_128", int4_128_type, 128, 66},
};

template <Format F>
inline constexpr FormatInfo format_info = format_infos[static_cast<std::size_t>(F)];

struct Group {
  std::int8_t q[32];
  std::int32_t scale[2];
  std::int32_t min[2];
  float d;
  float dmin;
};

KINGLET_HD constexpr bool is_float(Format f) noexcept {
  return f == Format::f32 || f == Format::f16 || f == Format::bf16;
}

KINGLET_HD constexpr bool has_min(Format f) noexcept {
  return f == Format::q4_1 || f == Format::q5_1 || f == Format::q2_k || f == Format::q4_k || f == Format::q5_k;
}

inline constexpr std::int8_t iq4_nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                  1,    13,   25,  38,  53,  69,  89,  113};
/// Twice the E2M1 values. Source: OCP Microscaling Formats v1.0.
inline constexpr std::int8_t e2m1_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

namespace detail {

inline float half_at(const std::uint8_t* p) noexcept {
  return core::fp16_to_float(static_cast<std::uint16_t>(p[0] | (p[1] << 8)));
}

/// 2^(e - 128), half of what the E8M0 code means: the values of its table are doubled.
KINGLET_HD inline float e8m0_half(std::uint32_t e) noexcept {
  return core::bits_float(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

inline std::int8_t narrow(int x) noexcept { return static_cast<std::int8_t>(x); }

inline void unscaled(Group& out, float d, float dmin = 0.0f) noexcept {
  out.d = d;
  out.dmin = dmin;
  out.scale[0] = out.scale[1] = 1;
  out.min[0] = out.min[1] = 1;
}

/// 16 bytes of nibbles: the low ones are weights 0 to 15, the high ones 16 to 31.
template <class Map>
inline void nibbles(const std::uint8_t* p, Group& out, Map map) noexcept {
  for (unsigned i = 0; i < 16; ++i) {
    out.q[i] = narrow(map(p[i] & 15, i));
    out.q[16 + i] = narrow(map(p[i] >> 4, 16 + i));
  }
}

inline void nibbles_with_fifth(const std::uint8_t* high, const std::uint8_t* p, int zero, Group& out) noexcept {
  const std::uint32_t bits = high[0] | static_cast<std::uint32_t>(high[1]) << 8 |
                             static_cast<std::uint32_t>(high[2]) << 16 | static_cast<std::uint32_t>(high[3]) << 24;
  nibbles(p, out, [&](int low, unsigned i) { return (low | static_cast<int>((bits >> i) & 1u) << 4) - zero; });
}

/// The 6-bit scale and minimum of group g in the 12 bytes that Q4_K and Q5_K share.
inline void scale_and_min(const std::uint8_t* p, unsigned g, Group& out) noexcept {
  const unsigned i = g % 4;
  const int scale = g < 4 ? p[i] & 63 : (p[8 + i] & 15) | ((p[i] >> 6) << 4);
  const int min = g < 4 ? p[4 + i] & 63 : (p[8 + i] >> 4) | ((p[4 + i] >> 6) << 4);
  out.scale[0] = out.scale[1] = scale;
  out.min[0] = out.min[1] = min;
}

}  // namespace detail

/// Unpacks group g (32 weights) of a block of format F.
template <Format F>
inline void unpack(const std::uint8_t* block, unsigned g, Group& out) noexcept {
  using namespace detail;
  if constexpr (F == Format::q4_0) {
    unscaled(out, half_at(block));
    nibbles(block + 2, out, [](int low, unsigned) { return low - 8; });
  } else if constexpr (F == Format::q4_1) {
    unscaled(out, half_at(block), half_at(block + 2));
    nibbles(block + 4, out, [](int low, unsigned) { return low; });
  } else if constexpr (F == Format::q5_0) {
    unscaled(out, half_at(block));
    nibbles_with_fifth(block + 2, block + 6, 16, out);
  } else if constexpr (F == Format::q5_1) {
    unscaled(out, half_at(block), half_at(block + 2));
    nibbles_with_fifth(block + 4, block + 8, 0, out);
  } else if constexpr (F == Format::q8_0) {
    unscaled(out, half_at(block));
    std::memcpy(out.q, block + 2, 32);
  } else if constexpr (F == Format::iq4_nl) {
    unscaled(out, half_at(block));
    nibbles(block + 2, out, [](int low, unsigned) { return iq4_nl_values[low]; });
  } else if constexpr (F == Format::mxfp4) {
    unscaled(out, e8m0_half(block[0]));
    nibbles(block + 1, out, [](int low, unsigned) { return e2m1_values[low]; });
  } else if constexpr (F == Format::int4_128) {
    unscaled(out, half_at(block));
    nibbles(block + 2 + 16 * g, out, [](int low, unsigned) { return low - 8; });
  } else if constexpr (F == Format::q2_k) {
    out.d = half_at(block + 80);
    out.dmin = -half_at(block + 82);
    for (unsigned h = 0; h < 2; ++h) {
      out.scale[h] = block[2 * g + h] & 15;
      out.min[h] = block[2 * g + h] >> 4;
    }
    const std::uint8_t* p = block + 16 + 32 * (g / 4);
    for (unsigned i = 0; i < 32; ++i) out.q[i] = narrow((p[i] >> (2 * (g % 4))) & 3);
  } else if constexpr (F == Format::q3_k) {
    out.d = half_at(block + 108);
    out.dmin = 0.0f;
    for (unsigned h = 0; h < 2; ++h) {
      const unsigned s = 2 * g + h;
      const int low = (block[96 + s % 8] >> (4 * (s / 8))) & 15;
      const int high = (block[104 + s % 4] >> (2 * (s / 4))) & 3;
      out.scale[h] = (low | high << 4) - 32;
      out.min[h] = 0;
    }
    const std::uint8_t* p = block + 32 + 32 * (g / 4);
    for (unsigned i = 0; i < 32; ++i) {
      out.q[i] = narrow(((p[i] >> (2 * (g % 4))) & 3) + ((block[i] >> g) & 1) * 4 - 4);
    }
  } else if constexpr (F == Format::q4_k) {
    out.d = half_at(block);
    out.dmin = -half_at(block + 2);
    scale_and_min(block + 4, g, out);
    const std::uint8_t* p = block + 16 + 32 * (g / 2);
    for (unsigned i = 0; i < 32; ++i) out.q[i] = narrow((p[i] >> (4 * (g % 2))) & 15);
  } else if constexpr (F == Format::q5_k) {
    out.d = half_at(block);
    out.dmin = -half_at(block + 2);
    scale_and_min(block + 4, g, out);
    const std::uint8_t* high = block + 16;
    const std::uint8_t* p = block + 48 + 32 * (g / 2);
    for (unsigned i = 0; i < 32; ++i) {
      out.q[i] = narrow(((p[i] >> (4 * (g % 2))) & 15) | ((high[i] >> g) & 1) << 4);
    }
  } else {
    static_assert(F == Format::q6_k);
    out.d = half_at(block + 208);
    out.dmin = 0.0f;
    for (unsigned h = 0; h < 2; ++h) {
      out.scale[h] = static_cast<std::int8_t>(block[192 + 2 * g + h]);
      out.min[h] = 0;
    }
    const std::uint8_t* low = block + 64 * (g / 4) + 32 * (g % 2);
    const std::uint8_t* high = block + 128 + 32 * (g / 4);
    for (unsigned i = 0; i < 32; ++i) {
      out.q[i] = narrow(((low[i] >> (4 * (g % 4 / 2))) & 15) + ((high[i] >> (2 * (g % 4))) & 3) * 16 - 32);
    }
  }
}

/// Calls visit.template operator()<F>() for the quantized format; nothing for F32, F16 and BF16.
template <class Visit>
inline void with_quantized(Format format, Visit&& visit) {
  switch (format) {
    case Format::f32:
    case Format::f16:
    case Format::bf16: return;
    case Format::q4_0: return visit.template operator()<Format::q4_0>();
    case Format::q4_1: return visit.template operator()<Format::q4_1>();
    case Format::q5_0: return visit.template operator()<Format::q5_0>();
    case Format::q5_1: return visit.template operator()<Format::q5_1>();
    case Format::q8_0: return visit.template operator()<Format::q8_0>();
    case Format::q2_k: return visit.template operator()<Format::q2_k>();
    case Format::q3_k: return visit.template operator()<Format::q3_k>();
    case Format::q4_k: return visit.template operator()<Format::q4_k>();
    case Format::q5_k: return visit.template operator()<Format::q5_k>();
    case Format::q6_k: return visit.template operator()<Format::q6_k>();
    case Format::iq4_nl: return visit.template operator()<Format::iq4_nl>();
    case Format::mxfp4: return visit.template operator()<Format::mxfp4>();
    case Format::int4_128: return visit.template operator()<Format::int4_128>();
  }
}

}  // namespace kinglet::quant

// ops/kernels/packed_amx.inl: the INT8 products of docs/numbers.md over strips with tiles, for panels of sixteen rows
//
// A tile's product makes the integer sums of a group for 16 rows by 16 outputs; AVX-512 takes them from memory and does
// what follows (a conversion, the product of the two scales, an fma). Floor: 16 cycles of the tiles' unit and as many
// stores of a line, 24 cycles of two vector pipes beside them. Blocks of columns go over the strips in turn, so that
// the rows' part of a block stays in the nearest cache.

/// Products that are begun before the sums of the first are taken, whose latency they cover.
constexpr int products_ahead = 2;
/// Sums on their way, one in each tile and place. Few: what is read while a store to the same place of another page is
/// on its way waits for it, and longer tours through memory took twice the time.
constexpr int sums_ahead = 4;

/// What the codes of a format have too much, as bytes without sign.
template <quant::Format F>
constexpr int code_zero = StripScales<F>::halves      ? 32
                          : StripScales<F>::shift < 0 ? 0
                                                      : 8 << StripScales<F>::shift;

/// A group has one sum, or where a scale covers 16 columns, two.
template <quant::Format F>
constexpr int sum_parts = StripScales<F>::halves ? 2 : 1;

static_assert(sums_ahead == 4, "multiply_tile has four tiles");
static_assert(products_ahead + 2 <= sums_ahead, "a group's sums are taken before the next ones come to their place");

/// A block of a strip, its codes as signed bytes.
template <quant::Format F>
struct TileBlock {
  alignas(64) std::int8_t codes[strip_groups][8][64];
  StripScales<F> scales[strip_groups];
};

using TileSums = std::int32_t[panel_rows][strip_rows];

template <quant::Format F>
inline void unpack_block(const std::byte* strip, std::size_t groups, TileBlock<F>& block) {
  constexpr StripLayout layout = strip_layout(F);
  const std::byte* meta = strip + layout.super;
  const std::byte* codes = strip + layout.head(groups);
  for (std::size_t g = 0; g < groups; ++g, meta += layout.meta, codes += layout.codes) {
    each(
        Order<0, 1, 2, 3, 4, 5, 6, 7>{}, [&](auto j) __attribute__((always_inline)) {
          const __m512i x = column_codes<F, j>(codes).v;
          const __m512i zero = _mm512_set1_epi8(static_cast<char>(code_zero<F>));
          _mm512_store_si512(block.codes[g][j], code_zero<F> == 0 ? x : _mm512_sub_epi8(x, zero));
        });
    block.scales[g].template load<0>(meta, strip);
  }
  __asm__ volatile("" : : : "memory");  // GCC 12 does not know that tiles are read from memory
}

/// Tiles 0 to 3 = sums; 4, 5 = activations of `columns` columns; 6, 7 = codes.
inline void configure_tiles(std::size_t columns) {
  struct alignas(64) {
    std::uint8_t palette, start, reserved[14];
    std::uint16_t row_bytes[16];
    std::uint8_t rows[16];
  } config{1, 0, {}, {}, {}};
  for (std::size_t i = 0; i < 8; ++i) {
    config.row_bytes[i] = i == 4 || i == 5 ? static_cast<std::uint16_t>(columns) : 64;
    config.rows[i] = i < 6 ? 16 : static_cast<std::uint8_t>(columns / 4);
  }
  __asm__ volatile("ldtilecfg %0" : : "m"(config));  // GCC 12's intrinsic lets the compiler drop all but 8 bytes of it
}

/// sums = rows times codes. The instructions name their tiles, so that each of the four in flight is written out.
/// @param a  [16][32], the columns in question first
/// @param w  [columns / 4][64]
template <int Tile>
inline void multiply_tile(const std::int8_t* a, const std::int8_t* w, TileSums& sums) {
  if constexpr (Tile == 0) {
    _tile_zero(0);
    _tile_loadd(6, w, 64);
    _tile_loadd(4, a, 32);
    _tile_dpbssd(0, 4, 6);
    _tile_stored(0, sums, 64);
  } else if constexpr (Tile == 1) {
    _tile_zero(1);
    _tile_loadd(7, w, 64);
    _tile_loadd(5, a, 32);
    _tile_dpbssd(1, 5, 7);
    _tile_stored(1, sums, 64);
  } else if constexpr (Tile == 2) {
    _tile_zero(2);
    _tile_loadd(6, w, 64);
    _tile_loadd(4, a, 32);
    _tile_dpbssd(2, 4, 6);
    _tile_stored(2, sums, 64);
  } else {
    _tile_zero(3);
    _tile_loadd(7, w, 64);
    _tile_loadd(5, a, 32);
    _tile_dpbssd(3, 5, 7);
    _tile_stored(3, sums, 64);
  }
}

/// out takes up `groups` groups of a block, which stand from `at` on in the panel's arrays.
/// @param ahead  what of the strip is fetched meanwhile, as many bytes as the groups have; null = nothing
template <quant::Format F>
void add_tile_block(const TileBlock<F>& block, std::size_t groups, const Panel& p, std::size_t at,
                    TileSums (&sums)[sums_ahead], const std::byte* ahead, float (*out)[out_stride]) {
  constexpr std::size_t group_bytes = strip_layout(F).codes + strip_layout(F).meta;
  constexpr int parts = sum_parts<F>;
  V acc[panel_rows];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < panel_rows; ++r) acc[r] = at == 0 ? set1(0.0f) : load(out[r]);
  const auto multiply = [&]<int i>(std::integral_constant<int, i>) __attribute__((always_inline)) {
    constexpr std::size_t g = i / parts, part = i % parts;
    if (g >= groups) return;
    multiply_tile<i % sums_ahead>(p.q + 32 * (at + g * panel_rows) + 16 * part, block.codes[g][8 / parts * part],
                                  sums[i % sums_ahead]);
  };
  each(std::make_integer_sequence<int, products_ahead>{}, multiply);
  each(
      std::make_integer_sequence<int, strip_groups>{}, [&](auto group) __attribute__((always_inline)) {
        constexpr int first = group * parts;  // of its products
        if (static_cast<std::size_t>(group) >= groups) return;
        each(
            std::make_integer_sequence<int, parts>{}, [&](auto part) __attribute__((always_inline)) {
              constexpr int next = first + part + products_ahead;
              if constexpr (next < static_cast<int>(strip_groups) * parts) {
                multiply(std::integral_constant<int, next>{});
              }
            });
        if (ahead != nullptr) {
          for (std::size_t i = 0; i < group_bytes; i += 64) __builtin_prefetch(ahead + group * group_bytes + i);
        }
        const StripScales<F>& scales = block.scales[group];
        const std::size_t row = at + group * panel_rows;
#pragma GCC unroll 16
        for (std::size_t r = 0; r < panel_rows; ++r) {
          const I sum = load_i(sums[first % sums_ahead][r]);
          if constexpr (parts == 2) {
            const I second = load_i(sums[(first + 1) % sums_ahead][r]);
            acc[r] = scales.take(acc[r], scales.half_sum(sum), second, p, row + r);
          } else {
            acc[r] = scales.take(acc[r], sum, p, row + r);
          }
        }
      });
#pragma GCC unroll 16
  for (std::size_t r = 0; r < panel_rows; ++r) store(out[r], acc[r]);
}

/// Full panels by tiles; the last, if it is not, by AVX-512.
template <quant::Format F>
void strip_product(const StripRun* runs, std::size_t strips, std::size_t cols, const Panel* panels, std::size_t count) {
  const std::size_t full = panels[count - 1].rows == panel_rows ? count : count - 1;
  const std::size_t groups = cols / 32, bytes = strip_bytes(F, cols);
  if (full > 0) {
    TileBlock<F> block;
    alignas(64) TileSums sums[sums_ahead];
    configure_tiles(32 / sum_parts<F>);
    std::size_t done = 0;
    for (std::size_t first = 0; first < groups; first += strip_groups) {
      const std::size_t n = groups - first < strip_groups ? groups - first : strip_groups;
      // Behind a strip's end come those read beside it, and behind them the next ones.
      const std::size_t ahead = done + fetch_ahead + (done + fetch_ahead < bytes ? 0 : (strips - 1) * bytes);
      for (std::size_t s = 0; s < strips; ++s) {
        unpack_block(runs[s].strip + done, n, block);
        for (std::size_t i = 0; i < full; ++i) {
          add_tile_block(block, n, panels[i], first * panel_rows, sums, i == 0 ? runs[s].strip + ahead : nullptr,
                         runs[s].out + i * panel_rows);
        }
      }
      done += strip_layout(F).block(strip_groups);
    }
    _tile_release();
  }
  if (full == count) return;
  StripRun rest[most_runs];
  for (std::size_t s = 0; s < strips; ++s) rest[s] = {runs[s].strip, runs[s].out + full * panel_rows};
  avx512::fetching_strip_kernels().product[static_cast<std::size_t>(F)](rest, strips, cols, panels + full, 1);
}

const StripKernels& strip_kernels() noexcept {
  static constexpr StripKernels table = [] {
    StripKernels k{[](const float* const* x, std::size_t step, std::size_t first, std::size_t count, const Panel& p) {
                     avx512::strip_kernels().quantize(x, step, first, count, p);
                   },
                   {}};
    for_each_strip_format([&k]<quant::Format F>() { k.product[static_cast<std::size_t>(F)] = strip_product<F>; });
    return k;
  }();
  return table;
}

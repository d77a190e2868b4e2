// engine/cost.hpp: how many tiles of a phase fit into the time that is left?
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <kinglet/ops/backend.hpp>

namespace kinglet::engine {

/// What a kind of work took lately: nanoseconds per unit of Work::cost, per phase and per power of four of the plan's
/// rows (one row is bound by memory, many by arithmetic). `threads` tiles run at once, which is a round.
class CostModel {
 public:
  static constexpr std::size_t max_phases = 4;  ///< attention has more, in rounds of two: they share the last two
  static constexpr std::size_t sampling = ops::op_kinds;  ///< the kind that stands for the choice of a token

  void threads(unsigned n) noexcept { threads_ = n; }

  /// @param tiles  that are left of the phase, >= 1
  /// @param left   nanoseconds
  /// @return [0, tiles]; a kind that was never measured is tried one tile at a time
  std::uint32_t fit(std::size_t kind, std::uint32_t phase, std::size_t rows, float cost, std::uint32_t tiles,
                    double left) const noexcept {
    if (left <= 0.0) return 0;
    if (left >= unlimited) return tiles;
    const double rate = rates_[kind][slot(phase)][bucket(rows)];
    if (rate <= 0.0) return 1;
    const double rounds = left / (rate * static_cast<double>(std::max(cost, 1.0f)));
    if (rounds < 1.0) return 0;
    const double fits = rounds >= 1e9 ? 4e9 : static_cast<double>(static_cast<std::uint32_t>(rounds)) * threads_;
    return fits >= static_cast<double>(tiles) ? tiles : static_cast<std::uint32_t>(fits);
  }

  /// @param spent  nanoseconds that `tiles` tiles took
  void measured(std::size_t kind, std::uint32_t phase, std::size_t rows, float cost, std::uint32_t tiles,
                double spent) noexcept {
    const std::uint32_t rounds = (tiles + threads_ - 1) / threads_;
    const double now = std::max(spent, 1.0) / (rounds * static_cast<double>(std::max(cost, 1.0f)));
    double& rate = rates_[kind][slot(phase)][bucket(rows)];
    // A quarter of the new value; an outlier (the thread was interrupted) counts as at most four times the old one.
    rate = rate <= 0.0 ? now : rate + (std::min(now, 4.0 * rate) - rate) * 0.25;
  }

 private:
  static constexpr double unlimited = 60e9;  // a minute is no frame
  static constexpr std::size_t buckets = 8;

  static std::size_t slot(std::uint32_t phase) noexcept {
    return phase < max_phases ? phase : max_phases - 2 + phase % 2;
  }
  static std::size_t bucket(std::size_t rows) noexcept {
    return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(rows) / 2), buckets - 1);
  }

  unsigned threads_ = 1;
  double rates_[ops::op_kinds + 1][max_phases][buckets] = {};
};

}  // namespace kinglet::engine

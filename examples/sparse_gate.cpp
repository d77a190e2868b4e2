// examples/sparse_gate.cpp: how much of a product is lost when a share of its input channels is dropped?
//
// The gate on one's own matrix, without an engine: importance from the weights, then the channels that matter least for
// this input are set to zero. Dropping the same number of channels blindly is the comparison.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include <kinglet/sparse/gate.hpp>

namespace {

constexpr std::size_t rows = 256, channels = 512;

std::vector<double> product(const std::vector<float>& w, const std::vector<float>& x) {
  std::vector<double> y(rows, 0.0);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t k = 0; k < channels; ++k)
      y[r] += static_cast<double>(w[r * channels + k]) * static_cast<double>(x[k]);
  }
  return y;
}

/// The norm of the difference over the norm of the right answer, in percent.
double loss(const std::vector<double>& y, const std::vector<double>& right) {
  double difference = 0.0, size = 0.0;
  for (std::size_t r = 0; r < rows; ++r) {
    difference += (y[r] - right[r]) * (y[r] - right[r]);
    size += right[r] * right[r];
  }
  return 100.0 * std::sqrt(difference / size);
}

}  // namespace

int main() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> w(rows * channels), x(channels), importance(channels);
  for (float& v : w) v = normal(random);
  for (float& v : x) v = normal(random) * std::fabs(normal(random));  // as after an activation: few large, many small
  kinglet::sparse::column_importance(w, rows, importance);
  const std::vector<double> right = product(w, x);

  std::printf("%u x %u product, error of the output in %%\n\n", static_cast<unsigned>(rows),
              static_cast<unsigned>(channels));
  std::printf("dropped  by the gate  blindly\n");
  for (float share : {0.1f, 0.25f, 0.5f, 0.75f}) {
    std::vector<float> gated = x, blind = x;
    const std::size_t dropped = kinglet::sparse::gate_row(gated, importance, share);
    std::fill_n(blind.begin(), dropped, 0.0f);
    std::printf("%5.0f %%  %11.2f  %7.2f\n", static_cast<double>(share) * 100.0, loss(product(w, gated), right),
                loss(product(w, blind), right));
  }

  // The other form: a threshold, calibrated once, and then as many channels as an input needs.
  std::vector<float> scores(channels);
  for (std::size_t k = 0; k < channels; ++k) scores[k] = std::fabs(x[k]) * importance[k];
  const float threshold = kinglet::sparse::calibrate_threshold(scores, 0.5f);
  std::vector<std::uint16_t> kept(channels);
  for (float volume : {0.5f, 1.0f, 2.0f}) {
    std::vector<float> louder = x;
    for (float& v : louder) v *= volume;
    const std::size_t n = kinglet::sparse::select_channels(louder, importance, threshold, kept);
    std::printf("\nthreshold %.3f, input times %.1f: keeps %u of %u channels", static_cast<double>(threshold),
                static_cast<double>(volume), static_cast<unsigned>(n), static_cast<unsigned>(channels));
  }
  std::printf("\n");
  return 0;
}

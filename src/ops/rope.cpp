// ops/rope.cpp: how many turns is a step, without libm?
#include <cmath>

#include <kinglet/ops/rope.hpp>

namespace kinglet::ops {
namespace {

/// An unevaluated sum hi + lo, |lo| <= ulp(hi) / 2 (Dekker 1971; Shewchuk 1997).
struct Pair {
  double hi;
  double lo;
};

Pair quick_sum(double a, double b) {
  const double s = a + b;
  return {s, b - (s - a)};
}

Pair sum(Pair a, Pair b) {
  const double s = a.hi + b.hi;
  const double t = s - a.hi;
  const double e = (a.hi - (s - t)) + (b.hi - t);
  const double s2 = a.lo + b.lo;
  const double t2 = s2 - a.lo;
  const double e2 = (a.lo - (s2 - t2)) + (b.lo - t2);
  const Pair high = quick_sum(s, e + s2);
  return quick_sum(high.hi, high.lo + e2);
}

Pair product(Pair a, Pair b) {
  const double p = a.hi * b.hi;
  const double e = std::fma(a.hi, b.hi, -p);
  return quick_sum(p, e + (a.hi * b.lo + a.lo * b.hi));
}

Pair negate(Pair a) { return {-a.hi, -a.lo}; }

Pair quotient(Pair a, Pair b) {
  const double q1 = a.hi / b.hi;
  Pair r = sum(a, negate(product(b, {q1, 0.0})));
  const double q2 = r.hi / b.hi;
  r = sum(r, negate(product(b, {q2, 0.0})));
  const double q3 = r.hi / b.hi;
  return sum(quick_sum(q1, q2), {q3, 0.0});
}

constexpr Pair ln2{0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
constexpr Pair two_pi{0x1.921fb54442d18p+2, 0x1.1a62633145c07p-52};

/// e^x for |x| < 700: x = k ln 2 + r, Taylor's series of r / 512, squared nine times.
Pair exp(Pair x) {
  const double k = std::nearbyint(x.hi / ln2.hi);
  Pair r = sum(x, negate(product(ln2, {k, 0.0})));
  r = {r.hi * 0x1p-9, r.lo * 0x1p-9};
  // expm1 by Horner, so that the squarings below do not lose the small part: (1 + y)^2 - 1 = 2y + y^2.
  Pair y{0.0, 0.0};
  for (int n = 12; n >= 1; --n) y = quotient(product(r, sum({1.0, 0.0}, y)), {static_cast<double>(n), 0.0});
  for (int i = 0; i < 9; ++i) y = sum(sum(y, y), product(y, y));
  y = sum({1.0, 0.0}, y);
  const double scale = std::ldexp(1.0, static_cast<int>(k));
  return {y.hi * scale, y.lo * scale};
}

/// ln(x) by Newton's iteration y += x e^-y - 1, from a seed that needs no libm.
Pair log(double x) {
  int exponent = 0;
  const double m = std::frexp(x, &exponent);
  Pair y{static_cast<double>(exponent) * ln2.hi + (m - 1.0), 0.0};
  for (int i = 0; i < 8; ++i) y = sum(y, sum(product({x, 0.0}, exp(negate(y))), {-1.0, 0.0}));
  return y;
}

/// The nearest integer to 2^64 * x, modulo 2^64, for x > 0.
std::uint64_t to_turns(Pair x) {
  // Whole turns go first; what is left is below 1 and is taken 32 bits at a time, each step exact.
  x = sum(x, {-std::floor(x.hi), 0.0});
  if (x.hi < 0.0) x = sum(x, {1.0, 0.0});
  std::uint64_t out = 0;
  for (int i = 0; i < 2; ++i) {
    x = {x.hi * 0x1p32, x.lo * 0x1p32};
    double whole = std::floor(x.hi);
    x = sum(x, {-whole, 0.0});
    if (x.hi < 0.0) {
      whole -= 1.0;
      x = sum(x, {1.0, 0.0});
    }
    out = (out << 32) + static_cast<std::uint64_t>(whole);
  }
  return out + (x.hi >= 0.5 ? 1 : 0);
}

}  // namespace

void rotary_steps(float theta, float scale, std::span<const float> factor, std::span<std::uint64_t> step) noexcept {
  const std::size_t half = step.size();
  if (half == 0) return;
  const Pair ln_theta = log(static_cast<double>(theta));
  for (std::size_t i = 0; i < half; ++i) {
    // -2i/d with d = 2 * half
    const Pair exponent = quotient({-static_cast<double>(i), 0.0}, {static_cast<double>(half), 0.0});
    Pair divisor = product(two_pi, {static_cast<double>(scale), 0.0});
    if (!factor.empty()) divisor = product(divisor, {static_cast<double>(factor[i]), 0.0});
    step[i] = to_turns(quotient(exp(product(ln_theta, exponent)), divisor));
  }
}

}  // namespace kinglet::ops

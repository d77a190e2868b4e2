#include "ops/cpu_backend.hpp"

#include <cmath>

#include "tests/catch.hpp"
#include "tests/ops/hand_model.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

std::vector<float> reference(const HandModel& model, const HandSession& session) {
  ContextShape shape = model.shape;
  shape.threads = 1;
  return Placed(scalar_backend(), model, shape).all(session, 64);
}

// ---- the same model in FP64 ----

using Vec = std::vector<double>;

Vec times(const WeightView& w, const Vec& x, const float* bias) {
  std::vector<float> row(w.cols);
  Vec y(w.rows);
  for (std::uint32_t r = 0; r < w.rows; ++r) {
    quant::dequantize(w.format, w.data + r * w.row_bytes, w.cols, row.data());
    for (std::uint32_t i = 0; i < w.cols; ++i) y[r] += static_cast<double>(row[i]) * x[i];
    if (bias != nullptr) y[r] += static_cast<double>(bias[r]);
  }
  return y;
}

void norm(double* x, std::size_t n, const float* w, double eps, double* y) {
  double s = 0.0;
  for (std::size_t i = 0; i < n; ++i) s += x[i] * x[i];
  for (std::size_t i = 0; i < n; ++i)
    y[i] = x[i] / std::sqrt(s / static_cast<double>(n) + eps) * static_cast<double>(w[i]);
}

Vec exact_logits(const HandModel& m, const HandSession& session) {
  const ContextShape& s = m.shape;
  std::vector<Vec> x;
  for (const std::int32_t token : session.tokens) {
    std::vector<float> row(s.dim);
    const WeightView& w = m.ops[0].weight[0];
    quant::dequantize(w.format, w.data + static_cast<std::size_t>(token) * w.row_bytes, s.dim, row.data());
    x.emplace_back(row.begin(), row.end());
  }
  const std::size_t rows = x.size(), d = s.head_dim, pairs = m.steps.size();
  std::vector<Vec> q(rows), k(rows), v(rows), a(rows, Vec(s.heads * d)), h(rows);
  Vec out;
  for (const Op& op : m.ops) {
    for (std::size_t r = 0; r < rows; ++r) {
      Vec n(s.dim);
      if (op.norm != nullptr) norm(x[r].data(), s.dim, op.norm, static_cast<double>(s.norm_eps), n.data());
      const auto add = [&](const Vec& y) {
        for (std::size_t i = 0; i < y.size(); ++i) x[r][i] += y[i];
      };
      const auto turn = [&](Vec& heads, const float* weight) {
        for (std::size_t at = 0; at < heads.size(); at += d) {
          double* head = heads.data() + at;
          if (weight != nullptr) norm(head, d, weight, static_cast<double>(s.norm_eps), head);
          for (std::size_t i = 0; i < pairs; ++i) {
            const double angle =
                static_cast<double>(r) * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(pairs));
            double& x0 = s.rotary_pairs == RotaryPairs::halves ? head[i] : head[2 * i];
            double& x1 = s.rotary_pairs == RotaryPairs::halves ? head[i + pairs] : head[2 * i + 1];
            const double y0 = x0 * std::cos(angle) - x1 * std::sin(angle);
            x1 = x0 * std::sin(angle) + x1 * std::cos(angle);
            x0 = y0;
          }
        }
      };
      switch (op.kind) {
        case OpKind::embed: break;
        case OpKind::attention_input:
          q[r] = times(op.weight[0], n, op.bias[0]);
          k[r] = times(op.weight[1], n, op.bias[1]);
          v[r] = times(op.weight[2], n, op.bias[2]);
          turn(q[r], op.head_norm[0]);
          turn(k[r], op.head_norm[1]);
          break;
        case OpKind::attention:
          for (std::size_t head = 0; head < s.heads; ++head) {
            const std::size_t kv = head / (s.heads / s.kv_heads) * d;
            Vec sum(d);
            double total = 0.0;
            for (std::size_t j = 0; j <= r; ++j) {
              if (s.window != 0 && j + s.window <= r && j >= s.globals) continue;
              double score = 0.0;
              for (std::size_t i = 0; i < d; ++i) score += q[r][head * d + i] * k[j][kv + i];
              const double p = std::exp(score / std::sqrt(static_cast<double>(d)));
              total += p;
              for (std::size_t i = 0; i < d; ++i) sum[i] += p * v[j][kv + i];
            }
            for (std::size_t i = 0; i < d; ++i) a[r][head * d + i] = sum[i] / total;
          }
          break;
        case OpKind::project: add(times(op.weight[0], a[r], op.bias[0])); break;
        case OpKind::gate_up: {
          h[r] = times(op.weight[0], n, op.bias[0]);
          const Vec u = times(op.weight[1], n, op.bias[1]);
          for (std::size_t i = 0; i < u.size(); ++i) h[r][i] = h[r][i] / (1.0 + std::exp(-h[r][i])) * u[i];
          break;
        }
        case OpKind::down: add(times(op.weight[0], h[r], op.bias[0])); break;
        case OpKind::output: {
          const Vec y = times(op.weight[0], n, op.bias[0]);
          out.insert(out.end(), y.begin(), y.end());
        }
      }
    }
  }
  return out;
}

/// Root mean square of the difference over the standard deviation.
double distance(const std::vector<float>& got, const Vec& exact) {
  double mean = 0.0, off = 0.0, spread = 0.0;
  for (const double y : exact) mean += y / static_cast<double>(exact.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    off += (static_cast<double>(got[i]) - exact[i]) * (static_cast<double>(got[i]) - exact[i]);
    spread += (exact[i] - mean) * (exact[i] - mean);
  }
  return std::sqrt(off / spread);
}

}  // namespace

TEST_CASE("a model is a list of operations, and its logits are those of FP64") {
  ContextShape shape = odd_shape();
  shape.activations = Activations::fp32;
  shape.kv = KvFormat::fp32;
  shape.scores = ScoreFormat::fp32;
  for (const std::uint32_t window : {0u, 9u}) {
    shape.window = window;
    shape.globals = window != 0 ? 3 : 0;
    const HandModel model(shape, floats, 6);
    const HandSession session = make_session(1, 40, 3, model.shape);
    for (const BackendInfo* info : usable()) {
      Placed backend(*info, model, model.shape);
      const auto got = backend.all(session, 64);
      REQUIRE(got.size() == 40 * 51);
      INFO(info->name << " window " << window);
      CHECK(distance(got, exact_logits(model, session)) < 2e-6);
    }
  }
}

TEST_CASE("quantized activations and FP16 stay near FP64") {
  for (const Activations activations : {Activations::fp32, Activations::int8, Activations::fp8}) {
    ContextShape shape = quantized_shape();
    shape.activations = activations;
    const HandModel model(shape, groups, 32);
    const HandSession session = make_session(2, 30, 3, model.shape);
    const double off = distance(reference(model, session), exact_logits(model, session));
    INFO(static_cast<int>(activations));
    CHECK(off < (activations == Activations::fp32 ? 3e-3 : activations == Activations::int8 ? 0.05 : 0.3));
  }
}

TEST_CASE("the bits do not depend on threads, backend, ranges, chunks or scratch") {
  struct Setting {
    Activations activations;
    bool quantized;
    std::uint32_t window;
    float gate;
  };
  for (const Setting& setting :
       {Setting{Activations::int8, true, 0, 0.0f}, Setting{Activations::fp8, true, 20, 0.0f},
        Setting{Activations::fp32, true, 0, 0.25f}, Setting{Activations::int8, false, 31, 0.25f},
        Setting{Activations::int8, true, 0, 0.3f}}) {
    ContextShape shape = setting.quantized ? quantized_shape() : odd_shape();
    shape.activations = setting.activations;
    shape.window = setting.window;
    shape.globals = setting.window / 6;
    shape.gate = setting.gate;
    const HandModel model(shape, setting.quantized ? groups : floats, setting.quantized ? 32 : 8);
    const HandSession session = make_session(3, 67, 5, model.shape);
    const auto expected = reference(model, session);
    for (const BackendInfo* info : usable()) {
      Random ranges{7};
      std::uint32_t chunk = 1;
      for (unsigned threads = 1; threads <= 4; ++threads, chunk = chunk * 3 + 1) {
        ContextShape s = model.shape;
        s.threads = threads;
        s.max_rows = s.max_logits = std::max(chunk, 13u);
        Placed backend(*info, model, s);
        INFO(info->name << " threads " << threads << " chunk " << chunk << " activations "
                        << static_cast<int>(setting.activations) << " window " << setting.window);
        CHECK(same_bits(backend.all(session, chunk, threads % 2 == 0 ? &ranges : nullptr), expected));
      }
    }
  }
}

TEST_CASE("many stretches: side by side, in rounds, with a window, and one by one are the same") {
  for (const std::uint32_t window : {0u, 300u, 600u}) {
    ContextShape shape = odd_shape();
    shape.layers = 1;
    shape.window = window;
    shape.globals = window == 300 ? 270 : 0;
    const HandModel model(shape, {quant::Format::f16}, 4);
    HandSession session = make_session(4, 1500, 0, model.shape);
    const auto expected = reference(model, session);
    for (const std::uint32_t max_rows : {1u, 4u, 70u}) {
      ContextShape s = model.shape;
      s.threads = 3;
      s.max_rows = s.max_logits = max_rows;
      Placed backend(*usable()[0], model, s);
      Random ranges{8};
      INFO("window " << window << " rows " << max_rows);
      // The first thousand positions fast, the rest row by row or a few at a time.
      std::vector<float> got;
      for (std::uint32_t at = 0; at < 1500;) {
        const std::uint32_t n = std::min({at < 1000 ? max_rows : std::min(max_rows, 3u), 1500 - at});
        const auto part = backend.step({&session}, {at}, {n}, at > 1400 ? &ranges : nullptr);
        got.insert(got.end(), part.begin(), part.end());
        at += n;
        if (window == 600 && at > 900) {  // pages that have left the window are somebody else's
          for (std::uint32_t p = 0; p < (at - 600) / 16; ++p) session.pages[p] = 0xffffffffu;
        }
      }
      CHECK(same_bits(got, expected));
      session = make_session(4, 1500, 0, model.shape);
    }
  }
}

TEST_CASE("sessions together give what each gives alone") {
  for (const bool quantized : {false, true}) {
    const HandModel model(quantized ? quantized_shape() : odd_shape(), quantized ? groups : floats, 8);
    std::vector<HandSession> sessions;
    std::vector<std::vector<float>> alone;
    std::uint32_t pages = 0;
    for (const std::uint32_t n : {5u, 33u, 1u, 20u}) {
      sessions.push_back(make_session(n, n, pages, model.shape));
      pages += (n + 15) / 16;
      alone.push_back(reference(model, sessions.back()));
    }
    ContextShape shape = model.shape;
    shape.threads = 2;
    Placed backend(*usable()[0], model, shape);
    Random random{9};
    std::vector<std::uint32_t> from(4);
    std::vector<std::vector<float>> together(4);
    for (bool more = true; more;) {
      std::vector<std::uint32_t> count(4);
      more = false;
      for (std::size_t s = 0; s < 4; ++s) {
        const auto left = static_cast<std::uint32_t>(sessions[s].tokens.size()) - from[s];
        count[s] = left == 0 ? 0 : random.below(std::min(left, 12u) + 1);
        more |= left != 0;
      }
      if (count == std::vector<std::uint32_t>(4)) continue;
      const auto got = backend.step({&sessions[0], &sessions[1], &sessions[2], &sessions[3]}, from, count, &random);
      std::size_t at = 0;
      for (std::size_t s = 0; s < 4; ++s) {
        const std::size_t n = std::size_t{count[s]} * model.shape.vocab;
        together[s].insert(together[s].end(), got.begin() + static_cast<std::ptrdiff_t>(at),
                           got.begin() + static_cast<std::ptrdiff_t>(at + n));
        at += n;
        from[s] += count[s];
      }
    }
    for (std::size_t s = 0; s < 4; ++s) CHECK(same_bits(together[s], alone[s]));
  }
}

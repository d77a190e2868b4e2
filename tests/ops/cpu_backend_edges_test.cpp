#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>

#include <kinglet/core/float_env.hpp>

#include "ops/cpu_backend.hpp"
#include "tests/catch.hpp"
#include "tests/ops/hand_model.hpp"
#include "tests/ops/strip_sets.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

/// A host whose allocator counts, and refuses one allocation.
struct CountingHost {
  int calls = 0;
  int refuse_at = -1;
  int live = 0;
  int parallel = 0;

  Hooks hooks() {
    Hooks h;
    h.user = this;
    h.allocate = [](void* user, std::size_t bytes, std::size_t alignment) -> void* {
      auto& self = *static_cast<CountingHost*>(user);
      if (self.calls++ == self.refuse_at) return nullptr;
      ++self.live;
      return ::operator new(bytes, std::align_val_t(alignment), std::nothrow);
    };
    h.deallocate = [](void* user, void* memory, std::size_t, std::size_t alignment) {
      --static_cast<CountingHost*>(user)->live;
      ::operator delete(memory, std::align_val_t(alignment));
    };
    return h;
  }
};

std::vector<float> plain_run(const HandModel& model, const HandSession& session) {
  return Placed(scalar_backend(), model, model.shape).all(session, 16);
}

}  // namespace

TEST_CASE("a backend takes exactly the bytes that were announced, and gives all of them back") {
  for (const Activations activations : {Activations::int8, Activations::fp32, Activations::fp8}) {
    for (const BackendInfo* info : usable()) {
      ContextShape shape = quantized_shape();
      shape.activations = activations;
      shape.threads = 3;
      const HandModel model(shape, groups, 32);
      CountingHost host;
      {
        Placed backend(*info, model, model.shape, host.hooks());
        REQUIRE_FALSE(backend.error);
        CHECK(backend.memory().used() == backend.expected_bytes);
        CHECK(backend.memory().peak() == backend.expected_bytes);
      }
      CHECK(host.live == 0);
    }
  }
}

TEST_CASE("a step allocates nothing") {
  const HandModel model(quantized_shape(), groups, 32);
  ContextShape shape = model.shape;
  shape.threads = 2;
  CountingHost host;
  Placed backend(*usable()[0], model, shape, host.hooks());
  const int before = host.calls;
  const HandSession session = make_session(1, 50, 0, shape);
  REQUIRE(backend.all(session, 7).size() == 50 * shape.vocab);
  CHECK(host.calls == before);
}

TEST_CASE("each refused allocation is out_of_memory, and nothing is lost") {
  const HandModel model(quantized_shape(), groups, 32);
  int refused = 0;
  for (int at = 0; at < 100; ++at) {
    CountingHost host;
    host.refuse_at = at;
    {
      Placed backend(*usable()[0], model, model.shape, host.hooks());
      if (!backend.error) {
        CHECK(host.calls <= at);
        break;
      }
      CHECK(backend.error.code == Errc::out_of_memory);
      ++refused;
    }
    CHECK(host.live == 0);
  }
  CHECK(refused > 0);
}

TEST_CASE("sizes that overflow or make no sense are refused before anything is taken") {
  const BackendInfo& info = *usable()[0];
  const auto refused = [&](auto change) {
    ContextShape s = odd_shape();
    change(s);
    core::Memory memory;
    const auto made = info.create(s, {}, memory);
    CHECK(info.bytes(s) == 0);
    CHECK(made.error().code == Errc::invalid_argument);
    CHECK(memory.peak() == 0);
  };
  refused([](ContextShape& s) { s.dim = 0; });
  refused([](ContextShape& s) { s.threads = 0; });
  refused([](ContextShape& s) { s.kv_heads = 4; });
  refused([](ContextShape& s) { s.max_logits = s.max_rows + 1; });
  refused([](ContextShape& s) { s.gate = 1.0f; });
  refused([](ContextShape& s) { s.layers = s.pages = s.head_dim = 0x7fffffff; });
  refused([](ContextShape& s) { s.vocab = s.max_rows = s.max_logits = s.dim = 0xffffffff; });
  refused([](ContextShape& s) { s.heads = s.kv_heads = s.head_dim = s.max_rows = 0x7fffffff; });
  refused([](ContextShape& s) {
    s.heads = s.kv_heads = 0x7fffffff;
    s.head_dim = 0x40000000;
    s.layers = s.max_rows = s.max_logits = s.max_sequences = s.pages = 1;
  });
}

TEST_CASE("a batch that would lead outside is refused") {
  const HandModel model(odd_shape(), floats, 8);
  Placed backend(*usable()[0], model, model.shape);
  const HandSession session = make_session(1, 60, 0, model.shape);
  std::vector<Row> rows = {{1, 0, 0}, {2, 1, 0}, {3, 0, 1}};
  std::vector<Sequence> sequences = {{0, 2, 0, session.pages.data()}, {2, 1, 0, session.pages.data() + 1}};
  std::vector<std::uint32_t> logits = {2};
  const auto begin = [&] { return backend->begin({rows, sequences, logits, {}}); };
  REQUIRE(begin());
  const auto refused = [&](auto& place, auto value) {
    const auto kept = place;
    place = value;
    const Status status = begin();
    CHECK_FALSE(status);
    CHECK(status.error().message[0] != '\0');
    place = kept;
  };
  refused(rows[1].token, -1);
  refused(rows[1].token, 51);
  refused(rows[1].position, 2u);
  refused(rows[1].sequence, 1u);
  refused(sequences[1].first_row, 1u);
  refused(sequences[1].rows, 2u);
  refused(sequences[0].rows, 0u);
  refused(sequences[0].rows, 0xffffffffu);
  refused(logits[0], 3u);
  const std::uint32_t no_page = 100;
  refused(sequences[1].pages, &no_page);
  CHECK_FALSE(backend->begin({std::vector<Row>(71), sequences, logits, {}}));
  REQUIRE(begin());
  CHECK_FALSE(backend->run(model.ops[0], 0, 0, 4));
  CHECK_FALSE(backend->run(model.ops[0], 1, 0, 1));
  CHECK_FALSE(backend->logits(1));
  CHECK_FALSE(backend->hidden(0));
  CHECK(backend->bad_layer(1000) == -1);
  CHECK(backend->begin({}));
  CHECK(backend.walk());  // nothing to do is done at once
}

TEST_CASE("the hidden rows are what the output layer reads") {
  ContextShape shape = odd_shape();
  shape.activations = Activations::fp32;
  const HandModel model(shape, floats, 8);
  Placed backend(*usable()[0], model, model.shape);
  const auto got = backend.step({}, {}, {});
  CHECK(got.empty());
  const HandSession session = make_session(1, 9, 0, model.shape);
  const auto logits = backend.step({&session}, {0}, {9});
  const WeightView& w = model.ops.back().weight[0];
  std::vector<float> row(w.cols);
  for (std::uint32_t i = 0; i < 9; ++i) {
    const auto hidden = *backend->hidden(i);
    REQUIRE(hidden.size() == shape.dim);
    for (std::uint32_t o = 0; o < w.rows; ++o) {
      quant::dequantize(w.format, w.data + o * w.row_bytes, w.cols, row.data());
      float sum = 0.0f;
      for (std::uint32_t k = 0; k < w.cols; ++k) sum = std::fma(row[k], hidden[k], sum);
      REQUIRE(sum == logits[i * w.rows + o]);
    }
  }
}

TEST_CASE("a number that is not finite names its layer, and spoils no other session") {
  for (const bool quantized : {false, true}) {
    for (const int layer : {0, 1}) {
      HandModel model(quantized ? quantized_shape() : odd_shape(), quantized ? groups : floats, 8);
      HandSession good = make_session(1, 5, 0, model.shape);
      for (std::int32_t& token : good.tokens) token = token == 7 ? 8 : token;
      HandSession bad = good;
      bad.pages[0] -= 10;
      bad.tokens = {7, 7, 7, 7, 7};
      const auto clean = plain_run(model, good);
      // The embedding of token 7 is infinite: layer 0 sees it first. For layer 1: layer 0's weights make it so.
      if (layer == 0) {
        auto& m = *model.matrices[0];
        const std::size_t bytes = model.ops[0].weight[0].row_bytes;
        std::fill_n(m.begin() + static_cast<std::ptrdiff_t>(7 * bytes), bytes, std::byte{0x7f});
      } else {
        const float big = 3e38f;
        for (const auto& v : model.vectors) {
          if (v->data() == model.ops[5].bias[0]) (*v)[3] = big;  // down, for every row
        }
      }
      Placed backend(*usable()[0], model, model.shape);
      const auto got = backend.step({&good, &bad}, {0, 0}, {5, 5});
      REQUIRE_FALSE(backend.error);
      for (std::uint32_t row = 0; row < 10; ++row) {
        INFO("row " << row << " layer " << layer);
        CHECK(backend->bad_layer(row) == (layer == 0 ? (row < 5 ? -1 : 0) : 1));
      }
      if (layer == 0) CHECK(same_bits({got.begin(), got.begin() + 5 * model.shape.vocab}, clean));
    }
  }
}

TEST_CASE("a copied page serves a second session as it served the first") {
  for (const KvFormat kv : {KvFormat::fp16, KvFormat::fp32}) {
    ContextShape shape = odd_shape();
    shape.kv = kv;
    const HandModel model(shape, floats, 8);
    const HandSession session = make_session(1, 30, 0, model.shape);
    const auto expected = plain_run(model, session);
    HandSession fork = session;
    fork.pages[1] = 3;  // the first page is shared, the second one copied
    Placed backend(*usable()[0], model, model.shape);
    backend.step({&session}, {0}, {25});
    REQUIRE(backend->copy_page(session.pages[1], 3, 9));
    const auto rest = backend.step({&fork}, {25}, {5});
    CHECK(same_bits(rest, {expected.begin() + 25 * model.shape.vocab, expected.end()}));
    // Out of the pool and into other places of another backend.
    std::vector<std::byte> bytes(model.shape.page_bytes());
    Placed other(*usable()[0], model, model.shape);
    HandSession moved = session;
    for (std::uint32_t i = 0; i < 2; ++i) {
      moved.pages[i] = session.pages[1 - i];
      REQUIRE(backend->read_page(session.pages[i], bytes));
      REQUIRE(other->write_page(moved.pages[i], bytes));
    }
    CHECK(same_bits(other.step({&moved}, {25}, {5}), rest));
    CHECK_FALSE(backend->copy_page(0, 100, 1));
    CHECK_FALSE(backend->copy_page(100, 0, 1));
  }
}

#if defined(__x86_64__)
TEST_CASE("a host that rounds up and flushes to zero changes no bit, and finds its settings again") {
  const HandModel model(quantized_shape(), groups, 32);
  const HandSession session = make_session(1, 20, 0, model.shape);
  const auto expected = plain_run(model, session);
  for (const BackendInfo* info : usable()) {
    for (const unsigned threads : {1u, 3u}) {
      ContextShape shape = model.shape;
      shape.threads = threads;
      const unsigned kept = _mm_getcsr();
      const unsigned hostile = 0x1f80 | 0x4000 | 0x8000 | 0x0040;
      _mm_setcsr(hostile);
      std::vector<float> got;
      unsigned after = 0;
      {
        Placed backend(*info, model, shape);
        got = backend.all(session, 6);
        after = _mm_getcsr();
      }
      _mm_setcsr(kept);
      CHECK((after & ~0x3fu) == hostile);
      CHECK(same_bits(got, expected));
    }
  }
}
#endif

TEST_CASE("the host's threads do the work where it lends them") {
  const HandModel model(quantized_shape(), groups, 32);
  const HandSession session = make_session(1, 20, 0, model.shape);
  const auto expected = plain_run(model, session);
  CountingHost host;
  Hooks hooks = host.hooks();
  hooks.parallel_for = [](void* user, std::size_t n, void (*body)(void*, std::size_t), void* context) {
    ++static_cast<CountingHost*>(user)->parallel;
    for (std::size_t i = n; i > 0; --i) body(context, i - 1);
  };
  ContextShape shape = model.shape;
  shape.threads = 4;
  Placed backend(*usable()[0], model, shape, hooks);
  CHECK(same_bits(backend.all(session, 9), expected));
  CHECK(host.parallel > 0);
}

TEST_CASE("a backend gives the same bits with every set of kernels over strips, one strip or two at a time") {
  static CpuBackend::Isa isa;
  static StripKernels strips, paired;  // as the set has them; as the backend uses them
  static std::atomic<std::uint32_t> pairs;
  BackendInfo info = scalar_backend();
  info.create = [](const ContextShape& shape, const Hooks& hooks, core::Memory& memory) noexcept {
    return CpuBackend::create(isa, shape, hooks, memory);
  };
#if defined(__x86_64__)
  CHECK(avx2::fetching_strip_kernels().pairs.rows == 2);
  CHECK(avx512::strip_kernels().pairs.rows == 1);
#endif
  ContextShape shape = quantized_shape();  // 3 tiles of q, one of k and one of v, 2 of x
  shape.ffn = 37 * tile_outputs;           // more than gate and up make together, and an odd number
  shape.vocab = 5 * tile_outputs + 10;     // the last tile is one strip
  using quant::Format;
  for (const std::vector<Format>& formats :
       {std::vector{Format::q4_0}, std::vector{Format::q8_0}, std::vector{Format::q4_0, Format::q4_1}}) {
    const HandModel model(shape, formats, 32);
    const HandSession session = make_session(3, 20, 0, shape);
    const std::vector<float> expected = Placed(scalar_backend(), model, shape).all(session, 20);
    for (const StripSet& set : strip_sets()) {
      strips = paired = set.strips();
      paired.pairs.cols = 0;
      paired.pairs.tiles = std::min(paired.pairs.tiles, 4u);
      const auto count = [&]<Format F>() {
        paired.paired[static_cast<std::size_t>(F)] = [](const StripRun* runs, std::size_t n, std::size_t cols,
                                                        const Panel* panels, std::size_t m) {
          ++pairs;
          strips.paired[static_cast<std::size_t>(F)](runs, n, cols, panels, m);
        };
      };
      count.template operator()<Format::q4_0>();
      count.template operator()<Format::q4_1>();
      count.template operator()<Format::q8_0>();
      isa = {"strips", scalar::kernels, []() noexcept -> const StripKernels& { return paired; }};
      for (const std::uint32_t threads : {1u, 3u}) {
        ContextShape changed = shape;
        changed.threads = threads;
        Random ranges{7};
        for (const std::uint32_t rows : {1u, 2u, 3u}) {
          INFO(set.name << ", " << threads << " threads, " << rows << " rows");
          pairs = 0;
          CHECK(same_bits(Placed(info, model, changed).all(session, rows), expected));
          CHECK(same_bits(Placed(info, model, changed).all(session, rows, &ranges), expected));
          if (strips.pairs.rows == 0) CHECK(pairs == 0);
          if (rows <= strips.pairs.rows && formats.size() == 1) CHECK(pairs > 0);  // not across formats
        }
      }
    }
  }
}

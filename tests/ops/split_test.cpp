#include "ops/split.hpp"

#include <string>

#include "tests/catch.hpp"
#include "tests/ops/hand_model.hpp"

using namespace kinglet;
using namespace kinglet::ops;
using namespace kinglet::test;

namespace {

/// A model of which the layers below `cut` live on one backend and the others on another.
class Divided {
 public:
  Divided(const BackendInfo& first, const BackendInfo& last, const HandModel& model, std::uint32_t cut)
      : infos_{&first, &last}, shape_(model.shape), ops_(model.ops) {
    const ContextShape shapes[] = {SplitBackend::first_shape(shape_, cut), SplitBackend::last_shape(shape_, cut)};
    for (std::size_t i = 0; i < 2; ++i) {
      const auto made = infos_[i]->create(shapes[i], {}, memory_);
      REQUIRE(made.ok());
      parts_[i] = *made;
    }
    split_ = std::make_unique<SplitBackend>(*parts_[0], *parts_[1], shape_, cut, &memory_);
    for (Op& op : ops_) {
      const bool early = op.kind == OpKind::embed || (op.kind != OpKind::output && op.layer < cut);
      Backend& backend = *parts_[early ? 0 : 1];
      const auto use = op.kind == OpKind::embed ? WeightUse::lookup : WeightUse::product;
      std::size_t count = 0;
      for (const WeightView& w : op.weight) count += w ? 1 : 0;
      const bool together = op.kind == OpKind::gate_up;
      for (std::size_t i = 0; i < count; i += together ? count : 1) {
        REQUIRE(backend.place({op.weight + i, together ? count : 1}, use).ok());
      }
    }
  }
  ~Divided() {
    split_.reset();
    for (std::size_t i = 0; i < 2; ++i) infos_[i]->destroy(parts_[i], memory_);
  }
  Divided(const Divided&) = delete;
  Divided& operator=(const Divided&) = delete;

  std::vector<float> all(const HandSession& session, std::uint32_t chunk) {
    std::vector<float> out;
    const auto n = static_cast<std::uint32_t>(session.tokens.size());
    for (std::uint32_t at = 0; at < n; at += chunk) {
      const std::uint32_t count = std::min(chunk, n - at);
      std::vector<Row> rows;
      std::vector<std::uint32_t> all;
      for (std::uint32_t i = 0; i < count; ++i) {
        rows.push_back({session.tokens[at + i], at + i, 0});
        all.push_back(i);
      }
      const Sequence sequence{0, count, at, session.pages.data()};
      REQUIRE(split_->begin({rows, {&sequence, 1}, all, all}).ok());
      for (const Op& op : ops_) {
        for (std::uint32_t phase = 0; phase < split_->phases(op); ++phase) {
          const std::uint32_t tiles = split_->work(op, phase).tiles;
          for (std::uint32_t tile = 0; tile < tiles; ++tile) REQUIRE(split_->run(op, phase, tile, tile + 1).ok());
          CHECK_FALSE(split_->run(op, phase, tiles, tiles + 1).ok());
        }
      }
      for (std::uint32_t i = 0; i < count; ++i) {
        const auto logits = *split_->logits(i);
        out.insert(out.end(), logits.begin(), logits.end());
        CHECK(split_->hidden(i)->size() == shape_.dim);
        CHECK(split_->bad_layer(i) == -1);
      }
    }
    return out;
  }
  SplitBackend& operator*() { return *split_; }

 private:
  const BackendInfo* infos_[2];
  ContextShape shape_;
  std::vector<Op> ops_;
  core::Memory memory_;
  Backend* parts_[2] = {};
  std::unique_ptr<SplitBackend> split_;
};

}  // namespace

TEST_CASE("a model gives the same wherever it is cut, on any two backends") {
  ContextShape shape = quantized_shape();
  shape.layers = 4;
  const HandModel model(shape, groups, 32);
  const HandSession session = make_session(5, 20, 3, shape);
  Placed whole(scalar_backend(), model, model.shape);
  const auto expected = whole.all(session, 20);
  for (const BackendInfo* last : usable()) {
    for (std::uint32_t cut = 1; cut < shape.layers; ++cut) {
      Divided divided(scalar_backend(), *last, model, cut);
      CHECK(same_bits(expected, divided.all(session, 1 + 5 * cut)));
      CHECK(std::string((*divided).name()) == last->name);
    }
  }
}

TEST_CASE("a divided model: pages are copied in both parts, faults are named by the model's layer") {
  ContextShape shape = odd_shape();
  shape.layers = 3;
  const HandModel model(shape, floats, 6);
  const_cast<float*>(model.ops[6].norm)[0] = std::numeric_limits<float>::infinity();  // in layer 1
  const HandSession session = make_session(5, 3, 3, shape);
  Divided divided(scalar_backend(), scalar_backend(), model, 1);
  const Row row{session.tokens[0], 0, 0};
  const Sequence sequence{0, 1, 0, session.pages.data()};
  const std::uint32_t zero = 0;
  REQUIRE((*divided).begin({{&row, 1}, {&sequence, 1}, {&zero, 1}, {}}).ok());
  for (const Op& op : model.ops) {
    for (std::uint32_t phase = 0; phase < (*divided).phases(op); ++phase) {
      REQUIRE((*divided).run(op, phase, 0, (*divided).work(op, phase).tiles).ok());
    }
  }
  Placed whole(scalar_backend(), model, model.shape);
  (void)whole.step({&session}, {0}, {1});
  CHECK(whole->bad_layer(0) >= 1);
  CHECK((*divided).bad_layer(0) == whole->bad_layer(0));
  CHECK((*divided).copy_page(session.pages[0], 0, 1).ok());
  CHECK_FALSE((*divided).copy_page(session.pages[0], shape.pages, 1).ok());
  // A page is that of one backend which has all layers.
  std::vector<std::byte> page(model.shape.page_bytes(), std::byte{7}), again(page.size());
  REQUIRE((*divided).write_page(1, page).ok());
  REQUIRE((*divided).read_page(1, again).ok());
  CHECK(page == again);
  CHECK_FALSE((*divided).read_page(shape.pages, page).ok());
  CHECK_FALSE((*divided).write_page(0, std::span(page).first(2)).ok());
  WeightView weight = model.ops[0].weight[0];
  CHECK((*divided).place({&weight, 1}, WeightUse::product).error().code == Errc::internal);
  std::vector<float> short_of(shape.dim - 1);
  CHECK((*divided).read_rows(short_of).error().code == Errc::internal);
  CHECK((*divided).write_rows(short_of).error().code == Errc::internal);
}

// model/pack.cpp: which tensors of a model become strips, and in which order are they written?
#include <kinglet/model/pack.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <kinglet/core/memory.hpp>

#include "core/fail.hpp"
#include "model/gguf_reader.hpp"
#include "model/packed_tensor.hpp"

namespace kinglet::model {
namespace {

using core::fail;

constexpr std::string_view gate_end = ".ffn_gate.weight", up_end = ".ffn_up.weight", both_end = ".ffn_gate_up.weight";

/// Bytes that are read between two looks at the progress.
constexpr std::size_t stretch = 4u << 20;

bool ends_with(std::string_view text, std::string_view end) noexcept {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

/// A tensor of the new file, from one of the old or two whose strips take turns.
struct Planned {
  const TensorInfo* from[2];
  bool strips;
};

class Packer {
 public:
  Packer(const Gguf& file, ByteSink sink, std::pmr::memory_resource* memory, PackProgress progress)
      : file_(file),
        sink_(sink),
        progress_(progress),
        out_({this, write}, memory, 64),
        plan_(memory),
        sums_(memory),
        strips_(memory),
        name_(memory) {}

  Status all() {
    if (const Status s = plan(); !s) return s;
    if (const Status s = head(); !s) return s;
    sums_.push_back(sum_.value());
    for (const Planned& p : plan_) {
      sum_ = {};
      const Status s = p.strips ? strips(p) : rows(*p.from[0]);
      if (!s) return s;
      sums_.push_back(sum_.value());
    }
    if (const Status s = out_.write(std::as_bytes(std::span(sums_))); !s) return s;
    return out_.finish();
  }

 private:
  static bool write(void* user, const std::byte* data, std::size_t bytes) noexcept {
    Packer& self = *static_cast<Packer*>(user);
    if (self.in_head_) self.sum_.add({data, bytes});
    return self.sink_.write == nullptr || self.sink_.write(self.sink_.user, data, bytes);
  }

  /// The matrices that products read. An embedding that is not the output layer too stays as it is: single rows of it
  /// are read.
  bool is_product(const TensorInfo& t) const noexcept {
    if (t.rank != 2 || ops::strip_layout(*t.format).codes == 0) return false;
    if (t.name == "token_embd.weight") return file_.find("output.weight") == nullptr;
    if (t.name == "output.weight") return true;
    for (const char* end : {".attn_q.weight", ".attn_k.weight", ".attn_v.weight", ".attn_output.weight",
                            ".ffn_gate.weight", ".ffn_up.weight", ".ffn_down.weight"}) {
      if (ends_with(t.name, end)) return true;
    }
    return false;
  }

  /// The other one of a layer's gate and up, where their strips can take turns; or null.
  const TensorInfo* partner(const TensorInfo& t) {
    const bool gate = ends_with(t.name, gate_end);
    if (!gate && !ends_with(t.name, up_end)) return nullptr;
    name_.assign(t.name.substr(0, t.name.size() - (gate ? gate_end : up_end).size())).append(gate ? up_end : gate_end);
    const TensorInfo* other = file_.find(name_);
    const bool alike = other != nullptr && other->rank == 2 && other->format == t.format &&
                       std::equal(t.dims, t.dims + 4, other->dims);
    return alike ? other : nullptr;
  }

  Status plan() {
    if (file_.packed()) return fail(Errc::unsupported, "is a packed file already; start from the original");
    for (const TensorInfo& t : file_.tensors()) {
      if (!t.format)
        return fail(Errc::unsupported, "tensor {:.64} has a type that this build cannot read; start from another file",
                    t.name);
      const bool product = is_product(t);
      const TensorInfo* other = product ? partner(t) : nullptr;
      if (other == nullptr) {
        plan_.push_back({{&t, nullptr}, product});
      } else if (ends_with(t.name, gate_end)) {
        plan_.push_back({{&t, other}, true});
      }
      all_ += t.bytes;
    }
    return {};
  }

  Status head() {
    for (const Gguf::Entry& entry : file_.entries()) {
      if (entry.key == "general.alignment" || entry.key.substr(0, 6) == "split.") continue;
      if (const Status s = out_.add(entry); !s) return s;
    }
    if (const Status s = out_.add(pack_version_key, pack_version); !s) return s;
    for (const Planned& p : plan_) {
      const TensorInfo& t = *p.from[0];
      if (p.from[1] != nullptr) {
        name_.assign(t.name.substr(0, t.name.size() - gate_end.size())).append(both_end);
        const std::uint64_t dims[] = {t.dims[0], t.dims[1], 2};
        if (const Status s = out_.add_packed(name_, dims, *t.format); !s) return s;
        continue;
      }
      const auto dims = std::span(t.dims, t.rank);
      const Status s = p.strips ? out_.add_packed(t.name, dims, *t.format) : out_.add_tensor(t.name, dims, *t.format);
      if (!s) return s;
    }
    if (const Status s = out_.add_words(pack_sums_name, plan_.size() + 1); !s) return s;
    in_head_ = true;
    const Status begun = out_.begin();
    in_head_ = false;
    return begun;
  }

  Status rows(const TensorInfo& t) {
    for (std::size_t at = 0; at < t.bytes; at += stretch) {
      const std::span<const std::byte> part(t.data + at, std::min(stretch, t.bytes - at));
      sum_.add(part);
      if (const Status s = out_.write(part); !s) return s;
      if (const Status s = done(part.size()); !s) return s;
    }
    return {};
  }

  Status strips(const Planned& p) {
    const TensorInfo& t = *p.from[0];
    const auto rows = static_cast<std::size_t>(t.dims[1]);
    const auto cols = static_cast<std::uint32_t>(t.dims[0]);
    const std::size_t row_bytes = quant::format_bytes(*t.format, cols);
    strips_.resize(ops::strip_bytes(*t.format, cols));
    for (std::size_t row = 0; row < rows; row += ops::strip_rows) {
      const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(ops::strip_rows, rows - row));
      for (const TensorInfo* from : p.from) {
        if (from == nullptr) continue;
        ops::pack_strip(*t.format, from->data + row * row_bytes, row_bytes, n, cols, strips_.data());
        sum_.add(strips_);
        if (const Status s = out_.write(strips_); !s) return s;
        if (const Status s = done(n * row_bytes); !s) return s;
      }
    }
    return {};
  }

  Status done(std::size_t bytes) noexcept {
    const std::uint64_t before = done_ / stretch;
    done_ += bytes;
    if (done_ / stretch == before) return {};
    if (progress_.at == nullptr || progress_.at(progress_.user, static_cast<float>(done_) / static_cast<float>(all_)))
      return file_.unchanged();
    return Error{Errc::cancelled, "packing was cancelled"};
  }

  const Gguf& file_;
  ByteSink sink_;
  PackProgress progress_;
  GgufWriter out_;
  std::pmr::vector<Planned> plan_;
  std::pmr::vector<std::uint64_t> sums_;  ///< of the head, then of each tensor
  std::pmr::vector<std::byte> strips_;    ///< one strip
  std::pmr::string name_;
  PackSum sum_;
  bool in_head_ = false;
  std::uint64_t done_ = 0, all_ = 1;
};

}  // namespace

Status pack(const Gguf& file, ByteSink sink, std::pmr::memory_resource* memory, PackProgress progress) noexcept {
  return core::guarded([&]() -> Status { return Packer(file, sink, memory, progress).all(); });
}

Status check_packed(const Gguf& file, PackProgress progress) noexcept {
  const TensorInfo* const sums = file.find(pack_sums_name);
  if (!file.packed() || sums == nullptr) return fail(Errc::unsupported, "is not a packed file");
  std::uint64_t done = 0, all = 1;
  for (const TensorInfo& t : file.tensors()) all += t.bytes;
  std::size_t i = 0;
  for (const TensorInfo& t : file.tensors()) {
    i += 1;
    if (&t == sums) continue;
    PackSum sum;
    for (std::size_t at = 0; at < t.bytes; at += stretch) {
      const std::size_t n = std::min(stretch, t.bytes - at);
      sum.add({t.data + at, n});
      done += n;
      if (const Status s = file.unchanged(); !s) return s;
      if (progress.at != nullptr && !progress.at(progress.user, static_cast<float>(done) / static_cast<float>(all)))
        return Error{Errc::cancelled, "the check was cancelled"};
    }
    if (sum.value() == read_le<std::uint64_t>(sums->data + i * sizeof(std::uint64_t))) continue;
    return fail(Errc::bad_format, "tensor {:.64} was altered after it was written; {}", t.name, pack_anew);
  }
  return {};
}

}  // namespace kinglet::model

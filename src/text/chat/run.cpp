// text/chat/run.cpp: how do output and arguments grow, and errors leave a render?
#include "text/chat/run.hpp"

#include <algorithm>

namespace kinglet::text::chat {

void Buffer::append(std::string_view text) {
  if (text.empty()) return;
  if (out_ != nullptr) {
    if (out_->size() > limit_ || text.size() > limit_ - out_->size()) {
      throw Failure{Error(Errc::template_error, "the chat template writes more than ChatLimits::output_bytes allows")};
    }
    out_->append(text);
    return;
  }
  if (text.size() > capacity_ - size_) {
    const std::size_t needed = size_ + text.size();
    const std::size_t capacity = std::max(needed, std::max(capacity_ * 2, std::size_t{64}));
    char* data = arena_->array<char>(capacity);
    if (size_ != 0) std::memcpy(data, data_, size_);
    data_ = data;
    capacity_ = capacity;
  }
  std::memcpy(data_ + size_, text.data(), text.size());
  size_ += text.size();
}

void Run::fail(std::initializer_list<std::string_view> pieces) const {
  throw Failure{worded(Errc::template_error, line, pieces)};
}

void Run::fail_argument(std::initializer_list<std::string_view> pieces) {
  throw Failure{worded(Errc::invalid_argument, 0, pieces)};
}

void Run::exhausted() const { fail({"more steps than ChatLimits::steps allows"}); }

void Run::too_deep() const { fail({"nested deeper than ChatLimits::depth allows"}); }

Value Run::generator(std::span<const Value> items) {
  Value v;
  v.kind = Kind::generator;
  v.generator = arena.make<Generator>(items, false, std::string_view());
  return v;
}

Value Run::broken_generator(const Value& over) {
  const Value v = generator({});
  v.generator->over = type_name(over);
  return v;
}

void Items::add(const Value& v) {
  if (size_ == capacity_) {
    const std::size_t capacity = capacity_ == 0 ? 8 : capacity_ * 2;
    Value* data = run_.arena.array<Value>(capacity);
    for (std::size_t i = 0; i < size_; ++i) new (data + i) Value(data_[i]);
    data_ = data;
    capacity_ = capacity;
  }
  new (data_ + size_++) Value(v);
}

Bound::Bound(Run& run, std::string_view function, const Args& args, std::initializer_list<std::string_view> names,
             std::size_t required)
    : function_(function) {
  if (args.positional.size() > names.size()) run.fail({function, "() takes fewer arguments than it was given"});
  for (std::size_t i = 0; i < args.positional.size(); ++i) {
    values_[i] = args.positional[i];
    given_[i] = true;
  }
  for (const Named& named : args.named) {
    const auto at = std::find(names.begin(), names.end(), named.name);
    if (at == names.end() || named.name.empty()) {
      run.fail({function, "() got an unexpected keyword argument '", named.name, "'"});
    }
    const auto i = static_cast<std::size_t>(at - names.begin());
    if (given_[i]) run.fail({function, "() got multiple values for argument '", named.name, "'"});
    values_[i] = named.value;
    given_[i] = true;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (!given_[i]) run.fail({function, "() is missing the argument '", names.begin()[i], "'"});
  }
}

std::int64_t Bound::whole(Run& run, std::size_t i, std::int64_t otherwise) const {
  if (!given_[i]) return otherwise;
  if (values_[i].is_undefined()) fail_undefined(run, values_[i]);
  if (!values_[i].is_whole()) run.fail({function_, "() needs an integer, not '", type_name(values_[i]), "'"});
  return values_[i].whole();
}

std::string_view Bound::text(Run& run, std::size_t i, std::string_view otherwise) const {
  if (!given_[i]) return otherwise;
  if (values_[i].is_undefined()) fail_undefined(run, values_[i]);
  if (!values_[i].is_string()) run.fail({function_, "() needs a string, not '", type_name(values_[i]), "'"});
  return values_[i].text();
}

}  // namespace kinglet::text::chat

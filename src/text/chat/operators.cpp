// text/chat/operators.cpp: what do arithmetic and comparison of two values give?
#include <cmath>
#include <limits>

#include "text/chat/ast.hpp"
#include "text/chat/library.hpp"
#include "text/chat/run.hpp"

namespace kinglet::text::chat {
namespace {

std::string_view sign_of(Op op) noexcept {
  switch (op) {
    case Op::add: return "+";
    case Op::subtract: return "-";
    case Op::multiply: return "*";
    case Op::divide: return "/";
    case Op::floor_divide: return "//";
    case Op::modulo: return "%";
    default: return "**";
  }
}

[[noreturn]] void mismatch(Run& run, Op op, const Value& a, const Value& b) {
  if (a.is_undefined()) fail_undefined(run, a);
  if (b.is_undefined()) fail_undefined(run, b);
  if (op == Op::add && (a.is_string() || a.is(Kind::list) || a.is(Kind::tuple))) {
    run.fail({"can only concatenate ", type_name(a), " (not \"", type_name(b), "\") to ", type_name(a)});
  }
  run.fail({"unsupported operand types for ", sign_of(op), ": '", type_name(a), "' and '", type_name(b), "'"});
}

[[noreturn]] void overflow(Run& run) { run.fail({"an integer beyond 64 bits"}); }

[[noreturn]] void by_zero(Run& run) { run.fail({"division by zero"}); }

std::int64_t integer_power(Run& run, std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) overflow(run);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow(run);
  }
  return result;
}

/// a ** n for a whole n: powers with a fractional exponent would need libm, whose last bit differs between systems.
double real_power(Run& run, double a, double n) {
  if (n != std::floor(n) || std::fabs(n) > 4096) run.fail({"** with this exponent is not supported"});
  double result = 1;
  double square = a;
  for (auto left = static_cast<std::int64_t>(std::fabs(n)); left > 0; left >>= 1) {
    if ((left & 1) != 0) result *= square;
    square *= square;
  }
  if (n < 0 && result == 0) by_zero(run);
  return n < 0 ? 1 / result : result;
}

std::int64_t floor_of(std::int64_t a, std::int64_t b) noexcept {
  const std::int64_t q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

Value whole(Run& run, Op op, std::int64_t a, std::int64_t b) {
  std::int64_t r = 0;
  switch (op) {
    case Op::add:
      if (__builtin_add_overflow(a, b, &r)) overflow(run);
      return integer(r);
    case Op::subtract:
      if (__builtin_sub_overflow(a, b, &r)) overflow(run);
      return integer(r);
    case Op::multiply:
      if (__builtin_mul_overflow(a, b, &r)) overflow(run);
      return integer(r);
    case Op::divide:
      if (b == 0) by_zero(run);
      return real(static_cast<double>(a) / static_cast<double>(b));
    case Op::floor_divide:
    case Op::modulo:
      if (b == 0) by_zero(run);
      if (b == -1) {  // the smallest integer has no negative
        if (op == Op::modulo) return integer(0);
        if (a == std::numeric_limits<std::int64_t>::min()) overflow(run);
        return integer(-a);
      }
      return integer(op == Op::modulo ? a - floor_of(a, b) * b : floor_of(a, b));
    default:
      if (b < 0) return real(real_power(run, static_cast<double>(a), static_cast<double>(b)));
      return integer(integer_power(run, a, b));
  }
}

/// Python's divmod of floats: the remainder has the sign of b.
void divide_floor(double a, double b, double& quotient, double& remainder) {
  remainder = std::fmod(a, b);
  double whole = (a - remainder) / b;
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) {
      remainder += b;
      whole -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (whole != 0) {
    quotient = std::floor(whole);
    if (whole - quotient > 0.5) quotient += 1;
  } else {
    quotient = std::copysign(0.0, a / b);
  }
}

Value fractional(Run& run, Op op, double a, double b) {
  double quotient = 0;
  double remainder = 0;
  switch (op) {
    case Op::add: return real(a + b);
    case Op::subtract: return real(a - b);
    case Op::multiply: return real(a * b);
    case Op::power: return real(real_power(run, a, b));
    default: break;
  }
  if (b == 0) by_zero(run);
  if (op == Op::divide) return real(a / b);
  divide_floor(a, b, quotient, remainder);
  return real(op == Op::modulo ? remainder : quotient);
}

/// sequence * n.
Value repeat(Run& run, const Value& v, std::int64_t n) {
  if (n <= 0 || v.size == 0) return v.is_string() ? string("", v.markup) : list({}, v.kind);
  if (n == 1) return v;
  const auto times = static_cast<std::uint64_t>(n);
  if (times > std::numeric_limits<std::uint32_t>::max()) run.arena.refuse();
  const std::size_t total = v.size * static_cast<std::size_t>(times);
  if (v.is_string()) {
    run.charge_bytes(total);
    char* out = run.arena.array<char>(total);
    for (std::size_t i = 0; i < total; i += v.size) std::memcpy(out + i, v.bytes, v.size);
    return string({out, total}, v.markup);
  }
  run.charge_items(total);
  Value* out = run.arena.array<Value>(total);
  for (std::size_t i = 0; i < total; ++i) new (out + i) Value(v.items[i % v.size]);
  return list({out, total}, v.kind);
}

bool sequence(const Value& v) noexcept { return v.is_string() || v.is(Kind::list) || v.is(Kind::tuple); }

Value add(Run& run, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    const bool markup = a.markup || b.markup;
    const std::string_view left = markup && !a.markup ? escape(run, a.text()) : a.text();
    const std::string_view right = markup && !b.markup ? escape(run, b.text()) : b.text();
    run.charge_bytes(right.size());
    return string(run.arena.concat(left, right), markup);
  }
  if (a.kind != b.kind || !sequence(a)) mismatch(run, Op::add, a, b);
  run.charge_items(std::size_t{a.size} + b.size);
  Value* out = run.arena.array<Value>(std::size_t{a.size} + b.size);
  for (std::size_t i = 0; i < a.size; ++i) new (out + i) Value(a.items[i]);
  for (std::size_t i = 0; i < b.size; ++i) new (out + a.size + i) Value(b.items[i]);
  return list({out, std::size_t{a.size} + b.size}, a.kind);
}

bool equal_dicts(Run& run, const Dict& a, const Dict& b) {
  if (a.size != b.size) return false;
  for (std::uint32_t i = 0; i < a.size; ++i) {
    const Value* other = find(run, b, a.entries[i].key);
    if (other == nullptr || !equal(run, a.entries[i].value, *other)) return false;
  }
  return true;
}

bool equal_numbers(const Value& a, const Value& b) noexcept {
  return a.is(Kind::real) || b.is(Kind::real) ? a.number() == b.number() : a.whole() == b.whole();
}

}  // namespace

Value binary(Run& run, Op op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is(Kind::real) || b.is(Kind::real)) return fractional(run, op, a.number(), b.number());
    return whole(run, op, a.whole(), b.whole());
  }
  if (op == Op::modulo && a.is_string()) return percent(run, a.text(), b);
  if (a.is_undefined() || b.is_undefined()) mismatch(run, op, a, b);
  if (op == Op::add) return add(run, a, b);
  if (op == Op::multiply && sequence(a) && b.is_whole()) return repeat(run, a, b.whole());
  if (op == Op::multiply && sequence(b) && a.is_whole()) return repeat(run, b, a.whole());
  mismatch(run, op, a, b);
}

Value negative(Run& run, const Value& v) {
  if (v.is(Kind::real)) return real(-v.real);
  if (v.is_whole()) return whole(run, Op::subtract, 0, v.whole());
  if (v.is_undefined()) fail_undefined(run, v);
  run.fail({"bad operand type for unary -: '", type_name(v), "'"});
}

bool equal(Run& run, const Value& a, const Value& b) {
  run.charge();
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::undefined:
    case Kind::none: return true;
    case Kind::string:
      if (a.size != b.size) return false;
      run.charge_bytes(a.size);
      return a.text() == b.text();
    case Kind::list:
    case Kind::tuple:
    case Kind::dict_keys:
    case Kind::dict_items: {
      if (a.size != b.size) return false;
      const Deeper deeper(run);
      for (std::uint32_t i = 0; i < a.size; ++i) {
        if (!equal(run, a.items[i], b.items[i])) return false;
      }
      return true;
    }
    case Kind::dict: {
      const Deeper deeper(run);
      return equal_dicts(run, *a.dict, *b.dict);
    }
    case Kind::range:
      return a.range->size == b.range->size &&
             (a.range->size == 0 ||
              (a.range->start == b.range->start && (a.range->size == 1 || a.range->step == b.range->step)));
    default: return a.nothing == b.nothing;
  }
}

bool less(Run& run, const Value& a, const Value& b, std::string_view sign) {
  run.charge();
  if (a.is_number() && b.is_number()) {
    return a.is(Kind::real) || b.is(Kind::real) ? a.number() < b.number() : a.whole() < b.whole();
  }
  if (a.is_string() && b.is_string()) {
    run.charge_bytes(std::min(a.size, b.size));
    return a.text() < b.text();
  }
  if (a.kind == b.kind && (a.is(Kind::list) || a.is(Kind::tuple))) {
    const Deeper deeper(run);
    for (std::uint32_t i = 0; i < a.size && i < b.size; ++i) {
      if (!equal(run, a.items[i], b.items[i])) return less(run, a.items[i], b.items[i], sign);
    }
    return a.size < b.size;
  }
  if (a.is_undefined()) fail_undefined(run, a);
  if (b.is_undefined()) fail_undefined(run, b);
  run.fail({"'", sign, "' not supported between '", type_name(a), "' and '", type_name(b), "'"});
}

bool contains(Run& run, const Value& container, const Value& item) {
  switch (container.kind) {
    case Kind::string: {
      if (!item.is_string()) {
        run.fail({"'in <string>' requires string as left operand, not ", type_name(item)});
      }
      return find_text(run, container.text(), item.text(), 0) != std::string_view::npos;
    }
    case Kind::dict: check_hashable(run, item); return find(run, *container.dict, item) != nullptr;
    case Kind::undefined: return false;
    default: break;
  }
  if (!iterable(container)) run.fail({"argument of type '", type_name(container), "' is not iterable"});
  for (const Value& v : iterate(run, container)) {
    if (equal(run, v, item)) return true;
  }
  return false;
}

}  // namespace kinglet::text::chat

// text/chat/filters_select.cpp: which filters choose or map items?
#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

Args after_first(const Args& args, std::size_t n) { return {args.positional.subspan(n), args.named}; }

Value map(Run& run, const Value& v, const Args& args) {
  if (!truth(v)) return run.generator({});  // none, too
  if (!iterable(v)) return run.broken_generator(v);
  Items out(run);
  if (args.positional.empty() && !args.named.empty()) {
    const Bound b(run, "map", args, {"attribute", "default"});
    if (!b.has(0)) run.fail({"map needs an attribute or a filter"});
    for (const Value& item : iterate(run, v)) {
      run.charge();
      const Value found = follow(run, item, b[0]);
      out.add(found.is_undefined() && b.has(1) && !b[1].is(Kind::none) ? b[1] : found);
    }
    return run.generator(out.span());
  }
  if (args.positional.empty() || !args.positional[0].is_string()) run.fail({"map requires a filter argument"});
  const Filter* filter = find_filter(args.positional[0].text());
  if (filter == nullptr) run.fail({"no filter named '", args.positional[0].text(), "'"});
  for (const Value& item : iterate(run, v)) {
    run.charge();
    out.add(filter->apply(run, item, after_first(args, 1)));
  }
  return run.generator(out.span());
}

/// The items whose value (or attribute, where the first argument names one) passes a test; without one, is true.
Value choose(Run& run, const Value& v, const Args& args, bool by_attribute, bool wanted) {
  if (!truth(v)) return run.generator({});  // none, too
  if (!iterable(v)) return run.broken_generator(v);
  const std::size_t skipped = by_attribute ? 1 : 0;
  if (args.positional.size() < skipped) run.fail({"Missing parameter for attribute name"});
  const Test* test = nullptr;
  Args rest;
  if (args.positional.size() > skipped) {
    const Value& name = args.positional[skipped];
    if (!name.is_string()) run.fail({"the name of a test must be a string"});
    test = find_test(name.text());
    if (test == nullptr) run.fail({"no test named '", name.text(), "'"});
    rest = after_first(args, skipped + 1);
  }
  Items out(run);
  for (const Value& item : iterate(run, v)) {
    run.charge();
    const Value subject = by_attribute ? follow(run, item, args.positional[0]) : item;
    if ((test != nullptr ? test->holds(run, subject, rest) : truth(subject)) == wanted) out.add(item);
  }
  return run.generator(out.span());
}

Value select(Run& run, const Value& v, const Args& args) { return choose(run, v, args, false, true); }
Value reject(Run& run, const Value& v, const Args& args) { return choose(run, v, args, false, false); }
Value selectattr(Run& run, const Value& v, const Args& args) { return choose(run, v, args, true, true); }
Value rejectattr(Run& run, const Value& v, const Args& args) { return choose(run, v, args, true, false); }

Value groupby(Run& run, const Value& v, const Args& args) {
  const Bound b(run, "groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  const auto key_of = [&](const Value& item) {
    const Value key = follow(run, item, b[0]);
    return key.is_undefined() && b.has(1) && !b[1].is(Kind::none) ? b[1] : key;
  };
  const auto folded = [&](const Value& key) {
    return b.flag(2, false) || !key.is_string() ? key : find_filter("lower")->apply(run, key, {});
  };
  // Sorted by the key first, which sort() does for a list of pairs.
  Items pairs(run);
  for (const Value& item : iterate(run, v)) {
    const Value pair[] = {folded(key_of(item)), item};
    if (pairs.size() > 0 && pair[0].is_undefined()) fail_undefined(run, pair[0]);
    pairs.add(run.keep(std::span<const Value>(pair), Kind::tuple));
  }
  const Value zero[] = {boolean(false), boolean(true), integer(0)};
  const Value ordered = find_filter("sort")->apply(run, list(pairs.span()), {zero, {}});
  Items out(run);
  for (std::uint32_t i = 0; i < ordered.size;) {
    Items group(run);
    const Value& key = ordered.items[i].items[0];
    const Value shown = key_of(ordered.items[i].items[1]);
    for (; i < ordered.size && equal(run, ordered.items[i].items[0], key); ++i) {
      run.charge();
      group.add(ordered.items[i].items[1]);
    }
    const Value pair[] = {shown, list(group.span())};
    out.add(run.keep(std::span<const Value>(pair), Kind::tuple));
  }
  return list(out.span());
}

constexpr Filter table[] = {
    {"groupby", groupby},       {"map", map},       {"reject", reject},
    {"rejectattr", rejectattr}, {"select", select}, {"selectattr", selectattr},
};

}  // namespace

std::span<const Filter> select_filters() noexcept { return table; }

}  // namespace kinglet::text::chat

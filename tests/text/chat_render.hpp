// tests/text/chat_render.hpp: what does a template give?
#pragma once
#include <kinglet/text/chat_template.hpp>

#include <string>
#include <vector>

#include "tests/catch.hpp"

namespace kinglet::test {

inline text::ChatOptions usual() {
  text::ChatOptions o;
  o.bos = "<s>";
  o.eos = "</s>";
  o.now = 1732482242;
  return o;
}

/// What a template gives; "error: " and the message where it fails.
inline std::string render(const std::string& source, const std::vector<text::Message>& messages,
                          const text::ChatOptions& options, const text::ChatLimits& limits = {}) {
  const auto t = text::ChatTemplate::parse(source, std::pmr::new_delete_resource(), limits);
  if (!t) return std::string("error: ") + t.error().message;
  std::pmr::string out;
  const Status status = t->render(messages, options, out);
  if (status) return std::string(out);
  CHECK(out.empty());
  return std::string("error: ") + status.error().message;
}

inline std::string render(const std::string& source) { return render(source, {}, usual()); }

}  // namespace kinglet::test

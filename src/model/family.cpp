// model/family.cpp: which families are there?
#include <kinglet/model/family.hpp>

namespace kinglet::model {

std::span<const Family* const> families() noexcept {
  static constexpr const Family* all[] = {&llama_family, &qwen2_family, &qwen3_family};
  return all;
}

const Family* find_family(std::string_view name) noexcept {
  for (const Family* const family : families()) {
    if (name == family->name) return family;
  }
  return nullptr;
}

}  // namespace kinglet::model

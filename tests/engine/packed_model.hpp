// tests/engine/packed_model.hpp: what `kinglet pack` makes of a model in memory
#pragma once
#include <string>

#include <kinglet/model/pack.hpp>

#include "tests/engine/tiny_engine.hpp"

namespace kinglet::test {

inline std::string packed(const std::string& bytes) {
  core::Memory memory;
  const auto file = model::Gguf::from_memory(as_bytes(bytes), memory);
  INFO(message(file.error()));
  REQUIRE(file.ok());
  std::string out;
  const model::ByteSink sink{&out, [](void* user, const std::byte* data, std::size_t n) {
                               static_cast<std::string*>(user)->append(reinterpret_cast<const char*>(data), n);
                               return true;
                             }};
  const Status status = model::pack(*file, sink, &memory);
  INFO(message(status.error()));
  REQUIRE(status.ok());
  return out;
}

}  // namespace kinglet::test

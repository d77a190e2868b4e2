// tests/package/copies/plugin.cpp: a plugin that brings its own Kinglet
#include "../consumer.hpp"

/// Writes hashes_of_logits() into hashes, [size] characters; false where it failed or did not fit.
extern "C" __attribute__((visibility("default"))) bool plugin_hashes(const char* model, char* hashes,
                                                                     std::size_t size) {
  const std::string all = hashes_of_logits(model);
  const int n = std::snprintf(hashes, size, "%s", all.c_str());
  return n > 0 && static_cast<std::size_t>(n) < size;
}
/// Where this plugin's Kinglet lives: the address differs from copy to copy.
extern "C" __attribute__((visibility("default"))) const void* plugin_place() {
  return reinterpret_cast<const void*>(&kinglet::to_string);
}

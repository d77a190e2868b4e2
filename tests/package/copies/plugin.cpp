// tests/package/copies/plugin.cpp: a plugin that brings its own Kinglet
#include "../consumer.hpp"

extern "C" __attribute__((visibility("default"))) unsigned long long plugin_hash(const char* model) {
  return hash_of_logits(model);
}
/// Where this plugin's Kinglet lives: the address differs from copy to copy.
extern "C" __attribute__((visibility("default"))) const void* plugin_place() {
  return reinterpret_cast<const void*>(&kinglet::to_string);
}

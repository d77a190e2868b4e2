// tests/package/copies/host.cpp: do several copies of Kinglet live in one process without seeing each other?
//   host MODEL PLUGIN...   all of them and the host's own copy, one after the other, at once, and while one is unloaded
#include <dlfcn.h>

#include <set>
#include <thread>

#include "../consumer.hpp"

namespace {

struct Plugin {
  void* handle = nullptr;
  unsigned long long (*hash)(const char*) = nullptr;
  const void* (*place)() = nullptr;
};

int fail(const char* what) {
  std::fprintf(stderr, "host: %s\n", what);
  return 1;
}

Plugin open(const char* path) {
  Plugin plugin;
  plugin.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (plugin.handle == nullptr) return plugin;
  plugin.hash = reinterpret_cast<unsigned long long (*)(const char*)>(dlsym(plugin.handle, "plugin_hash"));
  plugin.place = reinterpret_cast<const void* (*)()>(dlsym(plugin.handle, "plugin_place"));
  return plugin;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return fail("host MODEL PLUGIN...");
  const char* model = arguments[1];
  const std::uint64_t own = hash_of_logits(model);
  std::vector<Plugin> plugins;
  std::set<const void*> places{reinterpret_cast<const void*>(&kinglet::to_string)};
  for (int i = 2; i < count; ++i) {
    const Plugin plugin = open(arguments[i]);
    if (plugin.handle == nullptr || plugin.hash == nullptr || plugin.place == nullptr) return fail(dlerror());
    plugins.push_back(plugin);
    if (!places.insert(plugin.place()).second) return fail("two plugins share one copy");
    if (plugin.hash(model) != own) return fail("a plugin computes other bits");
  }

  std::vector<unsigned long long> hashes(plugins.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < plugins.size(); ++i) {
    threads.emplace_back([&, i] { hashes[i] = plugins[i].hash(model); });
  }
  const bool same = hash_of_logits(model) == own;
  for (std::thread& thread : threads) thread.join();
  for (const unsigned long long hash : hashes) {
    if (!same || hash != own) return fail("copies that run at once compute other bits");
  }

  // What is unloaded is really gone, and the others do not miss it.
  for (std::size_t i = 0; i < plugins.size(); ++i) {
    dlclose(plugins[i].handle);
    if (dlopen(arguments[i + 2], RTLD_NOW | RTLD_NOLOAD) != nullptr) return fail("a plugin stays loaded");
    if (i + 1 < plugins.size() && plugins[i + 1].hash(model) != own) return fail("unloading one copy disturbs the next");
  }
  std::printf("%016llx\n", static_cast<unsigned long long>(own));
  return own == 0 ? 1 : 0;
}

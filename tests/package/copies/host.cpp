// tests/package/copies/host.cpp: do several copies of Kinglet live in one process without seeing each other?
//   host MODEL PLUGIN...   all of them and the host's own copy, one after the other, at once, and while one is unloaded
#include <dlfcn.h>

#include <set>
#include <thread>

#include "../consumer.hpp"

namespace {

struct Plugin {
  void* handle = nullptr;
  bool (*write_hashes)(const char*, char*, std::size_t) = nullptr;
  const void* (*place)() = nullptr;

  std::string hashes(const char* model) const {
    char text[256] = "";
    return write_hashes(model, text, sizeof text) ? text : "";
  }
};

int fail(const char* what) {
  std::fprintf(stderr, "host: %s\n", what);
  return 1;
}

Plugin open(const char* path) {
  Plugin plugin;
  plugin.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (plugin.handle == nullptr) return plugin;
  plugin.write_hashes = reinterpret_cast<decltype(plugin.write_hashes)>(dlsym(plugin.handle, "plugin_hashes"));
  plugin.place = reinterpret_cast<decltype(plugin.place)>(dlsym(plugin.handle, "plugin_place"));
  return plugin;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return fail("host MODEL PLUGIN...");
  const char* model = arguments[1];
  const std::string own = hashes_of_logits(model);
  std::vector<Plugin> plugins;
  std::set<const void*> places{reinterpret_cast<const void*>(&kinglet::to_string)};
  for (int i = 2; i < count; ++i) {
    const Plugin plugin = open(arguments[i]);
    if (plugin.handle == nullptr || plugin.write_hashes == nullptr || plugin.place == nullptr) return fail(dlerror());
    plugins.push_back(plugin);
    if (!places.insert(plugin.place()).second) return fail("two plugins share one copy");
    if (plugin.hashes(model) != own) return fail("a plugin computes other bits");
  }

  std::vector<std::string> hashes(plugins.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < plugins.size(); ++i) {
    threads.emplace_back([&, i] { hashes[i] = plugins[i].hashes(model); });
  }
  const bool same = hashes_of_logits(model) == own;
  for (std::thread& thread : threads) thread.join();
  for (const std::string& other : hashes) {
    if (!same || other != own) return fail("copies that run at once compute other bits");
  }

  // What is unloaded is really gone, and the others do not miss it.
  for (std::size_t i = 0; i < plugins.size(); ++i) {
    dlclose(plugins[i].handle);
    if (dlopen(arguments[i + 2], RTLD_NOW | RTLD_NOLOAD) != nullptr) return fail("a plugin stays loaded");
    if (i + 1 < plugins.size() && plugins[i + 1].hashes(model) != own)
      return fail("unloading one copy disturbs the next");
  }
  std::printf("%s\n", own.c_str());
  return own.empty() ? 1 : 0;
}

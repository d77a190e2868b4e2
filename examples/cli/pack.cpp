// examples/cli/pack.cpp: kinglet pack: the same model in the order in which the CPU kernels read it
#include <filesystem>
#include <memory>
#include <memory_resource>

#include <kinglet/core/memory.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/model/pack.hpp>
#include <nlohmann/json.hpp>

#include "failure.hpp"
#include "interrupt.hpp"
#include "json_line.hpp"
#include "output_file.hpp"
#include "program.hpp"
#include "progress.hpp"
#include "stopwatch.hpp"

namespace kinglet::cli {
namespace {

struct PackFlags {
  std::string in;
  std::string out;
  bool json = false;
};

void pack(const PackFlags& flags) {
  std::error_code ignored;
  if (std::filesystem::equivalent(flags.in, flags.out, ignored))
    bad_usage("pack: IN and OUT are the same file, '{}'; name another OUT", flags.in);
  core::Memory memory;
  const model::Gguf file = take(model::Gguf::open(flags.in, memory), flags.in);
  OutputFile target(flags.out);
  const Stopwatch watch;
  Progress bar("packing");
  const auto show = [](void* user, float done) {
    static_cast<Progress*>(user)->show(static_cast<double>(done));
    return !interrupted();
  };
  const Status packed = model::pack(file, target.sink(), std::pmr::new_delete_resource(), {&bar, show});
  if (interrupted()) return report_interrupted(flags.out, flags.json);
  const bool writing = packed.error().code == Errc::io_error;
  if (!packed) bad_input("{}: {}", writing ? flags.out : flags.in, static_cast<const char*>(packed.error().message));
  target.done();
  bar.clear();
  if (!flags.json) return;
  nlohmann::ordered_json report;
  report["path"] = flags.out;
  report["bytes"] = std::filesystem::file_size(flags.out);
  report["bytes_before"] = file.bytes();
  report["seconds"] = watch.seconds();
  print_line(report);
}

}  // namespace

void add_pack(Program& program) {
  auto flags = std::make_shared<PackFlags>();
  CLI::App* app = program.app.add_subcommand("pack", "Write a model that loads at once: in the order the CPU reads it");
  app->add_option("in", flags->in, "GGUF file")->required();
  app->add_option("out", flags->out, "GGUF file to write")->required();
  app->add_flag("--json", flags->json, "One JSON object on stdout");
  app->callback([&program, flags] { program.action = [flags] { pack(*flags); }; });
}

}  // namespace kinglet::cli

// examples/cli/program.hpp: which subcommands are there?
#pragma once
#include <functional>

#include <CLI/CLI.hpp>

namespace kinglet::cli {

/// A subcommand's parsing leaves its work in `action`; main() runs it.
struct Program {
  CLI::App app;
  std::function<void()> action;
};

// One file each, of the same name.
void add_run(Program& program);
void add_chat(Program& program);
void add_inspect(Program& program);
void add_eval(Program& program);
void add_logits(Program& program);
void add_tokenize(Program& program);
void add_quantize(Program& program);
void add_pack(Program& program);
void add_synth(Program& program);
void add_bench(Program& program);

}  // namespace kinglet::cli

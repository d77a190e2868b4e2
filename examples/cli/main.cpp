// examples/cli/main.cpp: the `kinglet` command
#include <cstdio>
#include <exception>
#include <string>

#include "failure.hpp"
#include "interrupt.hpp"
#include "program.hpp"

namespace kinglet::cli {
namespace {

void say(const std::string& line) {
  std::string flat = line;
  for (char& c : flat) c = c == '\n' ? ' ' : c;
  std::fprintf(stderr, "kinglet: %s\n", flat.c_str());
}

int parse(Program& program, int argc, char** argv) {
  try {
    program.app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    program.app.exit(help);
    return 0;
  } catch (const CLI::CallForAllHelp& help) {
    program.app.exit(help);
    return 0;
  } catch (const CLI::CallForVersion& version) {
    program.app.exit(version);
    return 0;
  } catch (const CLI::ParseError& error) {
    if (program.app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-') {
      say("'" + std::string(argv[1]) + "' is no subcommand; see 'kinglet --help'");
      return exit_bad_usage;
    }
    std::string name = "kinglet";
    for (const CLI::App* sub : program.app.get_subcommands()) name += " " + sub->get_name();
    say(std::string(error.what()) + "; see '" + name + " --help'");
    return exit_bad_usage;
  }
  return -1;
}

int run(int argc, char** argv) {
  Program program;
  program.app.name("kinglet");
  program.app.description("Runs, measures and makes language models. The library of the same name does the work.");
  program.app.set_version_flag("--version", "kinglet " + std::to_string(version_major) + "." +
                                                std::to_string(version_minor) + "." + std::to_string(version_patch));
  program.app.require_subcommand(1);
  for (auto* add : {add_run, add_chat, add_inspect, add_eval, add_logits, add_tokenize, add_quantize, add_pack,
                    add_synth, add_bench})
    add(program);
  const int code = parse(program, argc, argv);
  if (code >= 0) return code;
  catch_interrupts();
  program.action();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    bad_input("stdout: could not be written to; is the disk full?");
  return interrupted() ? exit_interrupted : 0;
}

}  // namespace
}  // namespace kinglet::cli

int main(int argc, char** argv) {
  try {
    return kinglet::cli::run(argc, argv);
  } catch (const kinglet::cli::Failure& failure) {
    std::fflush(stdout);
    if (!failure.line.empty()) kinglet::cli::say(failure.line);
    return failure.code;
  } catch (const std::bad_alloc&) {
    kinglet::cli::say("out of memory; a smaller --ctx, or another model, needs less");
    return kinglet::cli::exit_bad_input;
  } catch (const std::exception& error) {
    kinglet::cli::say(error.what());
    return kinglet::cli::exit_bad_input;
  }
}

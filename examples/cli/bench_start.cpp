// examples/cli/bench_start.cpp: how soon after its start has a process its first token?
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_run.hpp"
#include "failure.hpp"
#include "interrupt.hpp"
#include "stopwatch.hpp"

extern char** environ;

namespace kinglet::cli {

FirstToken time_first_token(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int ends[2];
  if (pipe(ends) != 0) bad_input("a pipe: the system refuses it");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  pid_t child = 0;
  const Stopwatch watch;
  const int refused = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char byte = 0;
  const bool came = refused == 0 && read(ends[0], &byte, 1) == 1;
  FirstToken out;
  out.ms = watch.seconds() * 1e3;
  while (came && read(ends[0], &byte, 1) > 0) {
  }
  close(ends[0]);
  int status = 0;
  struct rusage usage = {};
  if (refused == 0) wait4(child, &status, 0, &usage);
  if (interrupted()) end_interrupted();
  if (!came || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    bad_input("a process of its own for the time to the first token did not come that far");
  out.peak_rss = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  return out;
}

}  // namespace kinglet::cli

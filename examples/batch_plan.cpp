// examples/batch_plan.cpp: which session gets how many rows of each step?
//
// Five villagers talk at once: three are answering, one has a short question, one a long story to read. The batcher is
// a pure function, so the whole simulation is the loop below.
#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include <kinglet/batch/batcher.hpp>

int main() {
  using namespace kinglet::batch;
  std::vector<Request> requests(5);
  for (std::uint32_t i = 0; i < requests.size(); ++i) {
    Request& r = requests[i];
    r.id = i;
    r.arrival = i;
    r.decoding = i < 3;
    r.cached_tokens = r.decoding ? 100 + 10 * i : 0;
    r.pending_tokens = r.decoding ? 1 : (i == 3 ? 20 : 150);
  }
  BatchLimits limits;
  limits.max_rows = 32;
  limits.bytes_per_token = 23040;          // SmolLM2-135M in FP16
  limits.free_bytes = 14ull * 16 * 23040;  // fourteen pages

  std::array<PlannedSequence, most_sequences> out;
  std::printf("rows of each session in a step of at most %u\n\nstep    A    B    C    D    E  pages left\n",
              limits.max_rows);
  for (limits.step = 1; limits.step <= 10; ++limits.step) {
    const StepPlan plan = plan_step(requests, limits, out);
    std::array<std::uint32_t, 5> rows{};
    for (std::uint32_t i = 0; i < plan.sequences; ++i) {
      Request& r = requests[out[i].request];
      rows[out[i].request] = out[i].rows;
      r.cached_tokens += out[i].rows;
      r.pending_tokens -= out[i].rows;
      r.last_served = limits.step;
      if (r.pending_tokens == 0) {  // the prompt is read, or a token was said: the next one is pending
        r.decoding = true;
        r.pending_tokens = 1;
      }
    }
    limits.free_bytes -= plan.bytes;
    std::printf("%4u", static_cast<unsigned>(limits.step));
    for (std::uint32_t n : rows) std::printf(" %4u", n);
    const char* why[] = {"", "  all rows used", "  all sequences used", "  out of memory"};
    std::printf("  %10u%s\n", static_cast<unsigned>(limits.free_bytes / (16 * 23040)),
                why[static_cast<int>(plan.bound)]);
  }

  const std::vector<std::uint32_t> waiting(40, 300);  // tokens of each waiting request
  std::printf("\nadmitted together of 40 waiting, after so many requests were served:");
  for (std::uint64_t served : {0u, 5u, 10u, 20u, 40u, 50u}) {
    std::printf("  %u: %u", static_cast<unsigned>(served), batch_size(waiting, 23040, 1ull << 30, served));
  }
  std::printf("\n");
  return 0;
}

// tests/package/consumer.cpp: does a program that found Kinglet compile, link and run? consumer MODEL prints a hash of logits.
#include "consumer.hpp"

int main(int count, char** arguments) {
  const std::uint64_t hash = count == 2 ? hash_of_logits(arguments[1]) : 0;
  std::printf("%016llx\n", static_cast<unsigned long long>(hash));
  return hash == 0 ? 1 : 0;
}

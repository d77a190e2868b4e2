// tests/package/consumer.cpp: does a program that found Kinglet compile, link and run?
//   consumer MODEL   prints three hashes of logits
#include "consumer.hpp"

int main(int count, char** arguments) {
  const std::string hashes = count == 2 ? hashes_of_logits(arguments[1]) : std::string();
  std::printf("%s\n", hashes.c_str());
  return hashes.empty() ? 1 : 0;
}

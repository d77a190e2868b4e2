// tests/package/consumer.hpp: what would a program that uses Kinglet compute, and are its bits the pinned ones?
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include <kinglet/kinglet.hpp>

#include "../sha256.hpp"

/// "" where something failed, with a line on stderr.
inline std::string failed(const kinglet::Error& error) {
  std::fprintf(stderr, "%s\n", error.message);
  return {};
}

/// SHA-256 of the raw logits of 512 positions, as tests/golden/hashes.txt defines it.
inline std::string hash_of_logits(const char* model, kinglet::Activations activations) {
  constexpr std::uint32_t positions = 512;
  auto engine = kinglet::Engine::load(model, {.context = positions, .max_sessions = 1, .activations = activations});
  if (!engine) return failed(engine.error());
  auto session = engine->open_session({.format = kinglet::PromptFormat::text});
  if (!session) return failed(session.error());
  std::vector<std::int32_t> tokens(positions);
  std::uint32_t x = 1;
  for (std::int32_t& token : tokens) {
    x = 1664525u * x + 1013904223u;
    token = static_cast<std::int32_t>((x >> 16) % engine->model().vocab);
  }
  kinglet::test::Sha256 hash;
  const kinglet::Status status =
      session->evaluate(tokens, [&](std::uint32_t, std::span<const float> logits) { hash.add(std::as_bytes(logits)); });
  return status ? hash.hex() : failed(status.error());
}

/// The hashes of the three kinds of activations: fp32, int8, fp8; "" where one failed.
inline std::string hashes_of_logits(const char* model) {
  std::string all;
  for (const auto activations : {kinglet::Activations::fp32, kinglet::Activations::int8, kinglet::Activations::fp8}) {
    const std::string hash = hash_of_logits(model, activations);
    if (hash.empty()) return {};
    all += (all.empty() ? "" : " ") + hash;
  }
  return all;
}

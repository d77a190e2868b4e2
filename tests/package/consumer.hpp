// tests/package/consumer.hpp: what would a program that uses Kinglet compute, and are its bits the same everywhere?
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include <kinglet/kinglet.hpp>

/// FNV-1a (64 bits) over the raw logits of 48 positions; 0 where something failed, with a line on stderr.
inline std::uint64_t hash_of_logits(const char* model) {
  auto engine = kinglet::Engine::load(model, {.context = 64, .max_sessions = 1});
  if (!engine) {
    std::fprintf(stderr, "%s\n", engine.error().message);
    return 0;
  }
  auto session = engine->open_session({.format = kinglet::PromptFormat::text});
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().message);
    return 0;
  }
  std::vector<std::int32_t> tokens(48);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(7 * i % 50);
  std::uint64_t hash = 14695981039346656037u;
  const kinglet::Status status = session->evaluate(tokens, [&](std::uint32_t, std::span<const float> logits) {
    for (const float logit : logits) {
      std::uint32_t bits;
      std::memcpy(&bits, &logit, sizeof bits);
      for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ ((bits >> shift) & 255u)) * 1099511628211u;
    }
  });
  if (!status) {
    std::fprintf(stderr, "%s\n", status.error().message);
    return 0;
  }
  return hash;
}

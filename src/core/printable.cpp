// core/printable.cpp: which bytes of a file may a message repeat?
#include "core/fail.hpp"

namespace kinglet::core {
namespace {

/// Bytes of the well-formed UTF-8 sequence at p, or 0. A zero ends every text, so nothing is read past it.
/// Source: Unicode 15, table 3-7.
std::size_t sequence(const unsigned char* p) noexcept {
  const auto follows = [&](std::size_t i) { return (p[i] & 0xc0u) == 0x80u; };
  if (p[0] < 0x80) return 1;
  if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
  if (!follows(1)) return 0;
  if (p[0] < 0xe0) return 2;
  if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) return 0;
  if (!follows(2)) return 0;
  if (p[0] < 0xf0) return 3;
  if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0;
  return follows(3) ? 4 : 0;
}

}  // namespace

void make_printable(Error& error, std::size_t size) noexcept {
  auto* p = reinterpret_cast<unsigned char*>(error.message);
  unsigned char* const end = p + size;
  while (p < end) {
    const std::size_t bytes = sequence(p);
    if (bytes == 0) {
      *p = size == Error::capacity - 1 && end - p < 4 ? 0 : '?';  // near the end it is a character that was cut
      ++p;
    } else if ((bytes == 1 && (*p < 0x20 || *p == 0x7f)) || (bytes == 2 && p[0] == 0xc2 && p[1] < 0xa0)) {
      for (std::size_t i = 0; i < bytes; ++i) *p++ = ' ';
    } else {
      p += bytes;
    }
  }
}

}  // namespace kinglet::core

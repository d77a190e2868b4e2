// kinglet/model/pack.hpp: how is a model written in the order in which the CPU kernels read it?
//
// A packed file is mapped without a copy, so that it loads in no time and its pages are shared between processes. Its
// order is one for every instruction set (docs/packed-files.md), and its logits have the same bits.
#pragma once
#include <memory_resource>

#include <kinglet/core/config.hpp>
#include <kinglet/core/result.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/model/gguf_writer.hpp>

namespace kinglet::model {

/// Told the share done, [0, 1]; false ends the work with Errc::cancelled.
struct PackProgress {
  void* user = nullptr;
  bool (*at)(void* user, float done) = nullptr;
};

/// Writes `file` packed. After an error what was written is to be thrown away.
/// @param memory  for the header and a few strips
/// unsupported: it is packed already, or has a tensor that this build cannot read; io_error; cancelled; out_of_memory.
KINGLET_API Status pack(const Gguf& file, ByteSink sink, std::pmr::memory_resource* memory,
                        PackProgress progress = {}) noexcept;

/// Has every tensor of a packed file the bytes that were written? (Its head was checked when it was opened.)
/// bad_format names the first that has not; unsupported: not a packed file; cancelled.
KINGLET_API Status check_packed(const Gguf& file, PackProgress progress = {}) noexcept;

}  // namespace kinglet::model

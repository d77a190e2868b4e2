// engine/gpu_layers.hpp: how many of a model's layers does a GPU take?
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include <kinglet/core/result.hpp>
#include <kinglet/model/gguf.hpp>
#include <kinglet/ops/backend.hpp>
#include <kinglet/options.hpp>

namespace kinglet::engine {

/// The layers on the backend's GPU: as EngineOptions::gpu_layers says, or as many of the last ones as its free memory
/// (and the memory limit) holds with the output layer. Where that is none, 0. A CPU backend has all of them. What the
/// GPU cannot read stays on the CPU with what comes before it; see last_unread(). Where the shape says `lent`, the
/// weights of a whole model take no memory of it.
/// invalid_argument: a device, layers or its bits are asked of a CPU backend; more layers than there are.
Result<std::uint32_t> choose_gpu_layers(const EngineOptions& options, const ops::BackendInfo& backend,
                                        const ops::ContextShape& shape, const model::Gguf& file) noexcept;

/// Would the backend read all weights where the file is mapped? unsupported: it is not made for that; else as
/// BackendInfo::lends.
/// @param parts  out, the mapped parts of the file. Throws std::bad_alloc.
Status lends_file(const EngineOptions& options, const ops::BackendInfo& backend, const ops::ContextShape& shape,
                  const model::Gguf& file, std::pmr::vector<std::span<const std::byte>>& parts);

/// The last tensor in the way of the data whose form the backend does not read (strips, where it takes no packed
/// files), so that the layers after it are all it can have; null: it reads all.
const model::TensorInfo* last_unread(const ops::BackendInfo& backend, const model::Gguf& file) noexcept;

}  // namespace kinglet::engine

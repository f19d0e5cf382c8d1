// A KV cache in a file: its shape from the command line, and its values cut into chunks and joined again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "chunk/kv_geometry.h"

namespace shadowserve {

/// 16-bit elements [layer][K|V][token][head * head_dim + dim], which is the canonical layout of one long
/// chunk.
struct KvShape {
  KvGeometry geometry;  ///< of the chunks that it is cut into
  uint32_t tokens = 0;

  /// Of all chunks; the last one may be incomplete.
  uint32_t chunks() const { return (tokens + geometry.chunk_tokens - 1) / geometry.chunk_tokens; }
  uint64_t values() const { return uint64_t{geometry.planes()} * tokens * geometry.channels(); }
  uint64_t bytes() const { return values() * kElementBytes; }
};

/// "18x2x2048x256" (one head) or "18x2x2048x4x64", and "fp16" or "bf16". Throws StartError.
KvShape parse_kv_shape(const std::string& shape, const std::string& dtype, uint32_t chunk_tokens);

/// The whole file. Throws StartError when it cannot be read or is not as long as `shape` says.
std::vector<std::byte> read_kv_dump(const std::string& path, const KvShape& shape);

/// [chunk][layer][K|V][token of the chunk][channel]. The last chunk is filled up with its last token, which
/// widens no channel's range.
std::vector<std::byte> cut_into_chunks(std::span<const std::byte> dump, const KvShape& shape);
/// The way back; what filled up the last chunk is dropped.
std::vector<std::byte> join_chunks(std::span<const std::byte> chunks, const KvShape& shape);

}  // namespace shadowserve

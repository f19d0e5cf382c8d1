// The engine's paged KV memory as it was registered, and the moves between one part of a chunk and its pages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "chunk/kv_geometry.h"
#include "control/placement.h"

namespace shadowserve {

/// Immutable once made; shared by the engine's thread and the link thread.
struct PageMap {
  PageShape shape;
  KvGeometry geometry;
  uint32_t pages = 0;
  uint64_t page_stride_bytes = 0;
  std::vector<std::byte*> layer_base;

  uint32_t pages_per_chunk() const { return geometry.chunk_tokens / shape.page_tokens; }
  /// kConfig or kUnsupported with a sentence in `message`.
  Result<void> validate(std::string& message) const;

  /// Places the tokens >= token_first (counted in the chunk) of one part. `values` is canonical, `page_ids`
  /// are the chunk's pages_per_chunk() pages; those before token_first are not looked at.
  void place_part(const PartShape& part, const std::byte* values, std::span<const int32_t> page_ids,
                  uint32_t token_first) const;
  /// The reverse, for the whole chunk.
  void gather_part(const PartShape& part, std::span<const int32_t> page_ids, std::byte* values) const;

 private:
  std::byte* page(uint32_t layer, int32_t id) const {
    return layer_base[layer] + static_cast<size_t>(id) * page_stride_bytes;
  }
};

}  // namespace shadowserve

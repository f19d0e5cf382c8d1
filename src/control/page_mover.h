// Seam: whoever moves the values of a part between staging memory and the engine's pages: this core, or a
// GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "chunk/kv_geometry.h"
#include "kernels/paged_mover.h"

namespace shadowserve {

/// What an engine's block tables speak of.
struct PagedTokens {
  KvGeometry geometry;
  uint32_t page_tokens = 0;
  uint32_t pages = 0;
  uint32_t pages_per_chunk() const { return geometry.chunk_tokens / page_tokens; }
};

struct PartMove {
  uint32_t ticket = 0;  ///< handed back in the completion
  PagedDirection direction = PagedDirection::kScatter;
  PartShape shape;
  uint64_t staging_offset = 0;
  /// The chunk's pages_per_chunk() pages; stays valid until the completion. Those before token_first are not
  /// looked at.
  std::span<const int32_t> page_ids;
  uint32_t token_first = 0;  ///< counted in the chunk; scattering only
  /// Pages on a GPU: what its own work has to have passed. Null for pages in host memory.
  std::shared_ptr<const StreamFence> after;
  /// Held by whoever moves after start() has returned, until the completion: the staging memory stays,
  /// whatever becomes of its link.
  std::shared_ptr<const void> keeps;
};

/// One thread: the link thread. Nothing waits; every start() that was flushed has one completion.
class PageMover {
 public:
  virtual ~PageMover() = default;
  /// `staging` is the link's whole staging memory, in whatever memory the mover works on. REQUIRES fewer
  /// moves under way than a staging table has regions.
  virtual void start(const PartMove& move, std::span<std::byte> staging) = 0;
  /// What was started is under way from here on at the latest.
  virtual void flush() = 0;
  /// Moves that are worth being flushed together.
  virtual uint32_t moves_together() const = 0;
  /// Fills `out` with what ended; returns how many.
  virtual size_t poll(std::span<PagedDone> out) = 0;
  /// Gathers worth starting in one turn: more would keep this thread from its deadlines, fewer its engine
  /// idle.
  virtual uint32_t gathers_per_turn() const = 0;
};

}  // namespace shadowserve

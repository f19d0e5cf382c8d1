// Walks a part block by block.
#include "kernels/paged_runs.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve {

bool PagedRuns::fit(const PagedLayout& layout) {
  const bool heads_together = layout.heads == 1 || layout.head_stride == layout.head_dim;
  const bool tokens_together =
      layout.block_tokens == 1 || layout.token_stride == uint64_t{layout.heads} * layout.head_dim;
  return heads_together && tokens_together;
}

PagedRuns::PagedRuns(const PagedMemory& memory) {
  SS_CHECK(fit(memory.layout), "pages of this layout are copied in pieces");
  const size_t most = size_t{memory.layout.planes()} * memory.chunk_blocks();
  pages_.resize(most);
  staging_.resize(most);
  bytes_.resize(most);
}

void PagedRuns::list(const PagedMove& move, const StagedPart& part) {
  size_ = 0;
  const PagedLayout& layout = move.layout;
  const uint32_t first = std::max(part.token_first, move.token_begin);
  const uint32_t end = std::min(part.token_first + move.chunk_tokens, move.token_end);
  for (uint32_t plane = part.plane_first; plane < part.plane_first + part.plane_count; ++plane) {
    std::byte* rows = move.staging + part.offset_bytes + (plane - part.plane_first) * move.plane_bytes();
    std::byte* layer = move.layer_base[plane / layout.planes_per_layer];
    for (uint32_t token = first; token < end;) {
      const uint32_t slot = token % layout.block_tokens;
      const uint32_t tokens = std::min(layout.block_tokens - slot, end - token);
      const auto block = static_cast<uint32_t>(move.block_table[token / layout.block_tokens]);
      add(layer + layout.element(plane % layout.planes_per_layer, block, slot, 0, 0) * layout.element_bytes,
          rows + (token - part.token_first) * layout.row_bytes(), tokens * layout.row_bytes());
      token += tokens;
    }
  }
}

void PagedRuns::add(std::byte* page, std::byte* staged, size_t bytes) {
  if (size_ > 0) {
    size_t& last = bytes_[size_ - 1];
    if (pages_[size_ - 1] + last == page && staging_[size_ - 1] + last == staged) {
      last += bytes;
      return;
    }
  }
  SS_CHECK(size_ < bytes_.size(), "a part has no more pages than all planes of a chunk");
  pages_[size_] = page;
  staging_[size_] = staged;
  bytes_[size_++] = bytes;
}

}  // namespace shadowserve

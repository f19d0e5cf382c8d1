// The inner loops of placement over whole blocks, dispatched to the best vector target at run time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shadowserve {

/// One plane of one head: `rows` and `page` point at the head's first element of row 0 and of the page's
/// plane. Moves tokens [first, end), multiples of 16, and the dims below head_dim that fill blocks of 16.
struct HeadBlocks {
  std::byte* rows = nullptr;
  size_t row_bytes = 0;  ///< from one token's row to the next
  std::byte* page = nullptr;
  uint32_t page_tokens = 0;
  uint32_t head_dim = 0;
  uint32_t first = 0;
  uint32_t end = 0;
};

enum class BlockMove : uint8_t {
  kPlaceTransposed,  ///< rows -> kVec keys
  kGatherTransposed,
  kPlaceDimPairs,  ///< rows -> kAmx keys
  kGatherDimPairs,
  kPlaceTokenPairs,  ///< rows -> kAmx values
  kGatherTokenPairs,
  kPlaceBytes,  ///< rows -> kVec keys, elements of one byte; the others take two
  kGatherBytes,
};

/// False, with nothing moved, on a machine without 128-bit vectors: use the oracle.
bool move_blocks(BlockMove move, const HeadBlocks& head);

}  // namespace shadowserve

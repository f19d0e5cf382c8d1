// The head of a Deflate block: its kind, and the code lengths of its literals.
#pragma once

#include <cstdint>

#include "codec/deflate/bit_reader.h"
#include "codec/deflate/literal_table.h"

namespace shadowserve {

struct BlockHeader {
  bool last = false;
  uint8_t lengths[kSymbolCount] = {};
};

/// Reads the head of a block that may hold nothing but literals. False for all that is not plainly valid, and
/// for stored blocks, which says nothing about what another decoder makes of it.
bool read_block_header(BitReader& in, BlockHeader& header);

}  // namespace shadowserve

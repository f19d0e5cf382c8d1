// What a frame entry implies about sizes, and the check of a whole frame table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chunk/record.h"

namespace shadowserve {

/// Alignment of a frame's scales in the record.
inline constexpr size_t kScaleAlign = 16;
/// Alignment of a frame's symbols in the part's symbol region.
inline constexpr size_t kSymbolAlign = 64;

constexpr size_t align_up(size_t size, size_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

/// Packed bytes of one token's symbols: every token starts on a byte. (kSplit only by the frame: two planes
/// of `channels` bytes a token.)
size_t symbol_row_bytes(PackingId packing, uint32_t channels, ElementType element);

/// Bytes of a frame's scales: kTokenSym [token][head group] bf16; kChannelAsym [token group] of
/// [channel] steps then [channel] minima, bf16; kRaw none. REQUIRES non-zero groups.
size_t frame_scale_bytes(const FrameEntry& entry, const KvGeometry& geometry);

/// Checks the frame table of a record whose header was checked, and fills the view's frames.
/// Errors: kRecordMalformed, kUnsupported.
Result<void> parse_frames(std::span<const std::byte> bytes, RecordView& view);

}  // namespace shadowserve

// Kept rows and patches (chunk/kept_rows.h) made from values, and put back over them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chunk/kept_rows.h"
#include "chunk/record.h"

namespace shadowserve {

/// Some tokens of a chunk: those of a frame.
struct TokenRun {
  uint32_t first = 0;  ///< in the chunk
  uint32_t count = 0;
};

/// The tokens of a layer's chunk that are kept: the sequence's first exactly, others as sinks. In the chunk,
/// ascending.
struct LayerKept {
  uint32_t exact_count = 0;  ///< 1 where the chunk begins the sequence
  uint32_t int8_count = 0;
  uint16_t int8[kChunkTokensMax];

  /// Those of a frame, counted from its first token, an exact one first; returns how many.
  size_t within(TokenRun tokens, std::span<uint16_t> out) const;
};

/// The first token of a sequence, and the `sinks` tokens of the rest that are most like sinks.
void choose_kept(std::span<const float> likeness, uint32_t first_position, uint32_t sinks, LayerKept& kept);

/// Writes the region of a frame: kept rows of its tokens, and those of `patches` (tokens in the chunk, by
/// token, then channel) that are of other tokens of it. int8 rows are quantized like those of profile int8,
/// per token and head. `values` is the plane's, [token][channel]. Returns the region's bytes; 0 when `room`
/// does not suffice. No allocation, any thread.
size_t write_kept_rows(const LayerKept& kept, std::span<const Patch> patches, const KvGeometry& geometry,
                       TokenRun tokens, const uint8_t* values, std::span<std::byte> room);

/// Puts them over the frame's values.
void put_kept_rows(const KeptRows& rows, const KvGeometry& geometry, uint8_t* values);

/// The same for a frame of a record, behind its values, which may have been written past the caches.
void put_kept_rows_behind(const RecordView::Frame& frame, const KvGeometry& geometry, uint8_t* values,
                          bool streamed);

}  // namespace shadowserve

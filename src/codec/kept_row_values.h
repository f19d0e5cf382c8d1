// Kept rows and patches (chunk/kept_rows.h) made from values, and put back over them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chunk/kept_rows.h"
#include "chunk/record.h"

namespace shadowserve {

/// Which tokens of a frame are kept, and how. Ascending, none in both.
struct KeptTokens {
  std::span<const uint16_t> exact;
  std::span<const uint16_t> int8;
};

/// Writes the region of a frame whose values [token][channel] are given. Patches' tokens count in the chunk,
/// of which the frame's first is `first_token`; those at kept tokens are left out.
/// Returns its bytes; 0 when `room` does not suffice. int8 rows are quantized like those of profile int8, per
/// token and head. No allocation, any thread.
size_t write_kept_rows(const KeptTokens& kept, std::span<const Patch> patches, uint32_t first_token,
                       const KvGeometry& geometry, const uint8_t* values, std::span<std::byte> room);

/// Puts them over the frame's values.
void put_kept_rows(const KeptRows& rows, const KvGeometry& geometry, uint8_t* values);

/// The same for a frame of a record, behind its values, which may have been written past the caches.
void put_kept_rows_behind(const RecordView::Frame& frame, const KvGeometry& geometry, uint8_t* values,
                          bool streamed);

}  // namespace shadowserve

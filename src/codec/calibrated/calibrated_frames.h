// Frames of calibrated planes: K and V of a layer together into symbols and kept rows, and each back alone.
#pragma once

#include <cstdint>
#include <span>

#include "chunk/record.h"
#include "codec/calibrated/calibrated_kernel.h"
#include "codec/kept_row_values.h"

namespace shadowserve {

/// Planes with more wide values than this are kept raw: the calibration does not fit them.
inline constexpr uint32_t kPatchesMax = 4096;

/// One plane's symbols and patches, before they are cut into frames.
struct QuantizedPlane {
  uint32_t patch_count = 0;
  Patch patches[kPatchesMax];  ///< tokens in the chunk; by token, then channel
  bool too_wide = false;       ///< more wide values than there is room for
  float cosines[kChunkTokensMax];
};

/// Tokens of each frame of a plane but the last.
uint32_t calibrated_tokens_per_frame(const KvGeometry& geometry);
/// Of a plane's frames, each aligned to kSymbolAlign.
size_t calibrated_symbol_bytes(const KvGeometry& geometry);

/// All tokens of a plane to symbols, frame behind frame (each aligned to kSymbolAlign). `values` is the
/// plane's. No allocation. Any thread; about 100 KiB of its stack with the callers.
void quantize_plane(const CalibratedPlane& plane, const KvGeometry& geometry, const Turn& chunk,
                    const uint8_t* values, uint8_t* symbols, QuantizedPlane& out);

/// Gives kept tokens the symbols that cost least.
void blank_kept(const CalibratedPlane& plane, const KvGeometry& geometry, const LayerKept& kept,
                uint8_t* symbols);

}  // namespace shadowserve

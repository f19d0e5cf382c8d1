// Frames of calibrated planes: K and V of a layer together into symbols and kept rows, and each back alone.
#pragma once

#include <cstdint>
#include <span>

#include "chunk/record.h"
#include "codec/calibrated/calibrated_kernel.h"

namespace shadowserve {

/// Planes with more wide values than this are kept raw: the calibration does not fit them.
inline constexpr uint32_t kPatchesMax = 4096;

/// Some tokens of a chunk: those of a frame.
struct TokenRun {
  uint32_t first = 0;  ///< in the chunk
  uint32_t count = 0;
};

/// The tokens of a layer's chunk that are kept: the sequence's first exactly, others as sinks. In the chunk,
/// ascending.
struct LayerKept {
  uint32_t exact_count = 0, int8_count = 0;
  uint16_t exact[1];
  uint16_t int8[kChunkTokensMax];

  /// Those of a frame, counted from its first token; returns how many.
  size_t within(TokenRun tokens, std::span<uint16_t> out) const;
};

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

/// The first token of a sequence, and the `sinks` tokens of the rest that are most like sinks.
void choose_kept(std::span<const float> likeness, uint32_t first_position, uint32_t sinks, LayerKept& kept);

/// Gives kept tokens the symbols that cost least.
void blank_kept(const CalibratedPlane& plane, const KvGeometry& geometry, const LayerKept& kept,
                uint8_t* symbols);

/// The kept rows and patches of tokens [first, first + count); patches' tokens count in the chunk. Returns
/// the region's bytes, 0 if `room` is too small. `values` is the plane's.
size_t write_frame_kept(const LayerKept& kept, std::span<const Patch> patches, const KvGeometry& geometry,
                        TokenRun tokens, const uint8_t* values, std::span<std::byte> room);

}  // namespace shadowserve

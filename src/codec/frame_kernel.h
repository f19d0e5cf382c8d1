// Turning one frame's values into packed symbols and back: the scalar oracle and the SIMD kernels side by
// side.
#pragma once

#include <cstdint>

#include "chunk/record.h"

namespace shadowserve {

/// Everything a kernel needs to know about a frame. All fields were checked by open_record() or made by
/// quantize_part().
struct FrameShape {
  QuantizerId quantizer = QuantizerId::kRaw;
  PackingId packing = PackingId::kElements;
  ElementType element = ElementType::kBf16;  ///< of one byte: kRaw in kElements only
  uint32_t levels = 0;
  uint32_t tokens = 0;
  uint32_t channels = 0;
  uint32_t group_tokens = 0;    ///< kChannelAsym
  uint32_t group_channels = 0;  ///< kTokenSym; divides channels

  static FrameShape of(const FrameEntry& entry, const KvGeometry& geometry);
};

// Buffers are exactly as long as the frame's values [token][channel], symbols and scales
// (chunk/record_frames.h); none needs any alignment and nothing is read or written beyond. No allocation, any
// thread. Each pair gives the same bytes for all inputs.

/// Values -> symbols and scales. REQUIRES every magnitude below element::magnitude_end(), except for kRaw.
void quantize_frame_oracle(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales);
void quantize_frame_simd(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales);

/// Symbols and scales -> values. Symbols outside the alphabet are clamped. REQUIRES scales as open_record()
/// accepts them.
void dequantize_frame_oracle(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                             uint8_t* values);
/// `stream`: as for dequantize_rows_simd().
void dequantize_frame_simd(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                           uint8_t* values, bool stream = false);

/// Steps and minima of one token group as floats, kept between calls on rows of the same frame.
struct ScaleCache {
  static constexpr size_t kChannels = 4096;  // 32 heads of 128; wider rows are done in runs of so many
  const uint8_t* scales = nullptr;           ///< whose; nullptr: nothing is kept
  size_t group = 0;
  size_t first = 0;
  alignas(64) float steps[kChannels];
  alignas(64) float minima[kChannels];
};

/// Some rows (tokens) of a frame whose symbols are bytes: `symbols` and `values` start at row `token_first`,
/// `scales` at the frame's. With `stream` the values go past the caches where their alignment allows; whoever
/// publishes them calls finish_streaming() first. REQUIRES a fresh cache for each frame.
void dequantize_rows_simd(const FrameShape& shape, size_t token_first, size_t tokens, const uint8_t* symbols,
                          const uint8_t* scales, uint8_t* values, ScaleCache& cache, bool stream);
void finish_streaming();

/// The largest magnitude bits (sign clear) of `count` elements.
uint16_t largest_magnitude_oracle(const uint8_t* values, size_t count);
uint16_t largest_magnitude_simd(const uint8_t* values, size_t count);

}  // namespace shadowserve

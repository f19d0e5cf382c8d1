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
  ElementType element = ElementType::kBf16;
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
void dequantize_frame_simd(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                           uint8_t* values);

/// The largest magnitude bits (sign clear) of `count` elements.
uint16_t largest_magnitude_oracle(const uint8_t* values, size_t count);
uint16_t largest_magnitude_simd(const uint8_t* values, size_t count);

}  // namespace shadowserve

// One calibrated plane's values into symbols and back: the scalar oracle and the SIMD kernels side by side.
// Both give the same bytes for all inputs: products with a step are exact, and in a rotation each product is
// rounded before the sum (these files are compiled without contracting products into sums).
#pragma once

#include <cstddef>
#include <cstdint>

#include "codec/calibrated/calibrated_model.h"

namespace shadowserve {

inline constexpr int32_t kStepsMax = 127;    ///< numbers of steps from -127 to 127 have symbols
inline constexpr int32_t kZeroSymbol = 128;  ///< symbol = 128 + number of steps

/// Symbols of `tokens` tokens, [token][place], to values [token][channel]. `turns` are the tokens' angles;
/// not looked at where the plane has none. Any symbols are fine. Buffers need no alignment, and `symbols`
/// kRegionSlack readable bytes behind them. With `stream` values go past the caches where their alignment
/// allows; whoever publishes them calls finish_streaming() first. No allocation.
void dequantize_calibrated_oracle(const CalibratedPlane& plane, uint32_t tokens, const TurnRows& turns,
                                  const uint8_t* symbols, uint8_t* values);
void dequantize_calibrated_simd(const CalibratedPlane& plane, uint32_t tokens, const TurnRows& turns,
                                const uint8_t* symbols, uint8_t* values, bool stream);

/// One token's values, un-rotated, to its symbols in the order of channels; `token` counts in the chunk.
/// `wide` gets a bit for each channel whose number of steps has no symbol (it gets the nearest one), from the
/// lowest bit of each byte on; its channels / 8 bytes are rounded up. REQUIRES magnitudes below
/// element::magnitude_end().
struct QuantizedRow {
  uint8_t symbols[CalibratedModel::kChannelsMax + kRegionSlack];
  uint8_t wide[CalibratedModel::kChannelsMax / 8];
  bool any_wide;
  float cosine;  ///< of a key with the sink key; 0 for values
};
void quantize_calibrated_oracle(const CalibratedPlane& plane, uint32_t token, const Turn& chunk,
                                const uint8_t* values, QuantizedRow& row);
void quantize_calibrated_simd(const CalibratedPlane& plane, uint32_t token, const Turn& chunk,
                              const uint8_t* values, QuantizedRow& row);

}  // namespace shadowserve

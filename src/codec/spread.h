// Quantizing for models that nobody calibrated (profile `generic`): steps from the spread of the values
// rather than from their extremes, up to 255 levels, and attention sinks kept aside. What comes out are
// frames of the token-symmetric and the channel-asymmetric quantizer; decoders need to know nothing of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chunk/kv_geometry.h"

namespace shadowserve {

inline constexpr uint32_t kSpreadLevels = 255;
/// Of so many tokens of a chunk one may be kept as a sink.
inline constexpr uint32_t kTokensASink = 64;

/// Keys of a frame: for each channel a step that grows with the square root of its deviation, with its mean
/// in the middle. Queries are not wide where keys are, so wide channels get more levels than an even share
/// and narrow ones fewer. `values` [token][channel]; `aside`: tokens that do not count and get the middle
/// level. Writes `symbols` [token][channel] and the steps and minima of one group to `scales`. REQUIRES
/// magnitudes below element::magnitude_end() and at most kSpreadChannelsMax channels. No allocation.
void spread_channels(const KvGeometry& geometry, uint32_t tokens, const uint8_t* values,
                     std::span<const uint16_t> aside, uint8_t* symbols, uint8_t* scales);

/// Values of a frame: for each token one scale in proportion to its root mean square, for all heads: one
/// large value coarsens no other.
void spread_tokens(const KvGeometry& geometry, uint32_t tokens, const uint8_t* values,
                   std::span<const uint16_t> aside, uint8_t* symbols, uint8_t* scales);

/// How much less than others a token's values are, for each token of a plane of V: attention sinks have the
/// smallest ones. Larger is more like a sink.
void sink_likeness(const KvGeometry& geometry, const uint8_t* values, float* likeness);
/// How many tokens of a chunk are sinks: with values half as large as the middle token's, or smaller; at most
/// one of kTokensASink. `likeness` of the chunk's tokens that may be kept as such. No allocation.
uint32_t count_sinks(std::span<const float> likeness);

inline constexpr uint32_t kSpreadChannelsMax = 4096;  ///< rows of floats live on stacks

}  // namespace shadowserve

// Plain loops over rows of floats that compilers make vectors of.
#include "codec/spread.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "chunk/bits16.h"
#include "codec/element.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

// Chosen on real KV: finer costs bytes, coarser answers (docs/decisions/0012-calibrated-quantizer.md).
constexpr float kKeySpread = 0.265f;
constexpr float kValueSpread = 0.60f;
// Levels that the furthest value may be from the middle; a little less than there are, for rounded scales.
constexpr float kKeyReach = 125.0f, kValueReach = 126.0f;
constexpr int32_t kMiddle = 127;
constexpr float kSinkSquares = 0.25f;  // of a sink's values, over those of the middle token
constexpr float kLastBit = 0x1p-9f;    // of a minimum: what differs by less is the same
constexpr float kScaleEnd = 0x1p118f;  // bf16 above it stays below kScaleBitsEnd

bool is_aside(std::span<const uint16_t> aside, uint32_t token) {
  return std::find(aside.begin(), aside.end(), token) != aside.end();
}

void widen(const KvGeometry& geometry, const uint8_t* values, float* row) {
  const uint32_t channels = geometry.channels();
  if (geometry.element == ElementType::kBf16) {
    for (uint32_t i = 0; i < channels; ++i) {
      row[i] = element::from_bf16(load16(values, i));
    }
    return;
  }
  for (uint32_t i = 0; i < channels; ++i) {
    row[i] = element::from_fp16(load16(values, i));
  }
}

/// Ties to even, as everywhere; REQUIRES magnitudes below 2^22.
inline float nearest(float value) {
  constexpr float kShift = 0x1.8p23f;
  return (value + kShift) - kShift;
}

/// Steps and minima of all channels, from means, deviations and the furthest value of each.
void key_scales(uint32_t channels, const float* means, const float* squares, const float* furthest,
                float* steps, float* minima, uint8_t* scales) {
  float mean_deviation = 0;
  for (uint32_t i = 0; i < channels; ++i)
    mean_deviation += std::sqrt(squares[i]) / static_cast<float>(channels);
  for (uint32_t i = 0; i < channels; ++i) {
    const bool constant = furthest[i] <= std::abs(means[i]) * kLastBit;
    const float spread = kKeySpread * std::sqrt(std::sqrt(squares[i]) * mean_deviation);
    const float step = constant ? 0.0f : std::min(std::max(spread, furthest[i] / kKeyReach), kScaleEnd);
    const uint16_t step_bits = element::bf16_above(step);
    const float rounded = element::from_bf16(step_bits);
    const uint16_t least_bits = element::to_bf16(means[i] - kMiddle * rounded);
    store16(scales, i, step_bits);
    store16(scales, channels + i, least_bits);
    // Any symbol of a constant channel comes back as its minimum. The middle level costs least: an escape for
    // each value of some channels was 2 % of all bytes.
    steps[i] = step_bits == 0 ? 1.0f : rounded;
    minima[i] = element::from_bf16(least_bits) - (step_bits == 0 ? kMiddle : 0);
  }
}

}  // namespace

void spread_channels(const KvGeometry& geometry, uint32_t tokens, const uint8_t* values,
                     std::span<const uint16_t> aside, uint8_t* symbols, uint8_t* scales) {
  const uint32_t channels = geometry.channels();
  SS_CHECK(channels <= kSpreadChannelsMax, "the caller chose another quantizer for wider models");
  float row[kSpreadChannelsMax], means[kSpreadChannelsMax] = {}, squares[kSpreadChannelsMax] = {},
                                 furthest[kSpreadChannelsMax] = {};
  const auto each_row = [&](auto&& work) {
    for (uint32_t token = 0; token < tokens; ++token) {
      if (is_aside(aside, token)) continue;
      widen(geometry, values + size_t{token} * channels * kElementBytes, row);
      work();
    }
  };
  const float share = 1.0f / static_cast<float>(std::max<size_t>(1, tokens - aside.size()));
  each_row([&] {
    for (uint32_t i = 0; i < channels; ++i) means[i] += row[i] * share;
  });
  each_row([&] {
    for (uint32_t i = 0; i < channels; ++i) {
      const float off = row[i] - means[i];
      squares[i] += off * off * share;
      furthest[i] = std::max(furthest[i], std::abs(off));
    }
  });
  float steps[kSpreadChannelsMax], minima[kSpreadChannelsMax];
  key_scales(channels, means, squares, furthest, steps, minima, scales);
  for (uint32_t token = 0; token < tokens; ++token) {
    uint8_t* const to = symbols + size_t{token} * channels;
    if (is_aside(aside, token)) {
      std::memset(to, kMiddle, channels);
      continue;
    }
    widen(geometry, values + size_t{token} * channels * kElementBytes, row);
    for (uint32_t i = 0; i < channels; ++i) {
      const float level = nearest((row[i] - minima[i]) / steps[i]);
      to[i] = static_cast<uint8_t>(static_cast<int32_t>(std::min(std::max(level, 0.0f), 254.0f)));
    }
  }
}

void spread_tokens(const KvGeometry& geometry, uint32_t tokens, const uint8_t* values,
                   std::span<const uint16_t> aside, uint8_t* symbols, uint8_t* scales) {
  const uint32_t channels = geometry.channels();
  SS_CHECK(channels <= kSpreadChannelsMax, "the caller chose another quantizer for wider models");
  float row[kSpreadChannelsMax];
  for (uint32_t token = 0; token < tokens; ++token) {
    uint8_t* const to = symbols + size_t{token} * channels;
    if (is_aside(aside, token)) {
      store16(scales, token, 0);
      std::memset(to, kMiddle, channels);
      continue;
    }
    widen(geometry, values + size_t{token} * channels * kElementBytes, row);
    float squares = 0, largest = 0;
    for (uint32_t i = 0; i < channels; ++i) {
      squares += row[i] * row[i] / static_cast<float>(channels);
      largest = std::max(largest, std::abs(row[i]));
    }
    const float spread = std::min(kValueSpread * std::sqrt(squares), kScaleEnd);
    const uint16_t bits = element::bf16_above(std::max(spread, largest / kValueReach));
    store16(scales, token, bits);
    const float step = element::divisor(bits);
    for (uint32_t i = 0; i < channels; ++i) {
      const float level = nearest(row[i] / step) + kMiddle;
      to[i] = static_cast<uint8_t>(static_cast<int32_t>(std::min(std::max(level, 0.0f), 254.0f)));
    }
  }
}

void sink_likeness(const KvGeometry& geometry, const uint8_t* values, float* likeness) {
  const uint32_t channels = geometry.channels();
  SS_CHECK(channels <= kSpreadChannelsMax, "the caller chose another quantizer for wider models");
  float row[kSpreadChannelsMax];
  for (uint32_t token = 0; token < geometry.chunk_tokens; ++token) {
    widen(geometry, values + size_t{token} * channels * kElementBytes, row);
    float squares = 0;
    for (uint32_t i = 0; i < channels; ++i) squares += row[i] * row[i];
    likeness[token] = -squares;
  }
}

uint32_t count_sinks(std::span<const float> likeness) {
  SS_CHECK(likeness.size() <= kChunkTokensMax, "validate() refuses longer chunks");
  float sorted[kChunkTokensMax];
  const auto end = std::copy(likeness.begin(), likeness.end(), sorted);
  const auto middle = sorted + likeness.size() / 2;
  if (middle == end) return 0;
  std::nth_element(sorted, middle, end);
  const float least = *middle * kSinkSquares;  // both negative
  const auto sinks = std::count_if(likeness.begin(), likeness.end(), [&](float one) { return one > least; });
  return std::min(static_cast<uint32_t>(sinks), static_cast<uint32_t>(likeness.size() + 1) / kTokensASink);
}

}  // namespace shadowserve

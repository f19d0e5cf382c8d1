// The scalar oracle of the frame kernels: written to be read, and what every SIMD target is compared with.
#include <algorithm>
#include <cstring>

#include "chunk/bits16.h"
#include "chunk/record_frames.h"
#include "codec/element.h"
#include "codec/frame_kernel.h"

namespace shadowserve {
namespace {

/// Where the symbol of (token, channel) lives: a byte, or one half of it.
class SymbolGrid {
 public:
  SymbolGrid(const FrameShape& shape)
      : row_bytes_(symbol_row_bytes(shape.packing, shape.channels, shape.element)),
        nibbles_(shape.packing == PackingId::kNibbles) {}
  uint8_t get(const uint8_t* symbols, size_t token, size_t channel) const {
    const uint8_t* const row = symbols + token * row_bytes_;
    return nibbles_ ? (row[channel / 2] >> (channel % 2 * 4)) & 15 : row[channel];
  }
  void put(uint8_t* symbols, size_t token, size_t channel, uint8_t symbol) const {
    uint8_t* const row = symbols + token * row_bytes_;
    if (!nibbles_) {
      row[channel] = symbol;
    } else if (channel % 2 == 0) {
      row[channel / 2] = symbol;
    } else {
      row[channel / 2] |= static_cast<uint8_t>(symbol << 4);
    }
  }

 private:
  size_t row_bytes_;
  bool nibbles_;
};

void quantize_sym(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales) {
  const SymbolGrid grid(shape);
  const auto zero = static_cast<int32_t>((shape.levels - 1) / 2);
  const size_t groups = shape.channels / shape.group_channels;
  for (size_t token = 0; token < shape.tokens; ++token) {
    const uint8_t* const row = values + token * shape.channels * 2;
    for (size_t group = 0; group < groups; ++group) {
      const size_t first = group * shape.group_channels;
      const size_t end = first + shape.group_channels;
      const uint16_t magnitude = largest_magnitude_oracle(row + first * 2, shape.group_channels);
      const uint16_t scale = element::token_scale(magnitude, static_cast<uint32_t>(zero), shape.element);
      store16(scales, token * groups + group, scale);
      for (size_t channel = first; channel < end; ++channel) {
        const float value = element::to_float(load16(row, channel), shape.element);
        grid.put(symbols, token, channel, element::quantize_sym(value, element::divisor(scale), zero));
      }
    }
  }
}

void quantize_asym(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales) {
  const SymbolGrid grid(shape);
  for (size_t first = 0; first < shape.tokens; first += shape.group_tokens) {
    const size_t end = std::min<size_t>(first + shape.group_tokens, shape.tokens);
    for (size_t channel = 0; channel < shape.channels; ++channel) {
      int16_t min = INT16_MAX;
      int16_t max = INT16_MIN;
      for (size_t token = first; token < end; ++token) {
        const int16_t order = element::ordered(load16(values, token * shape.channels + channel));
        min = std::min(min, order);
        max = std::max(max, order);
      }
      const auto scale = element::step_min(element::from_ordered(min), element::from_ordered(max),
                                           shape.levels, shape.element);
      store16(scales, channel, scale.step);
      store16(scales, shape.channels + channel, scale.min);
      for (size_t token = first; token < end; ++token) {
        const float value =
            element::to_float(load16(values, token * shape.channels + channel), shape.element);
        grid.put(symbols, token, channel,
                 element::quantize_asym(value, element::from_bf16(scale.min), element::divisor(scale.step),
                                        static_cast<int32_t>(shape.levels - 1)));
      }
    }
    scales += size_t{shape.channels} * 4;
  }
}

}  // namespace

FrameShape FrameShape::of(const FrameEntry& entry, const KvGeometry& geometry) {
  return {quantizer_of(entry), static_cast<PackingId>(entry.packing),
          geometry.element,    entry.levels,
          entry.token_count,   geometry.channels(),
          entry.group_tokens,  entry.group_heads * geometry.head_dim};
}

void quantize_frame_oracle(const FrameShape& shape, const uint8_t* values, uint8_t* symbols,
                           uint8_t* scales) {
  const size_t count = size_t{shape.tokens} * shape.channels;
  switch (shape.quantizer) {
    case QuantizerId::kTokenSym:
      return quantize_sym(shape, values, symbols, scales);
    case QuantizerId::kChannelAsym:
      return quantize_asym(shape, values, symbols, scales);
    case QuantizerId::kRaw:
    case QuantizerId::kCalibrated:  // not this kernel's
      break;
  }
  if (shape.packing == PackingId::kElements) {
    std::memcpy(symbols, values, count * element_bytes(shape.element));
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    symbols[i] = values[2 * i + 1];
    symbols[count + i] = values[2 * i];
  }
}

void dequantize_frame_oracle(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                             uint8_t* values) {
  const size_t count = size_t{shape.tokens} * shape.channels;
  if (shape.packing == PackingId::kElements) {
    std::memcpy(values, symbols, count * element_bytes(shape.element));
    return;
  }
  if (shape.packing == PackingId::kSplit) {
    for (size_t i = 0; i < count; ++i) {
      values[2 * i + 1] = symbols[i];
      values[2 * i] = symbols[count + i];
    }
    return;
  }
  const SymbolGrid grid(shape);
  const auto zero = static_cast<int32_t>((shape.levels - 1) / 2);
  for (size_t token = 0; token < shape.tokens; ++token) {
    for (size_t channel = 0; channel < shape.channels; ++channel) {
      const auto largest = static_cast<uint8_t>(shape.levels - 1);
      const uint8_t symbol = std::min(grid.get(symbols, token, channel), largest);
      float value;
      if (shape.quantizer == QuantizerId::kTokenSym) {
        const size_t scale = (token * shape.channels + channel) / shape.group_channels;
        value = element::dequantize_sym(symbol, element::from_bf16(load16(scales, scale)), zero);
      } else {
        const size_t step = token / shape.group_tokens * 2 * shape.channels + channel;
        value = element::dequantize_asym(symbol, element::from_bf16(load16(scales, step)),
                                         element::from_bf16(load16(scales, step + shape.channels)));
      }
      store16(values, token * shape.channels + channel, element::from_float(value, shape.element));
    }
  }
}

uint16_t largest_magnitude_oracle(const uint8_t* values, size_t count) {
  uint16_t largest = 0;
  for (size_t i = 0; i < count; ++i) {
    largest = std::max<uint16_t>(largest, load16(values, i) & 0x7fff);
  }
  return largest;
}

}  // namespace shadowserve

// SIMD kernels from values to packed symbols and scales, dispatched at run time.
#include <algorithm>
#include <cstring>

#include "chunk/bits16.h"
#include "chunk/record_frames.h"
#include "codec/element.h"
#include "codec/frame_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/quantize_simd.cc"
#include "hwy/foreach_target.h"  // before highway.h: includes this file once a target

#include "codec/element_simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

// Channels quantized at a time: stays in L1, and is even, so that a tile starts on a byte.
constexpr size_t kTile = 512;

uint16_t largest_magnitude(const uint8_t* values, size_t count) {
  const hn::ScalableTag<int16_t> d;
  const size_t lanes = hn::Lanes(d);
  const auto mask = hn::Set(d, 0x7fff);
  auto largest_v = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::LoadU(d, reinterpret_cast<const int16_t*>(values + 2 * i));
    largest_v = hn::Max(largest_v, hn::And(bits, mask));  // signed order is right without the sign bit
  }
  HWY_ALIGN int16_t each[HWY_MAX_BYTES / 2];
  hn::Store(largest_v, d, each);
  uint16_t largest = 0;
  for (size_t lane = 0; lane < lanes; ++lane) {
    largest = std::max(largest, static_cast<uint16_t>(each[lane]));
  }
  for (; i < count; ++i) largest = std::max<uint16_t>(largest, load16(values, i) & 0x7fff);
  return largest;
}

/// One symbol a byte -> two symbols a byte, the first in the low half.
HWY_INLINE void pack_nibbles(const uint8_t* symbols, size_t count, uint8_t* packed) {
  const hn::ScalableTag<uint16_t> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  const size_t lanes = hn::Lanes(d16);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto pairs = hn::LoadU(d16, as16(symbols + i));
    hn::StoreU(hn::TruncateTo(d8, hn::Or(pairs, hn::ShiftRight<4>(pairs))), d8, packed + i / 2);
  }
  for (; i + 2 <= count; i += 2) packed[i / 2] = static_cast<uint8_t>(symbols[i] | symbols[i + 1] << 4);
  if (i < count) packed[i / 2] = symbols[i];
}

/// Runs `fill(first, end, symbols)` over tiles of one token's channels and puts the symbols where they
/// belong.
template <class Fill>
HWY_INLINE void for_tiles(const FrameShape& shape, uint8_t* row, const Fill& fill) {
  alignas(64) uint8_t unpacked[kTile];
  for (size_t first = 0; first < shape.channels; first += kTile) {
    const size_t end = std::min<size_t>(first + kTile, shape.channels);
    if (shape.packing == PackingId::kNibbles) {
      fill(first, end, unpacked);
      pack_nibbles(unpacked, end - first, row + first / 2);
    } else {
      fill(first, end, row + first);
    }
  }
}

template <ElementType kType>
HWY_INLINE void run_sym(const uint8_t* values, size_t count, uint16_t scale, int32_t zero, uint8_t* symbols) {
  const float divide_by = element::divisor(scale);
  const auto divide_by_v = hn::Set(F32(), divide_by);
  const auto zero_v = hn::Set(I32(), zero);
  const auto least_v = hn::Set(I32(), -zero);
  const size_t lanes = hn::Lanes(F32());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = widen<kType>(hn::LoadU(U16Half(), as16(values + 2 * i)));
    const auto nearest = nearest_int(hn::Div(value, divide_by_v));
    const auto bounded = hn::Max(hn::Min(nearest, zero_v), least_v);
    hn::StoreU(hn::DemoteTo(U8Quarter(), bounded + zero_v), U8Quarter(), symbols + i);
  }
  for (; i < count; ++i) {
    symbols[i] = element::quantize_sym(element::to_float(load16(values, i), kType), divide_by, zero);
  }
}

template <ElementType kType>
void quantize_sym(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales) {
  const size_t row_bytes = symbol_row_bytes(shape.packing, shape.channels, shape.element);
  const auto zero = static_cast<int32_t>((shape.levels - 1) / 2);
  const size_t width = shape.group_channels;
  const size_t groups = shape.channels / width;
  for (size_t token = 0; token < shape.tokens; ++token) {
    const uint8_t* const row = values + token * shape.channels * 2;
    for (size_t group = 0; group < groups; ++group) {
      const uint16_t magnitude = largest_magnitude(row + group * width * 2, width);
      const uint16_t scale = element::token_scale(magnitude, static_cast<uint32_t>(zero), kType);
      std::memcpy(scales + group * 2, &scale, sizeof scale);
    }
    for_tiles(shape, symbols + token * row_bytes, [&](size_t first, size_t end, uint8_t* tile) HWY_ATTR {
      for (size_t from = first; from < end;) {
        const size_t group = from / width;
        const size_t to = std::min((group + 1) * width, end);
        run_sym<kType>(row + from * 2, to - from, load16(scales, group), zero, tile + (from - first));
        from = to;
      }
    });
    scales += groups * 2;
  }
}

/// Least and largest of each channel over `tokens` rows, as element::ordered() numbers.
HWY_INLINE void channel_range(const uint8_t* values, size_t tokens, size_t row_bytes, size_t count,
                              int16_t* least, int16_t* largest) {
  const hn::ScalableTag<int16_t> d;
  const size_t lanes = hn::Lanes(d);
  const auto mask = hn::Set(d, 0x7fff);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto least_v = hn::Set(d, INT16_MAX);
    auto largest_v = hn::Set(d, INT16_MIN);
    for (size_t token = 0; token < tokens; ++token) {
      const auto bits = hn::LoadU(d, reinterpret_cast<const int16_t*>(values + token * row_bytes + 2 * i));
      const auto order = hn::Xor(bits, hn::And(hn::ShiftRight<15>(bits), mask));
      least_v = hn::Min(least_v, order);
      largest_v = hn::Max(largest_v, order);
    }
    hn::StoreU(least_v, d, least + i);
    hn::StoreU(largest_v, d, largest + i);
  }
  for (; i < count; ++i) {
    least[i] = INT16_MAX;
    largest[i] = INT16_MIN;
    for (size_t token = 0; token < tokens; ++token) {
      const int16_t order = element::ordered(load16(values + token * row_bytes, i));
      least[i] = std::min(least[i], order);
      largest[i] = std::max(largest[i], order);
    }
  }
}

template <ElementType kType>
HWY_INLINE void run_asym(const uint8_t* values, size_t count, const float* minima, const float* divisors,
                         int32_t top, uint8_t* symbols) {
  const auto top_v = hn::Set(I32(), top);
  const auto zero_v = hn::Zero(I32());
  const size_t lanes = hn::Lanes(F32());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = widen<kType>(hn::LoadU(U16Half(), as16(values + 2 * i)));
    const auto above = value - hn::LoadU(F32(), minima + i);
    const auto nearest = nearest_int(hn::Div(above, hn::LoadU(F32(), divisors + i)));
    const auto bounded = hn::Max(hn::Min(nearest, top_v), zero_v);
    hn::StoreU(hn::DemoteTo(U8Quarter(), bounded), U8Quarter(), symbols + i);
  }
  for (; i < count; ++i) {
    symbols[i] =
        element::quantize_asym(element::to_float(load16(values, i), kType), minima[i], divisors[i], top);
  }
}

template <ElementType kType>
void quantize_asym(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales) {
  const size_t symbol_row = symbol_row_bytes(shape.packing, shape.channels, shape.element);
  const size_t value_row = size_t{shape.channels} * 2;
  const auto top = static_cast<int32_t>(shape.levels - 1);
  const bool nibbles = shape.packing == PackingId::kNibbles;
  int16_t least[kTile], largest[kTile];
  float minima[kTile], divisors[kTile];
  alignas(64) uint8_t unpacked[kTile];
  for (size_t group_first = 0; group_first < shape.tokens; group_first += shape.group_tokens) {
    const size_t tokens = std::min<size_t>(shape.group_tokens, shape.tokens - group_first);
    // Tiles outside tokens: a tile's ranges are found, and used while they and the values are in cache.
    for (size_t first = 0; first < shape.channels; first += kTile) {
      const size_t count = std::min<size_t>(kTile, shape.channels - first);
      const uint8_t* const corner = values + group_first * value_row + first * 2;
      channel_range(corner, tokens, value_row, count, least, largest);
      for (size_t i = 0; i < count; ++i) {
        const auto scale = element::step_min(element::from_ordered(least[i]),
                                             element::from_ordered(largest[i]), shape.levels, kType);
        std::memcpy(scales + (first + i) * 2, &scale.step, 2);
        std::memcpy(scales + value_row + (first + i) * 2, &scale.min, 2);
        minima[i] = element::from_bf16(scale.min);
        divisors[i] = element::divisor(scale.step);
      }
      for (size_t token = 0; token < tokens; ++token) {
        uint8_t* const out = symbols + (group_first + token) * symbol_row + (nibbles ? first / 2 : first);
        run_asym<kType>(corner + token * value_row, count, minima, divisors, top, nibbles ? unpacked : out);
        if (nibbles) pack_nibbles(unpacked, count, out);
      }
    }
    scales += value_row * 2;
  }
}

/// Elements -> two byte planes.
void split(const uint8_t* values, size_t count, uint8_t* high, uint8_t* low) {
  const hn::ScalableTag<uint16_t> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  const size_t lanes = hn::Lanes(d16);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::LoadU(d16, as16(values + 2 * i));
    hn::StoreU(hn::TruncateTo(d8, bits), d8, low + i);
    hn::StoreU(hn::TruncateTo(d8, hn::ShiftRight<8>(bits)), d8, high + i);
  }
  for (; i < count; ++i) {
    low[i] = values[2 * i];
    high[i] = values[2 * i + 1];
  }
}

template <ElementType kType>
void quantize_typed(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales) {
  if (shape.quantizer == QuantizerId::kTokenSym) {
    quantize_sym<kType>(shape, values, symbols, scales);
  } else {
    quantize_asym<kType>(shape, values, symbols, scales);
  }
}

void quantize_frame(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales) {
  const size_t count = size_t{shape.tokens} * shape.channels;
  if (shape.packing == PackingId::kElements) {
    std::memcpy(symbols, values, count * element_bytes(shape.element));
  } else if (shape.packing == PackingId::kSplit) {
    split(values, count, symbols, symbols + count);
  } else if (shape.element == ElementType::kBf16) {
    quantize_typed<ElementType::kBf16>(shape, values, symbols, scales);
  } else {
    quantize_typed<ElementType::kFp16>(shape, values, symbols, scales);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace shadowserve {
HWY_EXPORT(quantize_frame);
HWY_EXPORT(largest_magnitude);

void quantize_frame_simd(const FrameShape& shape, const uint8_t* values, uint8_t* symbols, uint8_t* scales) {
  HWY_DYNAMIC_DISPATCH(quantize_frame)(shape, values, symbols, scales);
}

uint16_t largest_magnitude_simd(const uint8_t* values, size_t count) {
  return HWY_DYNAMIC_DISPATCH(largest_magnitude)(values, count);
}
}  // namespace shadowserve
#endif  // HWY_ONCE

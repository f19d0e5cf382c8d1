// SIMD kernels from packed symbols to values, dispatched at run time to the best target of this machine.
#include <algorithm>
#include <cstring>

#include "chunk/record_frames.h"
#include "codec/element.h"
#include "codec/frame_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/dequantize_simd.cc"
#include "hwy/foreach_target.h"  // before highway.h: includes this file once a target

#include "codec/element_simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

// Channels unpacked at a time: stays in L1, and is even, so that a tile starts on a byte.
constexpr size_t kTile = 1024;

/// Two symbols a byte, the first in the low half -> one symbol a byte.
HWY_INLINE void unpack_nibbles(const uint8_t* packed, size_t count, uint8_t* symbols) {
  const hn::ScalableTag<uint16_t> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  const size_t lanes = hn::Lanes(d16);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto pairs = hn::PromoteTo(d16, hn::LoadU(d8, packed + i / 2));
    const auto spread = hn::And(hn::Or(pairs, hn::ShiftLeft<4>(pairs)), hn::Set(d16, 0x0f0f));
    hn::StoreU(spread, d16, as16(symbols + i));
  }
  for (; i < count; ++i) symbols[i] = (packed[i / 2] >> (i % 2 * 4)) & 15;
}

HWY_INLINE hn::Vec<I32> load_symbols(const uint8_t* from, hn::Vec<U8Quarter> largest) {
  return hn::PromoteTo(I32(), hn::Min(hn::LoadU(U8Quarter(), from), largest));
}

template <ElementType kType>
HWY_INLINE void run_sym(const uint8_t* symbols, size_t count, uint32_t levels, uint16_t scale_bits,
                        uint8_t* values) {
  const auto zero = static_cast<int32_t>((levels - 1) / 2);
  const float scale = element::from_bf16(scale_bits);
  const auto top = static_cast<uint8_t>(levels - 1);
  const auto scale_v = hn::Set(F32(), scale);
  const auto zero_v = hn::Set(I32(), zero);
  const auto top_v = hn::Set(U8Quarter(), top);
  const size_t lanes = hn::Lanes(F32());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto centred = hn::ConvertTo(F32(), load_symbols(symbols + i, top_v) - zero_v);
    hn::StoreU(narrow<kType>(centred * scale_v), U16Half(), as16(values + 2 * i));
  }
  for (; i < count; ++i) {
    const float value = element::dequantize_sym(std::min(symbols[i], top), scale, zero);
    const uint16_t bits = element::from_float(value, kType);
    std::memcpy(values + 2 * i, &bits, sizeof bits);
  }
}

/// `steps` and `minima` start at the run's first channel.
template <ElementType kType>
HWY_INLINE void run_asym(const uint8_t* symbols, size_t count, uint32_t levels, const uint8_t* steps,
                         const uint8_t* minima, uint8_t* values) {
  const auto top = static_cast<uint8_t>(levels - 1);
  const auto top_v = hn::Set(U8Quarter(), top);
  const size_t lanes = hn::Lanes(F32());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto symbol = hn::ConvertTo(F32(), load_symbols(symbols + i, top_v));
    const auto step = widen_bf16(hn::LoadU(U16Half(), as16(steps + 2 * i)));
    const auto min = widen_bf16(hn::LoadU(U16Half(), as16(minima + 2 * i)));
    hn::StoreU(narrow<kType>(symbol * step + min), U16Half(), as16(values + 2 * i));
  }
  for (; i < count; ++i) {
    uint16_t step, min;
    std::memcpy(&step, steps + 2 * i, sizeof step);
    std::memcpy(&min, minima + 2 * i, sizeof min);
    const float value = element::dequantize_asym(std::min(symbols[i], top), element::from_bf16(step),
                                                 element::from_bf16(min));
    const uint16_t bits = element::from_float(value, kType);
    std::memcpy(values + 2 * i, &bits, sizeof bits);
  }
}

template <ElementType kType>
void dequantize_typed(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                      uint8_t* values) {
  const size_t row_bytes = symbol_row_bytes(shape.packing, shape.channels);
  const bool nibbles = shape.packing == PackingId::kNibbles;
  const bool sym = shape.quantizer == QuantizerId::kTokenSym;
  const size_t channels = shape.channels;
  const size_t groups = sym ? channels / shape.group_channels : 0;
  alignas(64) uint8_t unpacked[kTile];
  for (size_t token = 0; token < shape.tokens; ++token) {
    const uint8_t* const row = symbols + token * row_bytes;
    uint8_t* const out = values + token * channels * 2;
    for (size_t first = 0; first < channels; first += kTile) {
      const size_t end = std::min(first + kTile, channels);
      if (nibbles) unpack_nibbles(row + first / 2, end - first, unpacked);
      const uint8_t* const tile = nibbles ? unpacked : row + first;
      if (!sym) {
        const uint8_t* const steps = scales + (token / shape.group_tokens * 2 * channels + first) * 2;
        run_asym<kType>(tile, end - first, shape.levels, steps, steps + channels * 2, out + first * 2);
        continue;
      }
      for (size_t from = first; from < end;) {
        const size_t group = from / shape.group_channels;
        const size_t to = std::min<size_t>((group + 1) * shape.group_channels, end);
        uint16_t scale;
        std::memcpy(&scale, scales + (token * groups + group) * 2, sizeof scale);
        run_sym<kType>(tile + (from - first), to - from, shape.levels, scale, out + from * 2);
        from = to;
      }
    }
  }
}

/// Two byte planes -> elements: the low bytes and the high bytes are interleaved.
void join_split(const uint8_t* high, const uint8_t* low, size_t count, uint8_t* values) {
  const hn::ScalableTag<uint16_t> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  const size_t lanes = hn::Lanes(d16);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto low_v = hn::PromoteTo(d16, hn::LoadU(d8, low + i));
    const auto high_v = hn::PromoteTo(d16, hn::LoadU(d8, high + i));
    hn::StoreU(hn::Or(low_v, hn::ShiftLeft<8>(high_v)), d16, as16(values + 2 * i));
  }
  for (; i < count; ++i) {
    values[2 * i] = low[i];
    values[2 * i + 1] = high[i];
  }
}

void dequantize_frame(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                      uint8_t* values) {
  const size_t count = size_t{shape.tokens} * shape.channels;
  if (shape.packing == PackingId::kElements) {
    std::memcpy(values, symbols, count * 2);
  } else if (shape.packing == PackingId::kSplit) {
    join_split(symbols, symbols + count, count, values);
  } else if (shape.element == ElementType::kBf16) {
    dequantize_typed<ElementType::kBf16>(shape, symbols, scales, values);
  } else {
    dequantize_typed<ElementType::kFp16>(shape, symbols, scales, values);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace shadowserve {
HWY_EXPORT(dequantize_frame);

void dequantize_frame_simd(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                           uint8_t* values) {
  HWY_DYNAMIC_DISPATCH(dequantize_frame)(shape, symbols, scales, values);
}
}  // namespace shadowserve
#endif  // HWY_ONCE

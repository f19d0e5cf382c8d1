// SIMD kernels from packed symbols to values, dispatched at run time to the best target of this machine.
#include <algorithm>
#include <cstring>

#include "chunk/record_frames.h"
#include "codec/element.h"
#include "codec/frame_kernel.h"
#include "contract/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/dequantize_simd.cc"
#include "hwy/foreach_target.h"  // before highway.h: includes this file once a target

#include "codec/element_simd-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

constexpr size_t kTile = 4096;  // symbols unpacked at a time: stays in L1
constexpr size_t kWidestNibbleRow = kFrameBytesMax / kElementBytes;

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

template <ElementType kType>
HWY_INLINE void put_one(float value, uint8_t* values) {
  const uint16_t bits = element::from_float(value, kType);
  std::memcpy(values, &bits, sizeof bits);
}

HWY_INLINE VF32 to_float(const uint8_t* symbols, hn::Vec<U8Quarter> largest) {
  return hn::ConvertTo(F32(), hn::PromoteTo(I32(), hn::Min(hn::LoadU(U8Quarter(), symbols), largest)));
}

/// One scale for all of `count` symbols.
template <ElementType kType, bool kStream>
HWY_INLINE void run_sym(const uint8_t* symbols, size_t count, uint32_t levels, uint16_t scale_bits,
                        uint8_t* values) {
  const auto zero = static_cast<int32_t>((levels - 1) / 2);
  const float scale = element::from_bf16(scale_bits);
  const auto top = static_cast<uint8_t>(levels - 1);
  size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const auto scale_v = hn::Set(F32(), scale);
  const auto zero_v = hn::Set(F32(), static_cast<float>(zero));
  const size_t lanes = hn::Lanes(F32());
#if HWY_TARGET <= HWY_AVX3
  // Every value there is, looked up: a register holds the elements of 32 levels.
  if (levels <= 32 && count >= 64) {
    const auto first = hn::ConvertTo(F32(), hn::Iota(I32(), 0)),
               top_f = hn::Set(F32(), static_cast<float>(top));
    const auto second = first + hn::Set(F32(), 16.0f);
    const VU16 table = narrow_both<kType>((hn::Min(first, top_f) - zero_v) * scale_v,
                                          (hn::Min(second, top_f) - zero_v) * scale_v);
    const hn::Rebind<uint8_t, U16> half;
    const auto top_half = hn::Set(half, top);
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
      const auto index = hn::PromoteTo(U16(), hn::Min(hn::LoadU(half, symbols + i), top_half));
      put<kStream>(VU16{_mm512_permutexvar_epi16(index.raw, table.raw)}, values + 2 * i);
    }
  }
#endif
  const auto top_v = hn::Set(U8Quarter(), top);
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto low = (to_float(symbols + i, top_v) - zero_v) * scale_v;
    const auto high = (to_float(symbols + i + lanes, top_v) - zero_v) * scale_v;
    put<kStream>(narrow_both<kType>(low, high), values + 2 * i);
  }
#endif
  for (; i < count; ++i) {
    put_one<kType>(element::dequantize_sym(std::min(symbols[i], top), scale, zero), values + 2 * i);
  }
}

/// `steps` and `minima` start at the run's first channel, already widened.
template <ElementType kType, bool kStream>
HWY_INLINE void run_asym(const uint8_t* symbols, size_t count, uint32_t levels, const float* steps,
                         const float* minima, uint8_t* values) {
  const auto top = static_cast<uint8_t>(levels - 1);
  size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const auto top_v = hn::Set(U8Quarter(), top);
  const size_t lanes = hn::Lanes(F32());
  const F32 d;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const size_t j = i + lanes;
    // One rounding or two is the same here (element.h).
    const auto low =
        hn::MulAdd(to_float(symbols + i, top_v), hn::LoadU(d, steps + i), hn::LoadU(d, minima + i));
    const auto high =
        hn::MulAdd(to_float(symbols + j, top_v), hn::LoadU(d, steps + j), hn::LoadU(d, minima + j));
    put<kStream>(narrow_both<kType>(low, high), values + 2 * i);
  }
#endif
  for (; i < count; ++i) {
    put_one<kType>(element::dequantize_asym(std::min(symbols[i], top), steps[i], minima[i]), values + 2 * i);
  }
}

/// Steps and minima of channels first..end of one token group, as floats.
void widen_scales(const FrameShape& shape, size_t group, size_t first, size_t end, const uint8_t* scales,
                  ScaleCache& cache) {
  if (cache.scales == scales && cache.group == group && cache.first == first) return;
  const size_t count = end - first;
  const uint8_t* const steps = scales + (group * 2 * shape.channels + first) * 2;
  const uint8_t* const minima = steps + size_t{shape.channels} * 2;
  for (const auto& [from, to] : {std::pair{steps, cache.steps}, std::pair{minima, cache.minima}}) {
    const size_t lanes = hn::Lanes(F32());
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      hn::StoreU(widen_bf16(hn::LoadU(U16Half(), as16(from + 2 * i))), F32(), to + i);
    }
    for (; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, from + 2 * i, sizeof bits);
      to[i] = element::from_bf16(bits);
    }
  }
  cache.scales = scales, cache.group = group, cache.first = first;
}

template <ElementType kType, bool kStream>
HWY_INLINE void sym_row(const FrameShape& shape, size_t token, const uint8_t* symbols, const uint8_t* scales,
                        uint8_t* values) {
  const size_t groups = shape.channels / shape.group_channels;
  for (size_t group = 0; group < groups; ++group) {
    uint16_t scale;
    std::memcpy(&scale, scales + (token * groups + group) * 2, sizeof scale);
    const size_t from = group * shape.group_channels;
    run_sym<kType, kStream>(symbols + from, shape.group_channels, shape.levels, scale, values + 2 * from);
  }
}

template <ElementType kType, bool kStream>
void rows_typed(const FrameShape& shape, size_t token_first, size_t tokens, const uint8_t* symbols,
                const uint8_t* scales, uint8_t* values, ScaleCache& cache) {
  const size_t channels = shape.channels;
  if (shape.quantizer == QuantizerId::kTokenSym) {
    for (size_t i = 0; i < tokens; ++i) {
      sym_row<kType, kStream>(shape, token_first + i, symbols + i * channels, scales,
                              values + i * channels * 2);
    }
    return;
  }
  for (size_t first = 0; first < channels; first += ScaleCache::kChannels) {
    const size_t end = std::min(channels, first + ScaleCache::kChannels);
    for (size_t i = 0; i < tokens; ++i) {
      widen_scales(shape, (token_first + i) / shape.group_tokens, first, end, scales, cache);
      const size_t at = i * channels + first;
      run_asym<kType, kStream>(symbols + at, end - first, shape.levels, cache.steps, cache.minima,
                               values + at * 2);
    }
  }
}

/// True when every vector of every run starts aligned: then values may go past the caches.
bool can_stream(const FrameShape& shape, const uint8_t* values) {
  const size_t vector = hn::Lanes(U16()) * 2;
  const size_t run = shape.quantizer == QuantizerId::kTokenSym ? shape.group_channels : shape.channels;
  return vector >= 16 && reinterpret_cast<uintptr_t>(values) % vector == 0 && run * 2 % vector == 0;
}

void dequantize_rows(const FrameShape& shape, size_t token_first, size_t tokens, const uint8_t* symbols,
                     const uint8_t* scales, uint8_t* values, ScaleCache& cache, bool stream) {
  const bool bf16 = shape.element == ElementType::kBf16;
  if (stream && can_stream(shape, values)) {
    const auto rows = bf16 ? rows_typed<ElementType::kBf16, true> : rows_typed<ElementType::kFp16, true>;
    return rows(shape, token_first, tokens, symbols, scales, values, cache);
  }
  const auto rows = bf16 ? rows_typed<ElementType::kBf16, false> : rows_typed<ElementType::kFp16, false>;
  rows(shape, token_first, tokens, symbols, scales, values, cache);
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

/// Rows of packed nibbles, unpacked into L1 a few at a time. (The array is as large as validate() lets a row
/// be; of its pages only those are touched that a model's rows need.)
void dequantize_nibbles(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                        uint8_t* values, ScaleCache& cache, bool stream) {
  alignas(64) uint8_t unpacked[kWidestNibbleRow];
  const size_t row_bytes = symbol_row_bytes(shape.packing, shape.channels, shape.element);
  SS_CHECK(shape.channels <= kWidestNibbleRow, "a token's elements fit a frame");
  const size_t rows_at_once = std::max<size_t>(1, kTile / shape.channels);
  for (size_t token = 0; token < shape.tokens; token += rows_at_once) {
    const size_t rows = std::min<size_t>(rows_at_once, shape.tokens - token);
    for (size_t i = 0; i < rows; ++i) {
      unpack_nibbles(symbols + (token + i) * row_bytes, shape.channels, unpacked + i * shape.channels);
    }
    dequantize_rows(shape, token, rows, unpacked, scales, values + token * shape.channels * 2, cache, stream);
  }
}

void dequantize_frame(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales, uint8_t* values,
                      bool stream) {
  const size_t count = size_t{shape.tokens} * shape.channels;
  ScaleCache cache;
  switch (shape.packing) {
    case PackingId::kElements:
      std::memcpy(values, symbols, count * element_bytes(shape.element));
      return;
    case PackingId::kSplit:
      return join_split(symbols, symbols + count, count, values);
    case PackingId::kNibbles:
      return dequantize_nibbles(shape, symbols, scales, values, cache, stream);
    case PackingId::kBytes:
      return dequantize_rows(shape, 0, shape.tokens, symbols, scales, values, cache, stream);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace shadowserve {
HWY_EXPORT(dequantize_frame);
HWY_EXPORT(dequantize_rows);

void dequantize_frame_simd(const FrameShape& shape, const uint8_t* symbols, const uint8_t* scales,
                           uint8_t* values, bool stream) {
  HWY_DYNAMIC_DISPATCH(dequantize_frame)(shape, symbols, scales, values, stream);
}
void dequantize_rows_simd(const FrameShape& shape, size_t token_first, size_t tokens, const uint8_t* symbols,
                          const uint8_t* scales, uint8_t* values, ScaleCache& cache, bool stream) {
  HWY_DYNAMIC_DISPATCH(dequantize_rows)(shape, token_first, tokens, symbols, scales, values, cache, stream);
}
void finish_streaming() { hwy::FlushStream(); }
}  // namespace shadowserve
#endif  // HWY_ONCE
